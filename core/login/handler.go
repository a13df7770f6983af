package login

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/cache"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/core/session"
)

// Handler serves the pages. Its fields are set before its first use and not
// changed after it.
type Handler struct {
	Store        Store
	Users        core.Users
	Applications core.Applications
	Sessions     *session.Sessions
	Master       *keys.Master
	Policy       *policy.Engine
	Events       core.Events
	// Signer makes the URLs of pictures that are files. Nil: they are not shown.
	Signer *media.Signer
	// Passwords is shared with all else that hashes passwords, so that its bound
	// holds for the process. Nil: one of this Handler's own.
	Passwords *Hasher
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: slog.Default

	once      sync.Once
	passwords *Hasher
	flights   flights
	sheets    *cache.Cache[*sheet]
	assets    *assets
	pages     pages
}

func (h *Handler) init() {
	h.once.Do(func() {
		h.passwords = h.Passwords
		if h.passwords == nil {
			h.passwords = &Hasher{}
		}
		h.assets = newAssets()
		h.sheets = cache.New[*sheet](maxSheets)
		h.pages = newPages(h.assets)
	})
}

func (h *Handler) now() time.Time {
	if h.Now == nil {
		return time.Now()
	}
	return h.Now()
}

func (h *Handler) log() *slog.Logger {
	if h.Log == nil {
		return slog.Default()
	}
	return h.Log
}

// Paths of the pages.
const (
	pathPortal = "/if/user/"
	pathAdmin  = "/if/admin/"
	pathFlow   = "/if/flow/"
	pathLaunch = "/application/launch/"
	pathLink   = "/recovery/use-token/"
	pathStatic = "/-/static/"
)

// Handles reports whether ServeHTTP has a page for the path.
func (h *Handler) Handles(path string) bool { return h.route(path) != nil }

// route finds the page for a path, with or without its trailing slash.
func (h *Handler) route(path string) http.HandlerFunc {
	if file, ok := strings.CutPrefix(path, pathStatic); ok {
		return func(w http.ResponseWriter, r *http.Request) { h.serveAsset(w, r, file) }
	}
	dir := strings.TrimSuffix(path, "/") + "/"
	switch dir {
	case "/":
		return h.serveRoot
	case pathPortal:
		return h.servePortal
	case pathAdmin:
		return h.serveAdmin
	case "/flows/-/default/authentication/":
		return h.forward(core.FlowAuthentication)
	case "/flows/-/default/invalidation/":
		return h.forward(core.FlowInvalidation)
	case "/flows/-/cancel/":
		return h.serveCancel
	case "/robots.txt/", "/favicon.ico/":
		if path != dir {
			return func(w http.ResponseWriter, r *http.Request) { h.serveAsset(w, r, path[1:]) }
		}
		return nil
	}
	for prefix, serve := range map[string]func(http.ResponseWriter, *http.Request, string){
		pathFlow: h.serveFlow, pathLaunch: h.serveLaunch, pathLink: h.serveRecovery,
	} {
		if name, ok := strings.CutPrefix(dir, prefix); ok && len(name) > 1 && strings.Count(name, "/") == 1 {
			name = strings.TrimSuffix(name, "/")
			return func(w http.ResponseWriter, r *http.Request) { serve(w, r, name) }
		}
	}
	return nil
}

// ServeHTTP serves the pages. The edge must have stated the request
// (core.WithRequest).
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.init()
	serve := h.route(r.URL.Path)
	if serve == nil {
		h.notFound(w, r)
		return
	}
	if r.Method == http.MethodPost && !sameOrigin(r) {
		h.refuseForeign(w, r)
		return
	}
	serve(w, r)
}

