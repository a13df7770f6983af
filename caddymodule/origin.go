package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
)

// site is a place in the HTTP app's routes where one of our handlers stands: one
// host pattern of one listener.
type site struct {
	scheme string // "http" or "https"
	host   string // as in the host matcher, in lower case; empty: any host
	port   string // of the listener
}

// origin is scheme://host[:port] of a site. One that takes any host is reached at
// localhost.
func (s site) origin() string {
	host := s.host
	if host == "" {
		host = "localhost"
	}
	return s.scheme + "://" + joinDefault(s.scheme, host, s.port)
}

// exact reports whether the site is one host, and not a pattern.
func (s site) exact() bool { return s.host != "" && !strings.ContainsAny(s.host, "*{") }

// matches reports whether a request to host, name[:port] without the scheme's default
// port, can have come to the site.
func (s site) matches(scheme, host string) bool {
	name, port, err := core.NormalizeHost(host)
	if err != nil || scheme != s.scheme || joinDefault(scheme, name, port) != joinDefault(scheme, name, s.port) {
		return false
	}
	return s.host == "" || hostMatches(s.host, name)
}

// hostMatches compares as Caddy's host matcher does: "*" stands for one label.
func hostMatches(pattern, name string) bool {
	p, n := strings.Split(pattern, "."), strings.Split(name, ".")
	if len(p) != len(n) {
		return false
	}
	for i := range p {
		if p[i] != n[i] && p[i] != "*" {
			return false
		}
	}
	return true
}

// sites says where our handlers stand.
type sites struct {
	portal []site
	guards []guardSite
	media  []site

	// The hosts whose guards all name the same tenant: see index.
	tenants   map[string]core.TenantID // by the host
	wildcards map[string]core.TenantID // by a pattern with "*"
}

// guardSite is one place that a guard stands at.
type guardSite struct {
	site
	guard *Guard
}

// index finds the hosts that guards give to tenants.
func (s *sites) index() {
	found, unclear := map[string]core.TenantID{}, map[string]bool{}
	for _, g := range s.guards {
		t := core.TenantID(g.guard.Tenant)
		if have, ok := found[g.host]; g.host == "" || t == "" || ok && have != t {
			unclear[g.host] = true
		}
		found[g.host] = t
	}
	s.tenants, s.wildcards = map[string]core.TenantID{}, map[string]core.TenantID{}
	for host, t := range found {
		switch {
		case unclear[host]:
		case strings.Contains(host, "*"):
			s.wildcards[host] = t
		default:
			s.tenants[host] = t
		}
	}
}

// tenant is whose a host is by its guards, if they say so.
func (s *sites) tenant(host string) (core.TenantID, bool) {
	if t, ok := s.tenants[host]; ok {
		return t, true
	}
	var found core.TenantID
	for pattern, t := range s.wildcards {
		if !hostMatches(pattern, host) {
			continue
		}
		if found != "" && found != t {
			return "", false
		}
		found = t
	}
	return found, found != ""
}

// keeps reports whether a site that names the host, itself or by a pattern, says that it is the default
// tenant's: a guard that names it, or that has rules of this configuration and names none, or, at this
// very host, `postern_media`, or `postern` where no guard stands, which might be a tenant's.
func (s *sites) keeps(host string) bool {
	names := func(x site) bool { return x.host != "" && hostMatches(x.host, host) }
	guarded := false
	for _, g := range s.guards {
		if !names(g.site) {
			continue
		}
		declared := g.guard.Application != "" || len(g.guard.AllowGroups) > 0
		if t := core.TenantID(g.guard.Tenant); t == core.DefaultTenant || t == "" && declared {
			return true
		}
		guarded = true
	}
	is := func(x site) bool { return x.exact() && x.host == host }
	return slices.ContainsFunc(s.media, is) || !guarded && slices.ContainsFunc(s.portal, is)
}

// naming are the tenants that guards name which a request to the host may meet.
func (s *sites) naming(host string) []core.TenantID {
	var out []core.TenantID
	for _, g := range s.guards {
		t := core.TenantID(g.guard.Tenant)
		if t != "" && !slices.Contains(out, t) && (g.host == "" || g.host == host || hostMatches(g.host, host)) {
			out = append(out, t)
		}
	}
	return out
}

// tenantOrigin is where the portal of a tenant is that has the host: as the site that a request
// to it meets has it, and where that is the default tenant's site too, which may
// be behind another proxy, as that one's origin has it.
func (s *sites) tenantOrigin(host, origin string) string {
	at := s.portalOf(host)
	if at == nil {
		return "https://" + core.JoinHost(host, "")
	}
	if s.portalOf(hostName(origin)) == at {
		scheme, rest, _ := strings.Cut(origin, "://")
		_, port, _ := core.NormalizeHost(rest)
		return scheme + "://" + core.JoinHost(host, port)
	}
	there := *at
	there.host = host
	return there.origin()
}

// portalOf is the site with `postern` that a host belongs to: one of its name before a
// pattern, a pattern before one that takes any, https before http.
func (s *sites) portalOf(host string) *site {
	var best *site
	rank := func(p *site) int {
		n := 0
		switch {
		case p.host == host:
			n = 4
		case p.host != "":
			n = 2
		}
		if p.scheme == "https" {
			n++
		}
		return n
	}
	for i := range s.portal {
		p := &s.portal[i]
		if (p.host == "" || hostMatches(p.host, host)) && (best == nil || rank(p) > rank(best)) {
			best = p
		}
	}
	return best
}

