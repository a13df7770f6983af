package caddymodule

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/outpost"
)

// overlay adds the applications that the configuration declares, by guarding a
// host, to those of the directory. It cannot be written to.
type overlay struct {
	Directory core.Applications
	sites     *sites
	// owner finds whose a host is: see system.owner.
	owner func(ctx context.Context, host string) (*core.Tenant, error)
}

const declaredPrefix = "caddyfile:"

// Application finds a declared one by its ID, for any host that a guard stands at.
func (o *overlay) Application(ctx context.Context, t core.TenantID, id core.ApplicationID) (*core.Application, error) {
	if host, ok := strings.CutPrefix(string(id), declaredPrefix); ok {
		if app := o.declared(ctx, t, host); app != nil {
			return app, nil
		}
		return nil, core.ErrNotFound
	}
	return o.Directory.Application(ctx, t, id)
}

// ApplicationBySlug finds a registered one first.
func (o *overlay) ApplicationBySlug(ctx context.Context, t core.TenantID, slug string) (*core.Application, error) {
	app, err := o.Directory.ApplicationBySlug(ctx, t, slug)
	if err == nil {
		return app, nil
	}
	for _, d := range o.listed(ctx, t) {
		if d.Slug == slug {
			return &d, nil
		}
	}
	return nil, err
}

// Applications lists registered and declared ones. A host that a registered one has is
// not listed a second time.
func (o *overlay) Applications(ctx context.Context, t core.TenantID) ([]core.Application, error) {
	all, err := o.Directory.Applications(ctx, t)
	if err != nil {
		return nil, err
	}
	registered, err := o.Directory.ProxyApplications(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, d := range o.listed(ctx, t) {
		if !slices.ContainsFunc(registered, func(p core.ProxyApplication) bool {
			return strings.TrimSuffix(p.Provider.ExternalHost, "/")+"/" == d.LaunchURL
		}) {
			all = append(all, d)
		}
	}
	slices.SortStableFunc(all, func(a, b core.Application) int { return strings.Compare(core.Fold(a.Name), core.Fold(b.Name)) })
	return all, nil
}

// ApplicationByProvider is the directory's.
func (o *overlay) ApplicationByProvider(ctx context.Context, t core.TenantID, id core.ProviderID) (*core.Application, error) {
	return o.Directory.ApplicationByProvider(ctx, t, id)
}

// Provider is the directory's.
func (o *overlay) Provider(ctx context.Context, t core.TenantID, id core.ProviderID) (core.Provider, error) {
	return o.Directory.Provider(ctx, t, id)
}

// ProxyApplications are the directory's: a declared one has no provider.
func (o *overlay) ProxyApplications(ctx context.Context, t core.TenantID) ([]core.ProxyApplication, error) {
	return o.Directory.ProxyApplications(ctx, t)
}

// tenant is whose application a guard declares at a host, name[:port]. Where nobody can say
// now, it is nobody's.
func (o *overlay) tenant(ctx context.Context, g *Guard, host string) core.TenantID {
	if g.Tenant != "" {
		return core.TenantID(g.Tenant)
	}
	name, _, err := core.NormalizeHost(host)
	if err != nil {
		return ""
	}
	t, err := o.owner(ctx, name)
	switch {
	case err == nil:
		return t.ID
	case errors.Is(err, core.ErrNotFound):
		return core.DefaultTenant
	}
	return ""
}

// declared is the application of a tenant at a host. Where several guards stand at one host with rules of their
// own, each holds for its own place; the application itself is open to whoever one of
// them may let in.
func (o *overlay) declared(ctx context.Context, t core.TenantID, host string) *core.Application {
	guards := slices.DeleteFunc(o.sites.guarded(host), func(g *Guard) bool { return o.tenant(ctx, g, host) != t })
	if len(guards) == 0 {
		return nil
	}
	var groups []string
	for _, g := range guards {
		if g.Application != "" {
			continue
		}
		if len(g.AllowGroups) == 0 {
			groups = nil
			break
		}
		groups = append(groups, g.AllowGroups...)
	}
	return outpost.Declared(host, groups)
}

// listed are a tenant's declared ones that have a host of their own, each once.
func (o *overlay) listed(ctx context.Context, t core.TenantID) []core.Application {
	var out []core.Application
	for _, g := range o.sites.guards {
		if !g.exact() || g.guard.Application != "" || slices.Contains(o.sites.portal, g.site) || o.tenant(ctx, g.guard, g.host) != t {
			continue
		}
		host := joinDefault(g.scheme, g.host, g.port)
		if slices.ContainsFunc(out, func(a core.Application) bool { return a.ID == outpost.DeclaredID(host) }) {
			continue
		}
		app := o.declared(ctx, t, host)
		app.LaunchURL = g.origin() + "/"
		out = append(out, *app)
	}
	return out
}

var _ core.Applications = (*overlay)(nil)
