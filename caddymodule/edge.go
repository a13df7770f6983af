package caddymodule

import (
	"errors"
	"net/http"
	"net/netip"
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
// proxies, and from nothing else. What was stated once stands.
func (s *system) state(r *http.Request) (*core.RequestInfo, error) {
	if info := core.Request(r.Context()); info != nil {
		return info, nil
	}
	ctx := r.Context()
	info := &core.RequestInfo{Scheme: "http", URI: originalURI(r), Method: r.Method, UserAgent: r.UserAgent()}
	if len(info.UserAgent) > 500 {
		info.UserAgent = info.UserAgent[:500]
	}
	info.UserAgent = strings.ToValidUTF8(info.UserAgent, "")
	if or, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && or.Method != "" {
		info.Method = or.Method // whatever was rewritten since
	}
	if r.TLS != nil {
		info.Scheme = "https"
	}
	host := r.Host
	if trusted, _ := caddyhttp.GetVar(ctx, caddyhttp.TrustedProxyVarKey).(bool); trusted {
		switch proto := strings.ToLower(last(r.Header, "X-Forwarded-Proto")); proto {
		case "http", "https":
			info.Scheme = proto
		}
		if h := last(r.Header, "X-Forwarded-Host"); h != "" {
			host = h
		}
	}
	name, port, err := core.NormalizeHost(host)
	if err != nil {
		return nil, &edgeError{http.StatusBadRequest, "The request's Host is not a host name."}
	}
	info.Host = joinDefault(info.Scheme, name, port)
	if text, ok := caddyhttp.GetVar(ctx, caddyhttp.ClientIPVarKey).(string); ok {
		text, _, _ = strings.Cut(text, "%") // an IPv6 zone names an interface of ours
		if addr, err := netip.ParseAddr(text); err == nil {
			info.ClientIP = addr.Unmap()
		}
	}
	info.ID = s.shared.requestID()
	info.Tenant, err = s.tenant(ctx, name)
	if errors.Is(err, core.ErrNotFound) {
		return nil, &edgeError{http.StatusMisdirectedRequest, "Nobody here answers for this host."}
	}
	return info, err
}

// originalURI is the path and query of the request line as it was sent, whatever
// was rewritten since.
func originalURI(r *http.Request) string {
	uri := r.RequestURI
	if or, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		uri = or.RequestURI
		if uri == "" && or.URL != nil {
			uri = or.URL.RequestURI()
		}
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
