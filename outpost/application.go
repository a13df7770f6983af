package outpost

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postern-sso/postern/core"
)

// DeclaredID is the ID of the application that the configuration declares for a
// host, name[:port], by guarding it.
func DeclaredID(host string) core.ApplicationID { return core.ApplicationID("caddyfile:" + host) }

// Declared is the application that the configuration declares for a host.
func Declared(host string, allowGroups []string) *core.Application {
	slug := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, host)
	return &core.Application{
		ID: DeclaredID(host), Slug: strings.Trim(slug, "-"), Name: host,
		PolicyMode: "any", AllowGroups: allowGroups,
	}
}

// target is an application as one guard sees it.
type target struct {
	app        *core.Application
	clientID   string
	cookie     string // name of its session cookie
	hostCookie string // over TLS
	skip       []Skip
	headers    HeaderSet
	external   string              // host[:port] of the provider's external_host; empty: none
	shared     bool                // kept in memory, so verdicts on it may be too
	proxy      *core.ProxyProvider // nil: none is registered
}

// route is an application with a proxy provider, by where people open it.
type route struct {
	host string // name[:port], without the scheme's default port
	path string // "" or "/prefix"
	// domain is set for a provider of mode forward_domain: every host below it.
	domain string
	pa     core.ProxyApplication
}

// routes is the table of one tenant as of one shape.
type routes struct {
	shape   uint64
	all     []route
	targets sync.Map // targetKey to *target
	n       atomic.Int32
}

type targetKey struct {
	guard *Guard
	app   core.ApplicationID // empty: declared, or named by the guard
	host  string             // of a declared one
}

// errAmbiguous: the path can be read in two ways, and which application it
// belongs to depends on it.
var errAmbiguous = errors.New("the path can be read in more than one way")

// located is where a guard's last request led. It holds for its host until the tenant's shape changes.
type located struct {
	tenant core.TenantID
	host   string
	shape  uint64
	state  *tenantState
	target *target
}

// locate finds a tenant's state and the application that a request belongs to. Most guards are
// of one application: its last request's is looked at first.
func (o *Outpost) locate(ctx context.Context, info *core.RequestInfo, g *Guard) (*tenantState, *target, error) {
	t := info.Tenant.ID
	if at := g.last.Load(); at != nil && at.host == info.Host && at.tenant == t && at.shape == at.state.shape.Load() {
		return at.state, at.target, nil
	}
	s := o.Cache.tenant(t)
	shape := s.shape.Load()
	tg, anyPath, err := o.target(ctx, s, info, g)
	if err == nil && anyPath && tg.shared {
		g.last.Store(&located{tenant: t, host: info.Host, shape: shape, state: s, target: tg})
	}
	return s, tg, err
}

// target finds the application that a request belongs to, and whether it would be the same for any path.
func (o *Outpost) target(ctx context.Context, s *tenantState, info *core.RequestInfo, g *Guard) (tg *target, anyPath bool, err error) {
	rt := s.routes.Load()
	if shape := s.shape.Load(); rt == nil || rt.shape != shape {
		list, err := o.Applications.ProxyApplications(ctx, info.Tenant.ID)
		if err != nil {
			return nil, false, fmt.Errorf("list applications: %w", err)
		}
		rt = newRoutes(shape, list)
		if s.shape.Load() == shape {
			s.routes.Store(rt)
		}
	}
	key := targetKey{guard: g}
	anyPath = true
	var found *route
	if g.Application == "" {
		if found, anyPath, err = rt.find(info); err != nil {
			return nil, false, err
		}
		if found != nil {
			key.app = found.pa.Application.ID
		} else {
			key.host = info.Host
		}
	}
	if tg, ok := rt.targets.Load(key); ok {
		return tg.(*target), anyPath, nil
	}
	if tg, err = o.newTarget(ctx, info, g, found); err != nil {
		return nil, false, err
	}
	if rt.n.Add(1) <= maxTargets {
		tg.shared = true
		have, _ := rt.targets.LoadOrStore(key, tg)
		tg = have.(*target)
	}
	return tg, anyPath, nil
}

