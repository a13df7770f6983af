package caddymodule

import (
	"context"
	"errors"
	"strings"

	"github.com/postern-sso/postern/core"
)

// tenant finds whom a host name addresses. One that nobody owns is the default
// tenant's, unless strict_hosts is set: then it is core.ErrNotFound, but for the
// host of the default tenant's own origin, its applications' and those that the
// configuration names.
func (s *system) tenant(ctx context.Context, host string) (*core.Tenant, error) {
	t, err := s.owner(ctx, host)
	if !errors.Is(err, core.ErrNotFound) {
		return t, err
	}
	if s.settings.strictHosts && host != hostName(s.settings.origin) && !s.sites.name(host) {
		if known, e := s.shared.hosts.has(ctx, core.DefaultTenant, host); e != nil || !known {
			return nil, errors.Join(err, e)
		}
	}
	return s.tenantByID(ctx, core.DefaultTenant)
}

// owner finds the tenant to which a host was given, by whoever runs the server: as
// one of its domains, or by a guard that names the tenant. Below its domains a tenant has
// the hosts of its own applications, but for those that who runs the server has put there;
// anywhere else an application's host is no more than a wish, or a tenant's administrator could take
// another's application by it. Nobody's host is core.ErrNotFound.
func (s *system) owner(ctx context.Context, host string) (*core.Tenant, error) {
	t, err := s.shared.db.TenantByHost(ctx, host)
	if err == nil {
		return s.withOrigin(t), nil
	}
	if !errors.Is(err, core.ErrNotFound) {
		return nil, err
	}
	if id, ok := s.sites.tenant(host); ok {
		if t, err := s.tenantByID(ctx, id); !errors.Is(err, core.ErrNotFound) {
			return t, err
		}
		return nil, &unknownTenantError{id}
	}
	t, domain, above := s.above(ctx, host)
	if above != nil {
		return nil, above
	}
	if t.ID == core.DefaultTenant {
		return nil, err
	}
	has, cannot := s.shared.hosts.has(ctx, t.ID, host)
	if cannot == nil && has {
		has, cannot = s.given(ctx, host, domain)
	}
	switch {
	case cannot != nil: // and not that nobody has it
		return nil, cannot
	case !has:
		return nil, err
	}
	return s.withOrigin(t), nil
}

// given reports whether a host below a tenant's domain was given to the tenant with it. It was not where
// it is the origin's, where a site says that it is the default tenant's, or where that one has an application
// there, whose own domain, if it has one, does not begin above the tenant's.
func (s *system) given(ctx context.Context, host, domain string) (bool, error) {
	if host == hostName(s.settings.origin) || s.sites.keeps(host) {
		return false, nil
	}
	own, err := s.shared.hosts.of(ctx, core.DefaultTenant)
	if err != nil || own.names[host] {
		return false, err
	}
	for _, d := range own.domains {
		if within(host, d) && within(d, domain) {
			return false, nil
		}
	}
	return true, nil
}

// above finds the tenant that has the nearest domain above a host, and the domain. None is core.ErrNotFound.
func (s *system) above(ctx context.Context, host string) (*core.Tenant, string, error) {
	for {
		_, parent, below := strings.Cut(host, ".")
		t, err := s.shared.db.TenantByHost(ctx, parent)
		if !below || !errors.Is(err, core.ErrNotFound) {
			return t, parent, err
		}
		host = parent
	}
}

// owned reports whether a host is somebody's own by its name: the origin's, that of a site or
// of a domain, or an application's that this configuration would take for it. A host that
// only a pattern covers is not.
func (s *system) owned(ctx context.Context, host string) (bool, error) {
	if host == hostName(s.settings.origin) || s.sites.exactly(host) {
		return true, nil
	}
	if _, err := s.shared.db.TenantByHost(ctx, host); !errors.Is(err, core.ErrNotFound) {
		return err == nil, err
	}
	ids := append(s.sites.naming(host), core.DefaultTenant)
	switch t, _, err := s.above(ctx, host); {
	case err == nil:
		ids = append(ids, t.ID)
	case !errors.Is(err, core.ErrNotFound):
		return false, err
	}
	for _, id := range ids {
		names, err := s.shared.hosts.of(ctx, id)
		if err != nil && !errors.Is(err, core.ErrNotFound) { // a guard may name a tenant that is not there
			return false, err
		}
		if err == nil && names.names[host] {
			return true, nil
		}
	}
	return false, nil
}

// tenantByID finds a tenant, with the origin that this configuration gives it.
func (s *system) tenantByID(ctx context.Context, id core.TenantID) (*core.Tenant, error) {
	t, err := s.shared.db.Tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.withOrigin(t), nil
}

// named finds the tenant that an operator names; empty: the default tenant.
func (s *system) named(ctx context.Context, name string) (*core.Tenant, error) {
	if name == "" {
		name = string(core.DefaultTenant)
	}
	t, err := s.tenantByID(ctx, core.TenantID(name))
	if errors.Is(err, core.ErrNotFound) {
		return nil, noTenant(name)
	}
	return t, err
}

// withOrigin gives a tenant, of which the directory knows no more than its primary domain,
// its scheme and port. One without a domain has no origin.
func (s *system) withOrigin(t *core.Tenant) *core.Tenant {
	if t.ID == core.DefaultTenant {
		t.Origin = s.settings.origin
		return t
	}
	if t.Origin == "" {
		return t
	}
	o, ok := s.origins.Load(t.Origin)
	if !ok {
		o, _ = s.origins.LoadOrStore(t.Origin, s.sites.tenantOrigin(hostName(t.Origin), s.settings.origin))
	}
	t.Origin = o.(string)
	return t
}

// unknownTenantError: a guard names a tenant that does not exist. Nobody is let in until
// it does.
type unknownTenantError struct{ id core.TenantID }

func (e *unknownTenantError) Error() string {
	return "postern_auth names the tenant " + string(e.id) + ", which does not exist"
}

func hostName(origin string) string {
	_, host, _ := strings.Cut(origin, "://")
	name, _, _ := core.NormalizeHost(host)
	return name
}
