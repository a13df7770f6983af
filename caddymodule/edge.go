package caddymodule

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
)

// edgeError is a request that is refused before a tenant is known.
type edgeError struct {
	status  int
	message string
}

func (e *edgeError) Error() string { return e.message }

// state says what is known about a request: from Caddy, which knows its trusted
// proxies, and from nothing else. What was stated once stands. A guard that names its
// tenant has the last word about that.
func (s *system) state(r *http.Request, guarded core.TenantID) (*core.RequestInfo, error) {
	vars := varsOf(r)
	info := stated(vars)
	if info == nil {
		var err error
		if info, err = s.newState(r, vars, guarded); err != nil {
			return nil, err
		}
	}
	if guarded == "" || info.Tenant.ID == guarded {
		return info, nil
	}
	t, err := s.tenantByID(r.Context(), guarded)
	if errors.Is(err, core.ErrNotFound) {
		return nil, &unknownTenantError{guarded}
	}
	if err != nil {
		return nil, err
	}
	own := *info
	own.Tenant = t
	return &own, nil
}

// statedVar is where Caddy's variables of a request have what a guard stated, for the handlers behind it.
const statedVar = "postern.request"

// statement is its value: whoever prints it, as `{http.vars.postern.request}`, sees an address in memory and no cookies.
type statement struct{ info *core.RequestInfo }

// varsOf are Caddy's variables of a request, which all its handlers share. Nil: it has none.
func varsOf(r *http.Request) map[string]any {
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	return vars
}

// stated is what a guard in front stated. Nil: nothing.
func stated(vars map[string]any) *core.RequestInfo {
	said, _ := vars[statedVar].(statement)
	return said.info
}

func (s *system) newState(r *http.Request, vars map[string]any, guarded core.TenantID) (*core.RequestInfo, error) {
	ctx := r.Context()
	info := &core.RequestInfo{Looks: s, Scheme: "http", Method: r.Method, UserAgent: r.UserAgent()}
	if len(info.UserAgent) > 500 {
		info.UserAgent = info.UserAgent[:500]
	}
	info.UserAgent = strings.ToValidUTF8(info.UserAgent, "")
	// Whatever was rewritten since.
	if or, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		info.URI = originalURI(or.RequestURI, or.URL)
		if or.Method != "" {
			info.Method = or.Method
		}
	} else {
		info.URI = originalURI(r.RequestURI, nil)
	}
	if r.TLS != nil {
		info.Scheme = "https"
	}
	host := r.Host
	trusted, _ := vars[caddyhttp.TrustedProxyVarKey].(bool)
	if trusted {
		switch proto := strings.ToLower(last(r.Header, "X-Forwarded-Proto")); proto {
		case "http", "https":
			info.Scheme = proto
		}
		if h := last(r.Header, "X-Forwarded-Host"); h != "" {
			host = h
		}
	}
	to, err := s.address(ctx, info.Scheme, host)
	if to.host == "" {
		return nil, &edgeError{http.StatusBadRequest, "The request's Host is not a host name."}
	}
	info.Host, info.Tenant = to.host, to.tenant
	if text, ok := vars[caddyhttp.ClientIPVarKey].(string); ok {
		text, _, _ = strings.Cut(text, "%") // an IPv6 zone names an interface of ours
		if addr, err := netip.ParseAddr(text); err == nil {
			info.ClientIP = addr.Unmap()
		}
	}
	info.ID = s.shared.requestID()
	if err != nil && errors.Is(err, core.ErrNotFound) && guarded != "" {
		// A catch-all site of a tenant: its applications' hosts are known.
		var has bool
		if has, err = s.shared.hosts.has(ctx, guarded, to.name); err == nil && !has {
			err = core.ErrNotFound
		} else if err == nil {
			info.Tenant, err = s.tenantByID(ctx, guarded)
		}
	}
	if err != nil && errors.Is(err, core.ErrNotFound) {
		return nil, &edgeError{http.StatusMisdirectedRequest, "Nobody here answers for this host."}
	}
	if err != nil || trusted {
		return info, err // behind a proxy the connection is the proxy's
	}
	return info, s.connected(r, to.name, info.Tenant.ID)
}

// connected refuses a request on a connection that was made to another tenant's host: what
// the handshake stood for (a certificate, a client's certificate, a decision of a network on the way)
// does not hold for this one. A browser that shares a connection between hosts opens
// another one for it (RFC 9110 §15.5.20).
func (s *system) connected(r *http.Request, host string, t core.TenantID) error {
	if r.TLS == nil || r.TLS.ServerName == "" {
		return nil
	}
	name, _, err := core.NormalizeHost(r.TLS.ServerName)
	if err != nil || name == host {
		return nil // what is no host name is no tenant's
	}
	to, err := s.tenant(r.Context(), name)
	var unknown *unknownTenantError
	if err != nil && !errors.Is(err, core.ErrNotFound) && !errors.As(err, &unknown) {
		return err
	}
	if err != nil || to.ID != t {
		return &edgeError{http.StatusMisdirectedRequest, "This connection was made for another host."}
	}
	return nil
}

// originalURI is the path and query of the request line as it was sent, whatever
// was rewritten since; uri is the request line's, and u what stands for it where there was none.
func originalURI(uri string, u *url.URL) string {
	if uri == "" && u != nil {
		uri = u.RequestURI()
	}
	if strings.HasPrefix(uri, "/") {
		return uri
	}
	// The absolute form (RFC 9112 §3.2.2): its host is the request's Host already.
	if _, rest, ok := strings.Cut(uri, "://"); ok {
		i := strings.IndexAny(rest, "/?")
		switch {
		case i < 0:
			return "/"
		case rest[i] == '?':
			return "/" + rest[i:]
		}
		return rest[i:]
	}
	return uri
}

// last is the value that the nearest proxy added: those before it may be the client's.
func last(h http.Header, name string) string {
	values := h.Values(name)
	if len(values) == 0 {
		return ""
	}
	v := values[len(values)-1]
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}