// guarded returns the guards that a request to host can meet.
func (s *sites) guarded(host string) []*Guard {
	var out []*Guard
	for _, g := range s.guards {
		if (g.matches("http", host) || g.matches("https", host)) && !slices.Contains(out, g.guard) {
			out = append(out, g.guard)
		}
	}
	return out
}

// name reports whether a site names the host, rather than take any.
func (s *sites) name(host string) bool {
	for _, p := range s.portal {
		if p.host != "" && hostMatches(p.host, host) {
			return true
		}
	}
	for _, g := range s.guards {
		if g.host != "" && hostMatches(g.host, host) {
			return true
		}
	}
	return slices.ContainsFunc(s.media, func(m site) bool { return m.host != "" && hostMatches(m.host, host) })
}

// exactly reports whether a site is of this host and no other.
func (s *sites) exactly(host string) bool {
	is := func(x site) bool { return x.exact() && x.host == host }
	return slices.ContainsFunc(s.portal, is) || slices.ContainsFunc(s.media, is) || slices.ContainsFunc(s.guards, func(g guardSite) bool { return is(g.site) })
}

// hasPortal reports whether a guard shares a site with `postern`.
func (s *sites) hasPortal(g *Guard) bool {
	for _, gs := range s.guards {
		if gs.guard == g && slices.Contains(s.portal, gs.site) {
			return true
		}
	}
	return false
}

// origin is where the login is: what is configured, or the first site that holds `postern`, one
// with a host of its own before one that takes any.
func (s *sites) origin() (string, error) {
	if len(s.portal) == 0 {
		return "", errors.New("postern_auth guards a site, but nobody can log in: add `postern` to a site of this configuration")
	}
	for _, p := range s.portal {
		if p.exact() {
			return p.origin(), nil
		}
	}
	p := s.portal[0]
	if strings.ContainsAny(p.host, "*{") {
		return "", fmt.Errorf("the site %s that holds `postern` has no host of its own: set `origin` in the global options, such as `postern { origin https://auth.example.com }`", p.host)
	}
	return p.origin(), nil
}

// findSites walks the HTTP app's routes. It is provisioned by the time this app
// starts.
func (a *App) findSites() error {
	mod, err := a.ctx.AppIfConfigured("http")
	if err == nil {
		app, ok := mod.(*caddyhttp.App)
		if !ok {
			return fmt.Errorf("the app named http is a %T", mod)
		}
		a.sites = walkApp(app)
	} else if !errors.Is(err, caddy.ErrNotConfigured) {
		return fmt.Errorf("look at the sites: %w", err)
	}
	if a.settings.origin != "" || len(a.sites.portal)+len(a.sites.guards) == 0 {
		return nil
	}
	a.settings.origin, err = a.sites.origin()
	return err
}

func walkApp(app *caddyhttp.App) sites {
	var found sites
	var names []string
	for name := range app.Servers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		srv := app.Servers[name]
		for _, listen := range srv.Listen {
			addr, err := caddy.ParseNetworkAddress(listen)
			if err != nil {
				continue // the HTTP app itself refuses it
			}
			httpPort := app.HTTPPort
			if httpPort == 0 {
				httpPort = caddyhttp.DefaultHTTPPort
			}
			s := site{scheme: "http"}
			if !addr.IsUnixNetwork() && !addr.IsFdNetwork() {
				_, s.port, _ = net.SplitHostPort(addr.JoinHostPort(0))
			}
			if len(srv.TLSConnPolicies) > 0 && int(addr.StartPort) != httpPort {
				s.scheme = "https"
			}
			w := walker{found: &found, server: srv}
			w.routes(srv.Routes, s, []string{""}, 0)
		}
	}
	found.index()
	return found
}

type walker struct {
	found  *sites
	server *caddyhttp.Server
}

// routes visits every handler below routes. hosts is what the matchers above let
// through.
func (w *walker) routes(routes caddyhttp.RouteList, s site, hosts []string, depth int) {
	if depth > 32 { // a named route that invokes itself
		return
	}
	for i := range routes {
		below := hosts
		if own := hostsOf(&routes[i]); len(own) > 0 {
			below = own
		}
		for _, h := range routes[i].Handlers {
			switch h := h.(type) {
			case *Provider:
				for _, host := range below {
					s.host = host
					w.found.portal = append(w.found.portal, s)
				}
			case *MediaServer:
				for _, host := range below {
					s.host = host
					w.found.media = append(w.found.media, s)
				}
			case *Guard:
				for _, host := range below {
					s.host = host
					w.found.guards = append(w.found.guards, guardSite{site: s, guard: h})
				}
			case *caddyhttp.Subroute:
				w.routes(h.Routes, s, below, depth+1)
			case *caddyhttp.Invoke:
				if named := w.server.NamedRoutes[h.Name]; named != nil {
					w.routes(caddyhttp.RouteList{*named}, s, below, depth+1)
				}
			}
		}
	}
}

// hostsOf lists the hosts that a route's matchers name.
func hostsOf(route *caddyhttp.Route) []string {
	var out []string
	for _, set := range route.MatcherSets {
		for _, m := range set {
			var hosts []string
			switch m := m.(type) {
			case *caddyhttp.MatchHost:
				hosts = *m
			case caddyhttp.MatchHost:
				hosts = m
			}
			for _, h := range hosts {
				out = append(out, strings.ToLower(h))
			}
		}
	}
	return out
}
