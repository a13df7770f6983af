package caddymodule

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// relay is the log of what outlives a configuration: it writes to the log of the
// configuration that is in use, for the log of one before may be closed.
type relay struct {
	current *atomic.Pointer[slog.Handler]
	// attrs and groups as they were added, to be added to each handler in turn.
	added []func(slog.Handler) slog.Handler
}

// to names the log in use.
func (r *relay) to(log *slog.Logger) {
	if r.current == nil {
		r.current = new(atomic.Pointer[slog.Handler])
	}
	h := log.Handler()
	r.current.Store(&h)
}

func (r *relay) handler() slog.Handler {
	h := *r.current.Load()
	for _, add := range r.added {
		h = add(h)
	}
	return h
}

func (r *relay) with(add func(slog.Handler) slog.Handler) slog.Handler {
	return &relay{current: r.current, added: append(r.added[:len(r.added):len(r.added)], add)}
}

// Enabled asks the log in use.
func (r *relay) Enabled(ctx context.Context, l slog.Level) bool {
	return (*r.current.Load()).Enabled(ctx, l)
}

// Handle writes to the log in use.
func (r *relay) Handle(ctx context.Context, rec slog.Record) error {
	return r.handler().Handle(ctx, rec)
}

// WithAttrs keeps the attributes for every log to come.
func (r *relay) WithAttrs(attrs []slog.Attr) slog.Handler {
	return r.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup keeps the group for every log to come.
func (r *relay) WithGroup(name string) slog.Handler {
	return r.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

var _ slog.Handler = (*relay)(nil)
