package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/outpost"
)

// system is the identity provider of one configuration.
type system struct {
	settings settings
	shared   *shared
	sites    *sites
	pages    *login.Handler
	op       *oidc.Provider
	api      *api.Handler
	guard    *outpost.Outpost
	media    *media.Handler
	signer   *media.Signer
	access   accessLog
	// origins are those of tenants, by https:// and their primary domain: see withOrigin.
	origins sync.Map
	lately  *lately
	// started is set at the end of the app's Start. Caddy starts apps in no
	// order: the HTTP server may answer before the first start is done.
	started atomic.Bool
}

// actions are all that an operator does, each by its name, with the people and keys of one
// tenant.
func (s *system) actions(t *core.Tenant) map[string]action {
	all := (&people{store: s.shared.db, pages: s.pages, policies: s.shared.policies, tenant: t}).actions()
	rotation := *s.shared.rotation
	rotation.Lead = s.settings.keyLead // of this configuration; the directory may have been opened by the one before
	maps.Copy(all, (&keyring{rotation: &rotation, tenant: t.ID}).actions())
	maps.Copy(all, (&tenantry{system: s}).actions())
	return all
}

// route finds who answers a path with its query. Paths that an application may have too are
// answered by fallback, where nothing follows.
func (s *system) route(path, query string) http.Handler {
	switch {
	case strings.HasPrefix(path, "/application/o/"):
		return s.op
	case strings.HasPrefix(path, api.Prefix) || path == strings.TrimSuffix(api.Prefix, "/"):
		return s.api
	case media.Handles(path, query):
		return http.HandlerFunc(s.serveMedia)
	case isHealth(path) && strings.HasPrefix(path, "/-/health/live"):
		return http.HandlerFunc(serveAlive)
	case isHealth(path):
		return http.HandlerFunc(s.serveReady)
	case path == "/outpost.goauthentik.io/ping":
		return http.HandlerFunc(servePing)
	case !fallback(path) && s.pages.Handles(path):
		return s.pages
	}
	return nil
}

// fallback reports whether a path is one that applications have, too.
func fallback(path string) bool {
	return path == "/" || path == "" || path == "/robots.txt" || path == "/favicon.ico"
}

// isHealth reports whether a path asks about the server, and so about no tenant.
func isHealth(path string) bool {
	switch path {
	case "/-/health/live/", "/-/health/live", "/-/health/ready/", "/-/health/ready":
		return true
	}
	return false
}

func serveAlive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func servePing(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// serveReady answers 503 where logins would fail, so that a load balancer sends them
// elsewhere.
func (s *system) serveReady(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.health(ctx); err != nil {
		s.guard.Log.WarnContext(r.Context(), "not ready", "error", err)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// health reports whether logins can work.
func (s *system) health(ctx context.Context) error {
	if caddy.Exiting() {
		return errors.New("the server is stopping")
	}
	if !s.started.Load() {
		return errors.New("the server is starting")
	}
	if err := s.shared.db.Ping(ctx); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	return nil
}
