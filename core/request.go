package core

import (
	"context"
	"net/netip"
)

// RequestInfo is what the edge states about a request. Nothing else in core or
// outpost reads X-Forwarded-*, and nothing reads Host again.
type RequestInfo struct {
	Tenant *Tenant
	Scheme string // "http" or "https"
	// Host is name[:port] in lower case, as NormalizeHost and JoinHost give it,
	// without the scheme's default port.
	Host     string
	ClientIP netip.Addr
	// URI is the path and query of the request line as the client sent it, before any
	// rewriting.
	URI string
	// Method is that of the request line.
	Method string
	// UserAgent is the header of that name, at most 500 bytes: what the client says of itself.
	UserAgent string
	// Cookies are the lines of the Cookie header as the client sent them, where a guard
	// has taken ours out of what goes on.
	Cookies []string
	// ID names the request in logs and on error pages.
	ID string
	// Looks knows how the tenant looks: see Look. Nil: plain.
	Looks Looks
}

// Origin is scheme://host[:port]: the issuer's and the API's own address.
func (r *RequestInfo) Origin() string { return r.Scheme + "://" + r.Host }

type requestKey struct{}

// WithRequest returns a context that carries r.
func WithRequest(ctx context.Context, r *RequestInfo) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// Request returns what the edge stated, or nil outside of a request.
func Request(ctx context.Context) *RequestInfo {
	r, _ := ctx.Value(requestKey{}).(*RequestInfo)
	return r
}
