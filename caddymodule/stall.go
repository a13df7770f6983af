package caddymodule

import (
	"io"
	"math"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	// filePatience is how long a client may take for the next part of a file: Caddy's own default.
	filePatience = time.Minute
	// filePart is what a client has to take in that time, 4 KiB a second, until the kernel has the rest.
	filePart = 1 << 20
)

// stallGuard cuts off clients that stop reading a file, where Caddy does not: its `write_idle` keeps the kernel
// from sending files by itself, and who lifts it is to have no connections that hang for ever.
type stallGuard struct {
	*caddyhttp.ResponseWriterWrapper
	deadline *http.ResponseController
	patience time.Duration
}

// unstalled guards an answer that nothing else bounds.
func unstalled(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if _, caddys := caddyhttp.IdleTimeoutsFromContext(r.Context()); caddys != nil {
		return w
	}
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); !ok || s.WriteTimeout > 0 {
		return w
	}
	return &stallGuard{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, http.NewResponseController(w), filePatience}
}

// ReadFrom sends a file part by part. What of it cannot have a deadline goes without: there is no such
// connection in Caddy.
func (g *stallGuard) ReadFrom(from io.Reader) (n int64, err error) {
	// The kernel sends a file within one limit, and not one within a limit within another.
	whole, ok := from.(*io.LimitedReader)
	if !ok {
		whole = &io.LimitedReader{R: from, N: math.MaxInt64}
	}
	defer func() {
		if err == nil {
			err = g.deadline.Flush() // what is left would else go out without a deadline
		}
		_ = g.deadline.SetWriteDeadline(time.Time{}) // the connection's next answer may pause
	}()
	for whole.N > 0 {
		_ = g.deadline.SetWriteDeadline(time.Now().Add(g.patience))
		part := min(whole.N, filePart)
		sent, err := g.ResponseWriterWrapper.ReadFrom(&io.LimitedReader{R: whole.R, N: part})
		n += sent
		whole.N -= sent
		if err != nil || sent < part {
			return n, err
		}
	}
	return n, nil
}
