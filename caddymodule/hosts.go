package caddymodule

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postern-sso/postern/core"
)

// appHosts knows at which hosts the registered applications of each tenant are, from memory:
// a tenant's are read when they are first asked for, and again when they change.
type appHosts struct {
	list    func(ctx context.Context, t core.TenantID) ([]core.ProxyApplication, error)
	tenants sync.Map // core.TenantID to *tenantHosts
	changes atomic.Uint64
}

type tenantHosts struct {
	mu    sync.Mutex    // held while they are read: one asks the directory, the others wait
	shape atomic.Uint64 // counts changes
	known atomic.Pointer[hostSet]
}

// hostSet is the hosts of one tenant as of one shape.
type hostSet struct {
	shape   uint64
	names   map[string]bool
	domains []string // each with every host below it
}

// has reports whether an application of a tenant, which must exist, is at a host, as
// core.NormalizeHost returns its name.
func (a *appHosts) has(ctx context.Context, t core.TenantID, host string) (bool, error) {
	set, err := a.of(ctx, t)
	if err != nil {
		return false, err
	}
	if set.names[host] {
		return true, nil
	}
	for _, d := range set.domains {
		if within(host, d) {
			return true, nil
		}
	}
	return false, nil
}

// within reports whether a host is a domain or below it.
func within(host, domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }

// of gives the hosts of a tenant.
func (a *appHosts) of(ctx context.Context, t core.TenantID) (*hostSet, error) {
	v, ok := a.tenants.Load(t)
	if !ok {
		v, _ = a.tenants.LoadOrStore(t, new(tenantHosts))
	}
	th := v.(*tenantHosts)
	set := th.known.Load()
	if set == nil || set.shape != th.shape.Load() {
		return a.read(ctx, t, th)
	}
	return set, nil
}

func (a *appHosts) read(ctx context.Context, t core.TenantID, th *tenantHosts) (*hostSet, error) {
	th.mu.Lock()
	defer th.mu.Unlock()
	set := &hostSet{shape: th.shape.Load(), names: map[string]bool{}}
	if known := th.known.Load(); known != nil && known.shape == set.shape {
		return known, nil
	}
	// Who waits for it must not be sent away because the one that asks has gone.
	all, err := a.list(context.WithoutCancel(ctx), t)
	if err != nil {
		return nil, fmt.Errorf("list the hosts of applications: %w", err)
	}
	for i := range all {
		p := &all[i].Provider
		if u, err := url.Parse(p.ExternalHost); err == nil {
			if name, _, err := core.NormalizeHost(u.Host); err == nil {
				set.names[name] = true
			}
		}
		if p.Mode == core.ProxyAuthDomain {
			if name, _, err := core.NormalizeHost(strings.TrimPrefix(p.CookieDomain, ".")); err == nil {
				set.domains = append(set.domains, name)
			}
		}
	}
	th.known.Store(set)
	return set, nil
}

// Invalidate drops what changes made stale.
func (a *appHosts) Invalidate(t core.TenantID, changes ...core.Change) {
	v, ok := a.tenants.Load(t)
	if !ok {
		return
	}
	for _, c := range changes {
		switch c.Kind {
		case "application", "provider", core.ChangedAny:
			v.(*tenantHosts).shape.Add(1)
			a.changes.Add(1)
		}
	}
}
