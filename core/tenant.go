package core

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// TenantID is a tenant's schema name: "public", or "t_" followed by 1 to 61
// lower-case letters and digits. It is the first part of every key, query,
// cookie and path of what belongs to the tenant.
type TenantID string

// DefaultTenant always exists and cannot be deleted. It answers every host
// that no other tenant owns, unless strict_hosts is set.
const DefaultTenant TenantID = "public"

var tenantID = regexp.MustCompile(`^(?:public|t_[a-z0-9]{1,61})$`)

// Valid reports whether it has the form of one. What has not never reaches a path, a schema
// name or a query.
func (t TenantID) Valid() bool { return tenantID.MatchString(string(t)) }

// Tenant owns an issuer, keys, cookies, brands and a directory of people and
// applications. It is found by Host; nothing crosses it.
type Tenant struct {
	ID   TenantID
	UUID string // tenant_uuid of the API; part of hashed subject identifiers
	Name string // for people
	// Ready tenants are served; the others are not, and their hosts are nobody's.
	Ready bool
	// Origin is scheme://host[:port], without a trailing slash, of links that
	// leave the request they were made in: mail, recovery, set-up, and the way
	// to the login page from a guarded application.
	Origin string
}

// Domain is a host that a tenant owns.
type Domain struct {
	ID   int64  // counts up; none is given twice
	Name string // as NormalizeHost gives it; unique over all tenants
	// Primary is the one of a tenant's domains that links lead to.
	Primary bool
	Tenant  TenantID
}

// Tenants finds the tenant that a request addresses.
type Tenants interface {
	// TenantByHost takes a Host as NormalizeHost returns it. A host that nobody
	// owns gives ErrNotFound, that of a tenant which is not ready ErrUnavailable.
	TenantByHost(ctx context.Context, host string) (*Tenant, error)
}

var errHost = errors.New("not a host name or IP address, optionally with a port")

// NormalizeHost splits a Host header into its lower-case name, without a port,
// trailing dot or IPv6 brackets, and its port ("" where it has none). It refuses
// what no URL could hold as its host (RFC 3986 §3.2.2): the result is safe in a URL, a
// key and a log line.
func NormalizeHost(host string) (name, port string, err error) {
	if len(host) > 260 {
		return "", "", errHost
	}
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return "", "", errHost
		}
		addr, err := netip.ParseAddr(host[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", errHost
		}
		name = addr.String()
		if rest := host[end+1:]; rest != "" {
			if !strings.HasPrefix(rest, ":") {
				return "", "", errHost
			}
			port = rest[1:]
			if !validPort(port) {
				return "", "", errHost
			}
		}
		return name, port, nil
	}
	name = host
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		name, port = host[:i], host[i+1:]
		if !validPort(port) {
			return "", "", errHost
		}
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if !validHostName(name) {
		return "", "", errHost
	}
	return name, port, nil
}

// JoinHost is the inverse of NormalizeHost.
func JoinHost(name, port string) string {
	if port != "" {
		return net.JoinHostPort(name, port)
	}
	if strings.Contains(name, ":") {
		return "[" + name + "]"
	}
	return name
}

func validPort(port string) bool {
	if len(port) < 1 || len(port) > 5 {
		return false
	}
	n := 0
	for _, c := range []byte(port) {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n > 0 && n < 1<<16
}

func validHostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
