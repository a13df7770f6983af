package caddymodule

import (
	"context"
	"errors"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// warnAbsent tells of tenants, applications and groups that guards name and the directory does not
// have. It is no error: whoever keeps them with Terraform may make them after the guard. Until
// then nobody is let in. And it tells of guards whose tenant another tenant's administrator decides.
func (a *App) warnAbsent() {
	db := a.core.shared.db
	for _, g := range a.sites.guards {
		t := core.DefaultTenant
		if g.guard.Tenant != "" {
			t = core.TenantID(g.guard.Tenant)
		} else if name := hostOf(g.site); name != "" {
			if owner, err := a.core.owner(a.ctx, name); err == nil {
				t = owner.ID
			}
		}
		log := a.log.With("tenant", t, "host", g.host)
		if domain := a.core.below(a.ctx, g.site); domain != "" && g.guard.Tenant == "" {
			log.Warn("postern_auth names no tenant and stands below a tenant's domain: it guards for that tenant where the tenant has registered an application at the host, "+
				"else for the default one; write `tenant` with the schema name of the one you mean, `public` for the default", "domain", domain)
		}
		switch tenant, err := a.core.tenantByID(a.ctx, t); {
		case errors.Is(err, core.ErrNotFound):
			log.Warn("postern_auth names a tenant that does not exist: nobody is let in until it does")
			continue
		case err != nil:
			continue // the database is away; it is asked again at each request
		case tenant.Origin == "":
			log.Warn("postern_auth guards for a tenant that has no domain: nobody can log in to it until it has one")
		}
		if slug := g.guard.Application; slug != "" {
			if _, err := db.ApplicationBySlug(a.ctx, t, slug); errors.Is(err, core.ErrNotFound) {
				log.Warn("postern_auth names an application that does not exist: nobody is let in until it does", "application", slug)
			}
		}
		for _, name := range g.guard.AllowGroups {
			q := api.Query{Where: map[string][]string{"name": {name}}, Limit: 1}
			if _, n, err := db.ListGroups(a.ctx, t, q); err == nil && n == 0 {
				log.Warn("postern_auth names a group that does not exist: it lets nobody in until it does", "allow_groups", name)
			}
		}
	}
}

// below is the domain of another tenant than the default one that a site's host is below, if it may be that
// tenant's by it: else "".
func (s *system) below(ctx context.Context, at site) string {
	host := hostOf(at)
	if host == "" {
		return ""
	}
	if _, err := s.shared.db.TenantByHost(ctx, host); !errors.Is(err, core.ErrNotFound) {
		return ""
	}
	t, domain, err := s.above(ctx, host)
	if err != nil || t.ID == core.DefaultTenant {
		return ""
	}
	if given, err := s.given(ctx, host, domain); err != nil || !given {
		return ""
	}
	return domain
}

// hostOf is the host of a site that has one of its own.
func hostOf(s site) string {
	if !s.exact() {
		return ""
	}
	return s.host
}
