package caddymodule

import (
	"context"

	"github.com/postern-sso/postern/core"
)

// Look is what pages of a host show of its tenant: from memory, once it was asked for. A
// page without its colours is better than none: what cannot be read is plain.
func (s *system) Look(ctx context.Context, t *core.Tenant, host string) core.Look {
	brands, err := s.shared.recent.Brands(ctx, t.ID)
	settings, e := s.shared.recent.Settings(ctx, t.ID)
	if err == nil {
		err = e
	}
	if err != nil {
		s.guard.Log.WarnContext(ctx, "the brand of a tenant could not be read: its pages are plain", "tenant", t.ID, "error", err)
	}
	if e != nil {
		settings = core.DefaultSettings()
	}
	return core.NewLook(t, host, brands, settings)
}

var _ core.Looks = (*system)(nil)