// serveFlow is /if/flow/<slug>/: the built-in flows by the names that other
// programs know.
func (h *Handler) serveFlow(w http.ResponseWriter, r *http.Request, slug string) {
	switch slug {
	case core.FlowAuthentication:
		h.serveLogin(w, r)
	case core.FlowInvalidation:
		h.serveLogout(w, r)
	case core.FlowProviderInvalidation:
		h.serveLeave(w, r)
	case core.FlowExplicitConsent:
		h.serveConsent(w, r)
	case core.FlowImplicitConsent:
		h.serveCancel(w, r) // it has no step of its own
	case core.FlowInitialSetup:
		h.serveSetup(w, r)
	default:
		h.notFound(w, r)
	}
}

// forward redirects from authentik's address of a default flow to its page.
func (h *Handler) forward(slug string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !h.allow(w, r, http.MethodGet) {
			return
		}
		to := pathFlow + slug + "/"
		if next, ok := localPath(r, r.URL.Query().Get("next")); ok {
			to = withQuery(to, "next", next)
		}
		h.redirect(w, r, to)
	}
}

func (h *Handler) serveRoot(w http.ResponseWriter, r *http.Request) {
	if h.allow(w, r, http.MethodGet) {
		h.redirect(w, r, h.next(r))
	}
}

// serveCancel leaves a flow.
func (h *Handler) serveCancel(w http.ResponseWriter, r *http.Request) {
	if h.allow(w, r, http.MethodGet) {
		h.redirect(w, r, h.next(r))
	}
}

// allow answers a method that is not among methods with 405. HEAD goes with GET.
func (h *Handler) allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) || r.Method == http.MethodHead && slices.Contains(methods, http.MethodGet) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	h.Refuse(w, r, http.StatusMethodNotAllowed, "This page does not work that way", "It was asked for with "+r.Method+".")
	return false
}

// current returns the login of this browser and whose it is: an active user's,
// or core.ErrNotFound.
func (h *Handler) current(r *http.Request) (*core.Session, *core.User, error) {
	ctx, t := r.Context(), core.Request(r.Context()).Tenant.ID
	s, err := h.Sessions.Current(r)
	if err != nil {
		return nil, nil, err
	}
	u, err := h.Users.User(ctx, t, s.User)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return nil, nil, err
	}
	if err != nil || !u.Active {
		if err := h.Sessions.EndSession(ctx, t, s.ID); err != nil {
			h.log().ErrorContext(ctx, "end the session of a user who is gone", "request", requestID(ctx), "error", err)
		}
		return nil, nil, core.ErrNotFound
	}
	return s, u, nil
}

// person is current for pages that need a login: without one it redirects to
// the login form and back, and returns false.
func (h *Handler) person(w http.ResponseWriter, r *http.Request) (*core.Session, *core.User, bool) {
	s, u, err := h.current(r)
	if errors.Is(err, core.ErrNotFound) {
		next := r.URL.EscapedPath()
		if r.URL.RawQuery != "" {
			next += "?" + r.URL.RawQuery
		}
		h.redirect(w, r, withQuery(pathFlow+core.FlowAuthentication+"/", "next", next))
		return nil, nil, false
	}
	if err != nil {
		h.fail(w, r, "find the session", err)
		return nil, nil, false
	}
	return s, u, true
}

// record writes a line of the audit log. That it cannot be written is logged
// and stops nobody.
func (h *Handler) record(ctx context.Context, e core.Event) {
	h.recordFor(ctx, core.Request(ctx).Tenant.ID, h.event(ctx, e))
}

// event says when and from where it came about.
func (h *Handler) event(ctx context.Context, e core.Event) core.Event {
	e.Time = h.now()
	if ip := core.Request(ctx).ClientIP; ip.IsValid() {
		e.Address = ip.String()
	}
	return e
}

func (h *Handler) recordFor(ctx context.Context, t core.TenantID, e core.Event) {
	if h.Events == nil {
		return
	}
	if err := h.Events.Record(ctx, t, e); err != nil {
		h.log().ErrorContext(ctx, "record event", "action", e.Action, "request", requestID(ctx), "error", err)
	}
}

func requestID(ctx context.Context) string {
	if info := core.Request(ctx); info != nil {
		return info.ID
	}
	return ""
}
