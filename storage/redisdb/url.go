package redisdb

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// The forms that a URL may have, as errors show them.
const (
	formPlain    = "redis://user:password@host:6379/0" //nolint:gosec // it stands for a password
	formSentinel = "redis+sentinel://user:password@host:26379,host:26379/master_name/0"
	formCluster  = "redis+cluster://user:password@host:6379,host:6379"
)

// address is what a URL says.
type address struct {
	redis.UniversalOptions
	tls, unverified bool
	ca              string // a file
}

// CheckURL refuses what is no address of a Redis, and says what would be right. It reads no
// file and asks no network, and no error shows a password.
func CheckURL(text string) error {
	_, err := parse(text)
	return err
}

func parse(text string) (*address, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	a := &address{}
	port := "6379"
	switch name, _ := strings.CutPrefix(scheme, "rediss"); {
	case !ok:
		return nil, errors.New("it is not a URL: write " + formPlain)
	case scheme == "redis", scheme == "rediss":
	case scheme == "redis+sentinel", name == "+sentinel":
		port = "26379"
	case scheme == "redis+cluster", name == "+cluster":
		a.IsClusterMode = true
	default:
		return nil, fmt.Errorf("its scheme is none of redis, rediss, redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster: write for example %s", formPlain)
	}
	sentinel := strings.HasSuffix(scheme, "+sentinel")
	a.tls = strings.HasPrefix(scheme, "rediss")
	if strings.Contains(rest, "#") {
		return nil, errors.New("it holds a #: in a password write %23")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if err := a.parseUser(&authority); err != nil {
		return nil, err
	}
	hosts := strings.Split(authority, ",")
	if len(hosts) > 1 && !sentinel && !a.IsClusterMode {
		return nil, fmt.Errorf("it has more than one host: write %s or %s", formSentinel, formCluster)
	}
	for _, h := range hosts {
		addr, err := hostPort(h, port)
		if err != nil {
			return nil, err
		}
		a.Addrs = append(a.Addrs, addr)
	}
	if err := a.parsePath(path, sentinel); err != nil {
		return nil, err
	}
	return a, a.parseQuery(query, sentinel)
}

// parseUser takes the part up to the last @ off.
func (a *address) parseUser(authority *string) error {
	i := strings.LastIndexByte(*authority, '@')
	if i < 0 {
		return nil
	}
	name, password, has := strings.Cut((*authority)[:i], ":")
	*authority = (*authority)[i+1:]
	if name != "" && !has {
		return errors.New("it has a user and no password: write user:password@host, or :password@host where there is no user")
	}
	var err, err2 error
	a.Username, err = url.PathUnescape(name)
	a.Password, err2 = url.PathUnescape(password)
	if err != nil || err2 != nil {
		return errors.New("its user or password holds a % that begins no escape: write %25")
	}
	return nil
}

func hostPort(text, port string) (string, error) {
	text, err := url.PathUnescape(text)
	if err != nil || text == "" {
		return "", errors.New("it has no host: write " + formPlain)
	}
	host := text
	if strings.Count(text, ":") == 1 || strings.Contains(text, "]:") {
		if host, port, err = net.SplitHostPort(text); err != nil {
			return "", errors.New("its host cannot be read: write " + formPlain)
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
		return "", errors.New("it has no host, or its port is not a number from 1 to 65535: write " + formPlain)
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port), nil
}

// parsePath reads [master name/][number of the database].
func (a *address) parsePath(path string, sentinel bool) error {
	var err error
	if sentinel {
		name, db, _ := strings.Cut(path, "/")
		if a.MasterName, err = url.PathUnescape(name); err != nil || name == "" {
			return errors.New("it does not name the master that the sentinels watch: write " + formSentinel)
		}
		path = db
	}
	if path == "" {
		return nil
	}
	if a.IsClusterMode {
		return errors.New("a cluster has no numbered databases: write " + formCluster)
	}
	if path, err = url.PathUnescape(path); err == nil {
		a.DB, err = strconv.Atoi(path)
	}
	if err != nil || a.DB < 0 {
		return errors.New("what follows the host is not the number of a database: write " + formPlain)
	}
	return nil
}

func (a *address) parseQuery(query string, sentinel bool) error {
	q, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("its parameters, after the ?, cannot be read")
	}
	known := []string{"tls", "tls_reqs", "tls_ca_cert"}
	if sentinel {
		known = append(known, "sentinel_username", "sentinel_password")
	}
	for name, all := range q {
		if !slices.Contains(known, name) || len(all) != 1 {
			return fmt.Errorf("its parameter %q is not known, or written twice: it may have %s", name, strings.Join(known, ", "))
		}
	}
	switch v := q.Get("tls"); v {
	case "":
	case "true", "false":
		if v == "false" && a.tls {
			return errors.New("its scheme asks for TLS and tls=false does not: write redis, not rediss")
		}
		a.tls = v == "true"
	default:
		return errors.New("its parameter tls is neither true nor false")
	}
	switch v := q.Get("tls_reqs"); v {
	case "", "required":
	case "none":
		a.unverified = true
	default:
		return errors.New("its parameter tls_reqs is neither required nor none")
	}
	a.ca = q.Get("tls_ca_cert")
	if !a.tls && (a.ca != "" || q.Has("tls_reqs")) {
		return errors.New("it has tls_ca_cert or tls_reqs, and no TLS: write rediss, not redis")
	}
	a.SentinelUsername, a.SentinelPassword = q.Get("sentinel_username"), q.Get("sentinel_password")
	return nil
}

// tlsConfig reads the file of the authority's certificate.
func (a *address) tlsConfig() (*tls.Config, error) {
	if !a.tls {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: a.unverified} //nolint:gosec // where the operator wrote tls_reqs=none
	if a.ca == "" {
		return c, nil
	}
	pem, err := os.ReadFile(a.ca)
	if err != nil {
		return nil, fmt.Errorf("tls_ca_cert: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_ca_cert: %s holds no certificate in PEM", a.ca)
	}
	return c, nil
}