func (o *Outpost) newTarget(ctx context.Context, info *core.RequestInfo, g *Guard, found *route) (*target, error) {
	tg := &target{skip: g.SkipPath, headers: g.Headers}
	var app core.Application
	var proxy *core.ProxyProvider
	switch {
	case g.Application != "":
		a, err := o.Applications.ApplicationBySlug(ctx, info.Tenant.ID, g.Application)
		if err != nil {
			return nil, fmt.Errorf("find the application %q that the guard names: %w", g.Application, err)
		}
		app = *a
		if a.Provider != 0 {
			p, err := o.Applications.Provider(ctx, info.Tenant.ID, a.Provider)
			if err != nil {
				return nil, fmt.Errorf("find the provider of application %q: %w", g.Application, err)
			}
			proxy, _ = p.(*core.ProxyProvider)
		}
	case found != nil:
		app, proxy = found.pa.Application, &found.pa.Provider
	default:
		app = *Declared(info.Host, nil)
	}
	// What the guard asks for comes on top of what the application asks for.
	if len(g.AllowGroups) > 0 {
		app.AllowGroups = g.AllowGroups
	}
	tg.app, tg.clientID = &app, string(app.ID)
	if proxy != nil {
		tg.proxy, tg.clientID = proxy, proxy.ClientID
		tg.skip = append(append([]Skip(nil), g.SkipPath...), providerSkips(proxy.SkipPath, proxy.Mode == core.ProxyAuthDomain)...)
		tg.external, _, _ = splitExternal(proxy.ExternalHost)
	}
	tg.cookie = cookieName(tg.clientID)
	tg.hostCookie = hostPrefix + tg.cookie
	return tg, nil
}

func newRoutes(shape uint64, list []core.ProxyApplication) *routes {
	rt := &routes{shape: shape}
	for _, pa := range list {
		host, path, ok := splitExternal(pa.Provider.ExternalHost)
		if !ok {
			continue // refused when it is saved; what cannot be read guards nothing more than the default does
		}
		r := route{host: host, path: path, pa: pa}
		if pa.Provider.Mode == core.ProxyAuthDomain {
			name, _, err := core.NormalizeHost(strings.TrimPrefix(pa.Provider.CookieDomain, "."))
			if err != nil {
				continue
			}
			r.domain = name
		}
		rt.all = append(rt.all, r)
	}
	return rt
}

// find picks the route whose host is the request's and whose path is the longest
// that holds it; then the longest domain. None: nil. anyPath: of the request's host it is the same for any path.
func (rt *routes) find(info *core.RequestInfo) (found *route, anyPath bool, err error) {
	var best *route
	var byPath bool
	for i := range rt.all {
		r := &rt.all[i]
		if r.domain == "" && r.host == info.Host && r.path != "" {
			byPath = true
		}
	}
	path := rawPath(info.URI)
	if byPath {
		plain, ok := plainPath(info.URI)
		if !ok {
			return nil, false, errAmbiguous
		}
		path = plain
	}
	var name string
	for i := range rt.all {
		r := &rt.all[i]
		switch {
		case r.domain != "":
			if name == "" {
				name, _, _ = core.NormalizeHost(info.Host)
			}
			if (name == r.domain || strings.HasSuffix(name, "."+r.domain)) &&
				(best == nil || best.domain != "" && len(r.domain) > len(best.domain)) {
				best = r
			}
		case r.host == info.Host && (r.path == "" || path == r.path || strings.HasPrefix(path, r.path+"/")):
			if best == nil || best.domain != "" || len(r.path) > len(best.path) {
				best = r
			}
		}
	}
	return best, !byPath, nil
}

// splitExternal reads scheme://host[:port][/path].
func splitExternal(external string) (host, path string, ok bool) {
	u, err := url.Parse(external)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "", "", false
	}
	name, port, err := core.NormalizeHost(u.Host)
	if err != nil {
		return "", "", false
	}
	if u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		port = ""
	}
	return core.JoinHost(name, port), strings.TrimRight(u.Path, "/"), true
}
