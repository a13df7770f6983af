package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("postern", parseApp)
	httpcaddyfile.RegisterHandlerDirective("postern", parseProvider)
	httpcaddyfile.RegisterHandlerDirective("postern_auth", parseGuard)
	httpcaddyfile.RegisterHandlerDirective("postern_media", parseMediaServer)
	// No directive of the site may answer or rewrite before the guard.
	httpcaddyfile.RegisterDirectiveOrder("postern_auth", httpcaddyfile.Before, "redir")
	httpcaddyfile.RegisterDirectiveOrder("postern", httpcaddyfile.Before, "respond")
	httpcaddyfile.RegisterDirectiveOrder("postern_media", httpcaddyfile.Before, "respond")
}

func parseApp(d *caddyfile.Dispenser, have any) (any, error) {
	if have != nil {
		d.Next()
		return nil, d.Err("the global option postern is written twice: put all of it into one block")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "postern", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from the global option:
//
//	postern {
//		origin               <scheme://host[:port]>
//		data                 <directory>
//		database             sqlite|<postgres:// URL>
//		sessions             <redis:// URL>
//		secret               <secret>
//		old_secret           <secret>
//		key_lead             <duration>
//		media file           <directory>
//		tenants {
//			api_key          <secret>
//		}
//		strict_hosts
//		revocation_staleness <duration>
//		outbound_private     <networks…>
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the option's name
	if d.NextArg() {
		return d.Err("the global option postern takes a block and no argument: postern { origin https://auth.example.com }")
	}
	seen := map[string]bool{}
	for d.NextBlock(0) {
		name := d.Val()
		if seen[name] && name != "outbound_private" {
			return d.Errf("%s is set twice", name)
		}
		seen[name] = true
		var err error
		switch name {
		case "origin":
			err = one(d, &a.Origin)
		case "data":
			err = one(d, &a.Data)
		case "database":
			err = one(d, &a.Database)
		case "sessions":
			err = one(d, &a.Sessions)
		case "secret":
			err = one(d, &a.Secret)
		case "old_secret":
			err = one(d, &a.OldSecret)
		case "key_lead":
			var text string
			if err = one(d, &text); err == nil {
				lead, perr := caddy.ParseDuration(text)
				if perr != nil || lead <= 0 {
					err = d.Errf("key_lead %q is not a duration: write for example 1h or 2d", text)
				}
				a.KeyLead = caddy.Duration(lead)
			}
		case "media":
			err = a.parseMedia(d)
		case "tenants":
			err = a.parseTenants(d)
		case "strict_hosts":
			a.StrictHosts = true
			err = none(d)
		case "revocation_staleness":
			var text string
			if err = one(d, &text); err == nil {
				dur, perr := caddy.ParseDuration(text)
				if perr != nil || dur < 0 {
					err = d.Errf("revocation_staleness %q is not a duration: write for example 60s, or 0 for never", text)
				}
				staleness := caddy.Duration(dur)
				a.RevocationStaleness = &staleness
			}
		case "outbound_private":
			args := d.RemainingArgs()
			if len(args) == 0 {
				err = d.Err("outbound_private needs at least one network, such as 10.0.0.0/8")
			}
			a.OutboundPrivate = append(a.OutboundPrivate, args...)
		default:
			err = d.Errf("postern has no option %q: it has origin, data, database, sessions, secret, old_secret, key_lead, media, tenants, strict_hosts, revocation_staleness and outbound_private", name)
		}
		if err != nil {
			return err
		}
		if err := a.check(); err != nil { // here, for the line
			return d.WrapErr(err)
		}
	}
	return nil
}

func (a *App) parseTenants(d *caddyfile.Dispenser) error {
	a.Tenants = new(Tenants)
	if err := none(d); err != nil {
		return d.Err("tenants takes a block and no value: tenants { api_key {env.TENANTS_KEY} }")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "api_key" {
			return d.Errf("tenants has no option %q: it has api_key", d.Val())
		}
		if err := once(d, &a.Tenants.APIKey); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) parseMedia(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Err("media: write `media file <directory>` or `media s3 { … }`")
	}
	a.Media = &Media{Backend: d.Val()}
	switch a.Media.Backend {
	case mediaFile:
	case mediaS3:
		return a.Media.parseS3(d)
	default:
		return nil // check refuses it
	}
	return one(d, &a.Media.Dir)
}

func parseProvider(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	p := new(Provider)
	return p, p.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile sets up the handler:
//
//	postern [<matcher>]
func (*Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("postern takes no argument, and %q is not a matcher: its settings are in the global options at the top of the file", d.Val())
	}
	if d.NextBlock(0) {
		return d.Errf("postern takes no block on a site: put %q into the global options at the top of the file, { postern { … } }", d.Val())
	}
	return nil
}

func parseGuard(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	g := new(Guard)
	return g, g.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile sets up the guard:
//
//	postern_auth [<matcher>] {
//		tenant       <name>
//		application  <slug>
//		allow_groups <groups…>
//		skip_path    <paths…>
//		headers      authentik|remote|none
//	}
func (g *Guard) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("postern_auth takes no argument, and %q is not a matcher: write a block, such as postern_auth { allow_groups %s }", d.Val(), d.Val())
	}
	for d.NextBlock(0) {
		name := d.Val()
		var err error
		switch name {
		case "tenant":
			err = once(d, &g.Tenant)
		case "application":
			err = once(d, &g.Application)
		case "headers":
			err = once(d, &g.Headers)
		case "allow_groups":
			err = more(d, &g.AllowGroups, "the name of a group, in quotes where it has spaces")
		case "skip_path":
			err = more(d, &g.SkipPath, "a path, such as /public/*")
		case "issuer":
			err = d.Err("issuer: this build does not have it yet: leave it out, and people log in here")
		default:
			err = d.Errf("postern_auth has no option %q: it has tenant, application, allow_groups, skip_path and headers", name)
		}
		if err != nil {
			return err
		}
		if err := g.check(); err != nil { // here, for the line
			return d.Err(err.Error())
		}
	}
	return nil
}

// one reads exactly one argument.
func one(d *caddyfile.Dispenser, into *string) error {
	name := d.Val()
	if !d.NextArg() || d.Val() == "" {
		return d.Errf("%s needs a value", name)
	}
	*into = d.Val()
	if d.NextArg() {
		return d.Errf("%s takes one value, and %q is a second: put quotes around a value with spaces", name, d.Val())
	}
	return nil
}

func once(d *caddyfile.Dispenser, into *string) error {
	if *into != "" {
		return d.Errf("%s is set twice", d.Val())
	}
	return one(d, into)
}

func more(d *caddyfile.Dispenser, into *[]string, what string) error {
	name, args := d.Val(), d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("%s needs %s", name, what)
	}
	*into = append(*into, args...)
	return nil
}

func none(d *caddyfile.Dispenser) error {
	name := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no value, and %q is one", name, d.Val())
	}
	return nil
}

var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Guard)(nil)
)
