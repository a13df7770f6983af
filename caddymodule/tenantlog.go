package caddymodule

import (
	"context"
	"log/slog"

	"github.com/postern-sso/postern/core"
)

// tenantLog adds to each line of the log that a request causes whose request it was, where the
// line does not say so.
type tenantLog struct{ next slog.Handler }

// Enabled asks the log.
func (h tenantLog) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle writes to the log.
func (h tenantLog) Handle(ctx context.Context, rec slog.Record) error {
	const name = "tenant"
	info := core.Request(ctx)
	if info == nil || info.Tenant == nil {
		return h.next.Handle(ctx, rec)
	}
	said := false
	rec.Attrs(func(a slog.Attr) bool {
		said = a.Key == name
		return !said
	})
	if !said {
		rec = rec.Clone()
		rec.AddAttrs(slog.String(name, string(info.Tenant.ID)))
	}
	return h.next.Handle(ctx, rec)
}

// WithAttrs keeps attributes for the lines to come.
func (h tenantLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tenantLog{h.next.WithAttrs(attrs)}
}

// WithGroup keeps a group for the lines to come.
func (h tenantLog) WithGroup(name string) slog.Handler { return tenantLog{h.next.WithGroup(name)} }

var _ slog.Handler = tenantLog{}
