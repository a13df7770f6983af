package caddymodule

import (
	"context"
	"net"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// unsent is about how much of a file the kernel keeps for a connection whose client has no room for it yet. By
// itself it takes megabytes, of a memory that all connections share, and does not ask for more until a third of that
// is gone, which takes a slow client longer than it is waited for.
const unsent = 128 << 10

// connectionKey is where a request's context has its connection.
type connectionKey struct{}

// keepConnection has the requests of the server that a handler is provisioned for know their connection.
func keepConnection(ctx caddy.Context) {
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterConnContext(withConnection)
	}
}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	if ctx.Value(connectionKey{}) != nil { // another handler of the server was first
		return ctx
	}
	return context.WithValue(ctx, connectionKey{}, c)
}

// boundConnection has the kernel keep no more than that for a request's connection from now on, where it can be told.
func boundConnection(ctx context.Context) {
	c, _ := ctx.Value(connectionKey{}).(net.Conn)
	if encrypted, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = encrypted.NetConn()
	}
	if s, ok := c.(syscall.Conn); ok {
		boundUnsent(s)
	}
}
