package sqldb

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-sso/postern/core"
)

// The defaults of a PostgreSQL directory's connections, where its URL says nothing
// else.
const (
	poolConns      = 20        // pool_max_conns
	poolLifetime   = time.Hour // pool_max_conn_lifetime
	poolIdle       = 5 * time.Minute
	connectTimeout = 10 * time.Second
	// statementTimeout is the server's: it ends what a node began and then no longer
	// waits for. The node's own deadlines are shorter: see callWait.
	statementTimeout = time.Minute
	// abandonedTimeout ends a transaction whose node hangs: it may hold the row
	// that every change of the tenant needs.
	abandonedTimeout = 10 * time.Second
)

// postgresURL is a postgres:// URL, read.
type postgresURL struct {
	config *pgx.ConnConfig
	schema string // of the default tenant
	// pooler: one such as PgBouncer gives each transaction another connection of the
	// server, so nothing may be kept on one. asked: the URL says whether it is so.
	pooler   bool
	asked    bool
	conns    int
	lifetime time.Duration
	idle     time.Duration
}

var sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"} //nolint:gochecknoglobals // never changed

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// CheckURL reads a postgres:// URL as far as that needs no file and no server. The
// error says what would be right, and shows no password.
func CheckURL(address string) error {
	u, err := parseURL(address)
	if err != nil {
		return err
	}
	q := u.Query()
	if mode := q.Get("sslmode"); mode != "" && !slices.Contains(sslModes, mode) {
		return fmt.Errorf("sslmode is not one of %s", strings.Join(sslModes, ", "))
	}
	if u.Host == "" && q.Get("host") == "" {
		return errors.New("the URL names no host: write postgres://user@host:5432/database")
	}
	_, err = poolSettings(map[string]string{
		"pool_max_conns": q.Get("pool_max_conns"), "pool_max_conn_lifetime": q.Get("pool_max_conn_lifetime"),
		"pool_max_conn_idle_time": q.Get("pool_max_conn_idle_time"), "pgbouncer": q.Get("pgbouncer"),
	}, &postgresURL{})
	if err != nil {
		return err
	}
	_, err = defaultSchema(q.Get("search_path"))
	return err
}

// parseURL reads the URL without telling what is in it: net/url's own errors quote
// all of it.
func parseURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the URL cannot be read: write postgres://user:password@host:5432/database, with %40 for @, %3A for :, %2F for / and %25 for % in the password")
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("the URL does not begin with postgres://")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("the port of the URL is not one: PostgreSQL's own is 5432")
		}
	}
	return u, nil
}

func readURL(address string) (*postgresURL, error) {
	if err := CheckURL(address); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		// Its own text quotes the URL. What is below says what was wrong, which may
		// be a file of certificates; where it is net/url's it was refused above.
		if cause := errors.Unwrap(err); cause != nil {
			var path *os.PathError
			if errors.As(err, &path) {
				return nil, fmt.Errorf("the URL names a file that cannot be read: %w", path)
			}
			return nil, fmt.Errorf("the URL cannot be used: %s", withoutPassword(cause.Error(), address))
		}
		return nil, errors.New("the URL cannot be used: look at its parameters")
	}
	p := &postgresURL{config: config, conns: poolConns, lifetime: poolLifetime, idle: poolIdle}
	if p.schema, err = defaultSchema(config.RuntimeParams["search_path"]); err != nil {
		return nil, err
	}
	left, err := poolSettings(config.RuntimeParams, p)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams = left
	delete(left, "search_path") // set on each connection as it turns to a tenant
	set := func(name, value string) {
		if left[name] == "" {
			left[name] = value
		}
	}
	set("application_name", "postern")
	if p.pooler {
		p.behindPooler()
	} else {
		set(statementParam, milliseconds(statementTimeout))
		set(abandonedParam, milliseconds(abandonedTimeout))
		set(jitParam, "off")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	return p, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// poolSettings takes out of a URL's parameters those that are ours and not the
// server's.
func poolSettings(params map[string]string, p *postgresURL) (left map[string]string, err error) {
	left = map[string]string{}
	for name, value := range params {
		if value == "" {
			continue
		}
		switch name {
		case "pool_max_conns":
			if p.conns, err = strconv.Atoi(value); err != nil || p.conns < 2 || p.conns > 10_000 {
				return nil, fmt.Errorf("pool_max_conns is not a number from 2 to 10000: it is how many connections this node may have, %d where it is left out", poolConns)
			}
		case "pool_max_conn_lifetime":
			if p.lifetime, err = time.ParseDuration(value); err != nil || p.lifetime <= 0 {
				return nil, errors.New("pool_max_conn_lifetime is not a duration such as 30m")
			}
		case "pool_max_conn_idle_time":
			if p.idle, err = time.ParseDuration(value); err != nil || p.idle <= 0 {
				return nil, errors.New("pool_max_conn_idle_time is not a duration such as 5m")
			}
		case "pgbouncer":
			p.asked = true
			if p.pooler, err = strconv.ParseBool(value); err != nil {
				return nil, errors.New("pgbouncer is neither true nor false")
			}
		default:
			left[name] = value
		}
	}
	return left, nil
}

// defaultSchema is where the default tenant is: the search_path of the URL, which
// must be one plain name.
func defaultSchema(path string) (string, error) {
	if path == "" {
		return string(core.DefaultTenant), nil
	}
	if !schemaName.MatchString(path) || strings.HasPrefix(path, "t_") || strings.HasPrefix(path, "pg_") {
		return "", errors.New("search_path names the one schema of the default tenant: lower-case letters, digits and _, at most 63, not beginning with t_ or pg_")
	}
	return path, nil
}

// withoutPassword takes a URL's password out of a text, however it is written there.
func withoutPassword(text, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "its parts do not fit together"
	}
	secrets := []string{address, u.Query().Get("password")}
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password, url.QueryEscape(password), url.PathEscape(password))
		if _, raw, ok := strings.Cut(u.User.String(), ":"); ok {
			secrets = append(secrets, raw)
		}
	}
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	return text
}
