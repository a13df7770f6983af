package caddymodule

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

func init() {
	caddy.RegisterModule(new(Provider))
}

// Provider answers what belongs to the identity provider on a host: the login and
// "My applications", the OpenID Provider below /application/o/, the REST API below
// /api/v3/, and its health. Everything else goes on to the next handler; where none
// follows, `/` is the list of applications, and the rest is 404.
type Provider struct {
	app *App
}

// CaddyModule returns the Caddy module information.
func (*Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.postern", New: func() caddy.Module { return new(Provider) }}
}

// Provision finds the app.
func (p *Provider) Provision(ctx caddy.Context) (err error) {
	p.app, err = loadApp(ctx)
	return err
}

func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if isHealth(r.URL.Path) {
		p.app.probe(w, r)
		return nil
	}
	if r = p.app.stating(w, r); r == nil {
		return nil
	}
	restoreCookies(r)
	if h := p.app.core.route(r.URL.Path, r.URL.RawQuery); h != nil {
		h.ServeHTTP(w, r)
		return nil
	}
	return p.app.core.pass(w, r, next)
}

// pass lets the next handler answer. Caddy's answer where nothing follows is an empty
// 200, which a proxy that asks us would take for a yes: it becomes the portal, or 404.
func (s *system) pass(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	asked := *r.URL // a handler may rewrite it in place
	seen := &writeWatch{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	if err := next.ServeHTTP(seen, r); err != nil {
		return err
	}
	const mark = "unhandled" // set by the handler at the end of Caddy's chain
	if nothing, _ := caddyhttp.GetVar(r.Context(), mark).(bool); !nothing || seen.wrote {
		return nil
	}
	caddyhttp.SetVar(r.Context(), mark, false)
	back := r.WithContext(r.Context())
	back.URL = &url.URL{}
	*back.URL = asked
	s.pages.ServeHTTP(w, back) // 404 for what it has no page for
	return nil
}

type writeWatch struct {
	*caddyhttp.ResponseWriterWrapper
	wrote bool
}

func (w *writeWatch) WriteHeader(status int) {
	w.wrote = true
	w.ResponseWriterWrapper.WriteHeader(status)
}

func (w *writeWatch) Write(p []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriterWrapper.Write(p)
}

const later = "Not available right now. Try again in a few seconds."

// opened reports whether the core is open, and answers the request where it is not.
func (a *App) opened(w http.ResponseWriter, r *http.Request) bool {
	err := a.open()
	if err != nil {
		a.log.ErrorContext(r.Context(), "the identity provider could not be opened", "error", err)
		a.turnAway(w, r, http.StatusServiceUnavailable, later)
	}
	return err == nil
}

// probe answers what is asked about this server's health, whatever Host it was asked on: load balancers and
// kubelets know the server by an address, which is no tenant's.
func (a *App) probe(w http.ResponseWriter, r *http.Request) {
	if a.opened(w, r) {
		a.core.route(r.URL.Path, "").ServeHTTP(w, r)
	}
}

// state says what the edge knows about a request, once the core is open. What goes wrong before
// that is answered here, and Caddy's error handlers never hear of it: then it is nil. guarded is
// the tenant that a guard names; empty: none.
func (a *App) state(w http.ResponseWriter, r *http.Request, guarded core.TenantID) *core.RequestInfo {
	if !a.opened(w, r) {
		return nil
	}
	info, err := a.core.state(r, guarded)
	if err == nil {
		return info
	}
	var wrong *edgeError
	if errors.As(err, &wrong) {
		a.turnAway(w, r, wrong.status, wrong.message)
		return nil
	}
	a.log.ErrorContext(r.Context(), "find the tenant", "error", err)
	a.turnAway(w, r, http.StatusServiceUnavailable, later)
	return nil
}

// stating is the request with a context that says what is known about it. Nil: it was answered.
func (a *App) stating(w http.ResponseWriter, r *http.Request) *http.Request {
	info := a.state(w, r, "")
	if info == nil {
		return nil
	}
	return r.WithContext(core.WithRequest(r.Context(), info))
}

// turnAway answers what nobody gets to see. The access log does not get a file's URL here, either.
func (a *App) turnAway(w http.ResponseWriter, r *http.Request, status int, message string) {
	if !media.Handles(r.URL.Path, r.URL.RawQuery) || r.URL.RawQuery == "" {
		plainError(w, status, message)
		return
	}
	logged := a.access.instead(w, r)
	plainError(logged, status, message)
	logged.done()
}

// plainError answers where no page can be made.
func plainError(w http.ResponseWriter, status int, message string) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(message + "\n")) // the client may have gone
}

var (
	_ caddy.Provisioner           = (*Provider)(nil)
	_ caddyhttp.MiddlewareHandler = (*Provider)(nil)
)
