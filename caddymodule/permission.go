package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/postern-sso/postern/core"
)

func init() {
	caddy.RegisterModule(new(Permission))
}

// Permission lets on-demand TLS get certificates for hosts that are somebody's, and for no
// others: those of the configuration's origin, of its sites that hold `postern` or
// `postern_auth` by name, of tenants' domains and of registered applications (`external_host`),
// of which a tenant's count below its domains, and where a guard names the tenant for that host. A name that nobody has, one that is no
// host name and an address are refused, from memory, so that nobody can make this
// server ask for certificates by connecting to it.
type Permission struct {
	app *App
}

// CaddyModule returns the Caddy module information.
func (*Permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.permission.postern", New: func() caddy.Module { return new(Permission) }}
}

// Provision finds the app.
func (p *Permission) Provision(ctx caddy.Context) (err error) {
	p.app, err = loadApp(ctx)
	return err
}

// UnmarshalCaddyfile sets up the module:
//
//	on_demand_tls {
//		permission postern
//	}
func (*Permission) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() || d.NextBlock(d.Nesting()) {
		return d.Errf("permission postern takes no settings, and %q is one", d.Val())
	}
	return nil
}

// UnmarshalJSON takes no settings.
func (p *Permission) UnmarshalJSON(text []byte) error { return strict(text, p) }

// CertificateAllowed returns nil if the name is somebody's host.
func (p *Permission) CertificateAllowed(ctx context.Context, name string) error {
	if err := p.app.open(); err != nil {
		return fmt.Errorf("open the identity provider: %w", err)
	}
	host, port, err := core.NormalizeHost(name)
	if err != nil || port != "" || host != strings.ToLower(name) {
		return fmt.Errorf("not a host name: %w", caddytls.ErrPermissionDenied)
	}
	owned, err := p.app.core.owned(ctx, host)
	if err != nil {
		return fmt.Errorf("find whose host %s is: %w", host, err)
	}
	if !owned {
		return fmt.Errorf("%s is nobody's host: %w", host, caddytls.ErrPermissionDenied)
	}
	return nil
}

var (
	_ caddytls.OnDemandPermission = (*Permission)(nil)
	_ caddy.Provisioner           = (*Permission)(nil)
	_ caddyfile.Unmarshaler       = (*Permission)(nil)
	_ json.Unmarshaler            = (*Permission)(nil)
)
