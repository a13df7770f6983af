package caddymodule

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

func init() {
	caddy.RegisterModule(new(MediaServer))
}

// MediaServer serves icons and other uploaded files to who has a signed URL, and nothing else: all other
// requests are answered 404. It is for a host where `postern` is not; that one serves files, too. Whose files
// are served follows from the host, as everywhere.
type MediaServer struct {
	app *App
}

// CaddyModule returns the Caddy module information.
func (*MediaServer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.postern_media", New: func() caddy.Module { return new(MediaServer) }}
}

// Provision finds the app.
func (m *MediaServer) Provision(ctx caddy.Context) (err error) {
	m.app, err = loadApp(ctx)
	return err
}

func (m *MediaServer) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if r = m.app.stating(w, r); r != nil {
		m.app.core.serveMedia(w, r)
	}
	return nil
}

func parseMediaServer(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	m := new(MediaServer)
	return m, m.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile sets up the handler:
//
//	postern_media [<matcher>]
func (*MediaServer) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("postern_media takes no argument, and %q is not a matcher: where files are kept is said in the global options at the top of the file, { postern { media … } }", d.Val())
	}
	if d.NextBlock(0) {
		return d.Errf("postern_media takes no block: put %q into the global options at the top of the file, { postern { media … } }", d.Val())
	}
	return nil
}

// newMedia puts together what signs and serves files.
func (s *system) newMedia(log *slog.Logger) error {
	store, err := s.shared.store(s.settings.media)
	if err != nil {
		return err
	}
	s.signer = &media.Signer{Master: s.shared.master, Store: store, Life: s.settings.media.life, Now: s.shared.clock.Now}
	s.media = &media.Handler{Store: store, Signer: s.signer, Own: s.ownHost, Now: s.shared.clock.Now, Log: log}
	return nil
}

// ownHost reports whether a host is a tenant's by its name, and not because it is nobody's.
func (s *system) ownHost(ctx context.Context, t *core.Tenant, host string) bool {
	if host == hostName(t.Origin) {
		return true
	}
	owner, err := s.owner(ctx, host)
	return err == nil && owner.ID == t.ID
}

// serveMedia serves a file. Its URL is a secret, which the access log does not get.
func (s *system) serveMedia(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery == "" {
		s.media.ServeHTTP(w, r)
		return
	}
	logged := s.access.instead(w, r)
	s.media.ServeHTTP(newFileWriter(logged, r), r)
	logged.done()
}

var (
	_ caddy.Provisioner           = (*MediaServer)(nil)
	_ caddyhttp.MiddlewareHandler = (*MediaServer)(nil)
	_ caddyfile.Unmarshaler       = (*MediaServer)(nil)
)
