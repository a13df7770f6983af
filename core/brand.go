package core

import (
	"cmp"
	"context"
	"strings"
	"time"
)

// Product is what pages call themselves where nobody gave them another name.
const Product = "Postern"

// BrandID is a UUIDv7 in text form.
type BrandID string

// DefaultBrandDomain is the domain of the brand that every tenant starts with. It is no
// host's: that brand counts because it is the default one.
const DefaultBrandDomain = "authentik-default"

// builtInFiles begins the paths that authentik gives the pictures it brings along. They
// stand for those that are brought along here.
const builtInFiles = "/static/dist/"

// Brand is how a tenant looks at some of its hosts.
type Brand struct {
	ID BrandID
	// Domain is the host whose brand this is, and that of all hosts below it. What is no
	// host's name, such as ".", is no host's brand.
	Domain string
	// Default is the brand of hosts that no other one is for. A tenant has exactly one.
	Default    bool
	Title      string // empty: the tenant's name
	Logo       string // URL, path, fa://name, or name of a media file; empty: the built-in one
	Favicon    string // as Logo
	Background string // behind login, consent and messages; as Logo; empty: none
	CSS        string // a stylesheet of the pages: see CheckCSS
	// Flows are IDs; empty: none. They are kept and shown: pages have one flow of each kind.
	FlowAuthentication, FlowInvalidation, FlowRecovery, FlowUnenrollment, FlowUserSettings, FlowDeviceCode string
	// Application is where external users go who are not on their way to another one.
	Application ApplicationID
	// WebCertificate and ClientCertificates are kept and shown: certificates of hosts are
	// the web server's matter.
	WebCertificate     KeyPairID
	ClientCertificates []KeyPairID
	// Attributes: see Theme and Locale for those with a meaning; expressions see all.
	Attributes map[string]any
	Created    time.Time
	Updated    time.Time
}

// attribute finds a text below attributes.settings.
func (b *Brand) attribute(path ...string) string {
	v := b.Attributes["settings"]
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	s, _ := v.(string)
	return s
}

// Theme is the colour scheme that attributes.settings.theme.base asks for: "light" or "dark", and
// "automatic", the browser's, for anything else.
func (b *Brand) Theme() string {
	switch base := b.attribute("theme", "base"); base {
	case "light", "dark":
		return base
	}
	return "automatic"
}

// Primary is the colour of buttons and links that attributes.settings.theme.primary asks for,
// as it was written; "" for none.
func (b *Brand) Primary() string { return b.attribute("theme", "primary") }

// Locale is attributes.settings.locale.
func (b *Brand) Locale() string { return b.attribute("locale") }

// Picture is where a logo, favicon or background is fetched: "" for one that is brought
// along.
func Picture(s string) string {
	if strings.HasPrefix(s, builtInFiles) || strings.HasPrefix(s, "fa://") {
		return ""
	}
	return s
}

// BrandFor chooses among a tenant's brands: that of the host, of the nearest domain above
// it, or the default one. Without brands it is a built-in one.
func BrandFor(brands []Brand, host string) *Brand {
	name, _, err := NormalizeHost(host)
	best, length := &Brand{Domain: DefaultBrandDomain, Default: true}, -1
	for i := range brands {
		b := &brands[i]
		domain := strings.ToLower(b.Domain)
		switch {
		case err == nil && (name == domain || strings.HasSuffix(name, "."+domain)) && len(domain) > length:
			best, length = b, len(domain)
		case b.Default && length < 0:
			best, length = b, 0
		}
	}
	return best
}

// Look is what pages of one host show of its tenant.
type Look struct {
	Brand    *Brand
	Settings *Settings
	// Title is what the pages call themselves. Never empty.
	Title string
}

// NewLook puts together what a tenant's pages show at a host.
func NewLook(t *Tenant, host string, brands []Brand, settings *Settings) Look {
	b := BrandFor(brands, host)
	title := b.Title
	if title == "" && t.ID != DefaultTenant && t.Name != string(t.ID) {
		title = t.Name // somebody gave it one
	}
	return Look{Brand: b, Settings: settings, Title: cmp.Or(title, Product)}
}

// Looks knows how tenants look.
type Looks interface {
	// Look answers from memory where it can. It has no error: where the brand cannot be had
	// the pages are plain.
	Look(ctx context.Context, t *Tenant, host string) Look
}

// Look is how the tenant looks at the request's host.
func (r *RequestInfo) Look(ctx context.Context) Look {
	if r.Looks == nil {
		return NewLook(r.Tenant, r.Host, nil, DefaultSettings())
	}
	return r.Looks.Look(ctx, r.Tenant, r.Host)
}
