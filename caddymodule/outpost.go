package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/outpost"
)

func init() {
	caddy.RegisterModule(new(Guard))
}

// Guard lets a request on only with a login, and tells the application behind it whose. Identity
// headers that the client sent are removed first thing, in every spelling. Every
// refusal is written here: Caddy's error handlers never serve content in its place.
//
// It sets these placeholders, and with the first of them Caddy's access log names
// the user:
//
// Placeholder | Description
// ------------|------------
// `{http.auth.user.id}` | user name
// `{http.auth.user.name}` | display name
// `{http.auth.user.email}` | e-mail address
// `{http.auth.user.groups}` | names of the groups, joined by `|`
// `{http.auth.user.uid}` | the subject identifier
type Guard struct {
	// The tenant whose users are let in, by its schema name, such as `t_acme`, or `public`, the
	// default tenant. While there is none of that name, nobody is let in. Default: found
	// by host: a domain of a tenant, or below one the external host of an application
	// of that tenant, unless this guard has `application` or `allow_groups`; any other host
	// is the default tenant's.
	Tenant string `json:"tenant,omitempty"`

	// The slug of the application that is guarded. Default: found by host and path;
	// where none is registered, one that this configuration declares: any active user
	// of the tenant, or only those of `allow_groups`.
	Application string `json:"application,omitempty"`

	// Names of groups, one of which a user must be in. It comes on top of what
	// a registered application asks for. Default: no such rule.
	AllowGroups []string `json:"allow_groups,omitempty"`

	// Paths that need no login: `/public/*`, or a regular expression that begins with `^`.
	// The path is that of the request as it was sent, whatever was rewritten; letter
	// case counts; the query is not looked at; a path that can be read in two ways
	// (`%2f`, `..`, `//`, `;`) matches nothing. Default: none.
	SkipPath []string `json:"skip_path,omitempty"`

	// Which headers tell the application who its user is: `authentik`
	// (X-authentik-username, -groups, -entitlements, -email, -name, -uid, -meta-app), `remote`
	// (Remote-User, -Groups, -Email, -Name) or `none`. Default: `authentik`.
	Headers string `json:"headers,omitempty"`

	app   *App
	skip  []outpost.Skip
	once  sync.Once
	guard *outpost.Guard
}

// CaddyModule returns the Caddy module information.
func (*Guard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.postern_auth", New: func() caddy.Module { return new(Guard) }}
}

// Provision reads the rules and finds the app.
func (g *Guard) Provision(ctx caddy.Context) (err error) {
	if err := g.check(); err != nil {
		return err
	}
	g.app, err = loadApp(ctx)
	return err
}

// check reads the rules. A rule that cannot be read is refused; it is never passed over.
func (g *Guard) check() error {
	if g.Tenant != "" && !core.TenantID(g.Tenant).Valid() {
		return fmt.Errorf("tenant %q is not the name of one: write its schema name, such as t_acme, or public for the default tenant", g.Tenant)
	}
	switch outpost.HeaderSet(g.Headers) {
	case "", outpost.HeadersAuthentik, outpost.HeadersRemote, outpost.HeadersNone:
	default:
		return fmt.Errorf("headers %q: write authentik, remote or none", g.Headers)
	}
	for _, group := range g.AllowGroups {
		if strings.TrimSpace(group) == "" {
			return errors.New("allow_groups: a group's name is empty")
		}
	}
	g.skip = nil
	for _, rule := range g.SkipPath {
		s, err := outpost.ParseSkip(rule)
		if err != nil {
			return err
		}
		g.skip = append(g.skip, s)
	}
	return nil
}

func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if isHealth(r.URL.Path) && g.app.open() == nil && g.app.sites.hasPortal(g) {
		g.app.probe(w, r)
		return nil
	}
	info := g.app.state(w, r, core.TenantID(g.Tenant))
	if info == nil {
		return nil
	}
	vars := varsOf(r)
	before, again := vars[statedVar]
	if vars != nil {
		vars[statedVar] = statement{info}
	}
	g.once.Do(g.init)
	keepCookies(r, info)
	var err error // the application's own
	g.app.core.guard.Serve(w, r, info, g.guard, func(w http.ResponseWriter, r *http.Request, who *outpost.Identity) {
		setUser(r, who)
		err = next.ServeHTTP(w, r)
	})
	delete(vars, statedVar) // not for handle_errors, where another tenant may be addressed
	if again {
		vars[statedVar] = before
	}
	return err
}

func (g *Guard) init() {
	g.guard = &outpost.Guard{Application: g.Application, AllowGroups: g.AllowGroups, SkipPath: g.skip, Headers: outpost.HeaderSet(g.Headers)}
	if g.app.sites.hasPortal(g) { // portal, guard and application share a site
		s := g.app.core
		g.guard.Own = func(path, query string) bool { return s.route(path, query) != nil }
		g.guard.Portal = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if h := s.route(r.URL.Path, r.URL.RawQuery); h != nil {
				h.ServeHTTP(w, r)
				return
			}
			plainError(w, http.StatusNotFound, "There is nothing at this address.") // rewritten since
		})
	}
}

// setUser fills Caddy's placeholders. Values are not expanded again.
func setUser(r *http.Request, who *outpost.Identity) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	repl.Map(func(key string) (any, bool) {
		key, ok := strings.CutPrefix(key, "http.auth.user.")
		if !ok {
			return nil, false
		}
		if who == nil { // on a path that needs no login: they are there, and empty
			return "", true
		}
		switch key {
		case "id":
			return who.User.UserName, true
		case "name":
			return who.User.DisplayName, true
		case "email":
			return who.User.Email, true
		case "groups":
			return strings.Join(who.Groups, "|"), true
		case "uid":
			return who.UID, true
		}
		return nil, false
	})
}

// keepCookies remembers what the browser sent: a guard takes our cookies out of what
// goes on, and `postern` may follow on the same site.
func keepCookies(r *http.Request, info *core.RequestInfo) {
	if info.Cookies == nil {
		info.Cookies = r.Header["Cookie"]
	}
}

func restoreCookies(r *http.Request) {
	if info := core.Request(r.Context()); info.Cookies != nil {
		r.Header["Cookie"] = info.Cookies
	}
}

var (
	_ caddy.Provisioner           = (*Guard)(nil)
	_ caddyhttp.MiddlewareHandler = (*Guard)(nil)
)
