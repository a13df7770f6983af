package api

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// themePrimary is where the attributes of a brand name a colour.
const themePrimary = "settings.theme.primary"

func brands() *resource[core.Brand] {
	return &resource[core.Brand]{
		model: "Brand", app: "authentik_brands", verbose: "Brand", key: "brand_uuid",
		members: []member{always("brand_uuid", uuidShape())},
		listing: listing{
			filters: map[string]filter{
				"brand_uuid": byUUID, "domain": byText, "default": byBool,
				"branding_title": byText, "branding_logo": byText, "branding_favicon": byText, "branding_default_flow_background": byText,
				"flow_authentication": byUUID, "flow_invalidation": byUUID, "flow_recovery": byUUID,
				"flow_unenrollment": byUUID, "flow_user_settings": byUUID, "flow_device_code": byUUID,
				"web_certificate": byUUID, "client_certificates": byUUIDs,
			},
			order:  []string{"domain", "default", "branding_title", "brand_uuid"},
			preset: []string{"domain"},
		},
		find: func(c *call, key string) (*core.Brand, error) {
			id, valid := uuid(key)
			if !valid {
				return nil, core.ErrNotFound
			}
			return c.Store.Brand(c.ctx(), c.t, core.BrandID(id))
		},
		page:   func(c *call, q Query) ([]core.Brand, int, error) { return c.Store.ListBrands(c.ctx(), c.t, q) },
		create: func(c *call, b *core.Brand) error { return c.Store.CreateBrand(c.ctx(), c.t, b) },
		update: func(c *call, key string, change func(*core.Brand) error) (*core.Brand, error) {
			id, _ := uuid(key)
			return c.Store.UpdateBrand(c.ctx(), c.t, core.BrandID(id), change)
		},
		remove: func(c *call, key string) error {
			id, _ := uuid(key)
			err := c.Store.DeleteBrand(c.ctx(), c.t, core.BrandID(id))
			if errors.Is(err, core.ErrInUse) {
				return &problem{http.StatusConflict, "It is the tenant's only brand. Change it, or make another one first."}
			}
			return err
		},
		fresh: func(*call) *core.Brand { return &core.Brand{Attributes: object{}} },
		read:  readBrand,
		check: checkBrand,
		after: func(c *call, old, b *core.Brand) error {
			if old != nil && (b == nil || b.Logo != old.Logo || b.Favicon != old.Favicon || b.Background != old.Background) {
				c.dropIcons(old.Logo, old.Favicon, old.Background)
			}
			return nil
		},
		show:  func(_ *call, b *core.Brand) (any, error) { return showBrand(b), nil },
		label: func(b *core.Brand) (string, string) { return string(b.ID), b.Domain },
	}
}

// brandFlows are the fields that name a flow, with what it must be for.
func brandFlows(b *core.Brand) []struct {
	name, designation string
	id                *string
} {
	return []struct {
		name, designation string
		id                *string
	}{
		{"flow_authentication", "authentication", &b.FlowAuthentication},
		{"flow_invalidation", "invalidation", &b.FlowInvalidation},
		{"flow_recovery", "recovery", &b.FlowRecovery},
		{"flow_unenrollment", "unenrollment", &b.FlowUnenrollment},
		{"flow_user_settings", "stage_configuration", &b.FlowUserSettings},
		{"flow_device_code", "stage_configuration", &b.FlowDeviceCode},
	}
}

func readBrand(f *fields, b *core.Brand) {
	domain := b.Domain
	text(f, "domain", rule{required: true, max: 253, about: "The host whose brand it is, and that of all hosts below it. What is no host's name, such as \".\", is none's."}, &domain)
	if _, port, err := core.NormalizeHost(domain); f.has("domain") && len(f.errs["domain"]) == 0 && domain != "." && (err != nil || port != "") {
		f.fail("domain", "Enter a host name without a port, such as example.com.")
	} else {
		b.Domain = domain
	}
	boolean(f, "default", &b.Default)
	text(f, "branding_title", rule{blank: true, max: 255, about: "Empty: the tenant's name."}, &b.Title)
	readIcon(f, "branding_logo", &b.Logo)
	readIcon(f, "branding_favicon", &b.Favicon)
	readIcon(f, "branding_default_flow_background", &b.Background)
	css := b.CSS
	text(f, "branding_custom_css", rule{blank: true, exact: true, lines: true, max: core.MaxCSS, about: "A stylesheet, which loads nothing from other hosts. Only superusers change it."}, &css)
	if err := core.CheckCSS(css); f.has("branding_custom_css") && err != nil {
		f.fail("branding_custom_css", "The stylesheet is refused: "+err.Error()+".")
	} else {
		b.CSS = css
	}
	for _, fl := range brandFlows(b) {
		flow(f, fl.name, rule{null: true}, fl.id)
	}
	reference(f, "default_application", rule{null: true, about: "Where external users go who are not on their way to another one."}, &b.Application)
	reference(f, "web_certificate", rule{null: true}, &b.WebCertificate)
	references(f, "client_certificates", &b.ClientCertificates)
	old := b.Attributes
	dict(f, "attributes", &b.Attributes)
	if _, ok := core.ParseColour(b.Primary()); f.has("attributes") && b.Primary() != "" && !ok {
		f.fail("attributes", themePrimary+" is a colour such as #0f766e.")
		b.Attributes = old
	}
}

func checkBrand(c *call, f *fields, b, old *core.Brand) error {
	for _, fl := range brandFlows(b) {
		if f.has(fl.name) {
			checkFlow(c, f, fl.name, *fl.id, fl.designation)
		}
	}
	was := old
	if old == nil {
		was = &core.Brand{}
	}
	c.checkPicture(f, "branding_logo", b.Logo, was.Logo)
	c.checkPicture(f, "branding_favicon", b.Favicon, was.Favicon)
	c.checkPicture(f, "branding_default_flow_background", b.Background, was.Background)
	if b.CSS != was.CSS && !c.super {
		f.fail("branding_custom_css", "Only a superuser can change it: it decides what people see of every page.")
	}
	if !c.super && beyondSettings(b.Attributes) != beyondSettings(was.Attributes) {
		f.fail("attributes", "Only a superuser can change what is beside settings: mappings may give it to applications, for everybody at this host.")
	}
	changes := c.may(right("change", "authentik_brands", "Brand"))
	if old == nil && b.Default && !changes {
		f.fail("default", "It would take the place of another brand, which needs the right to change brands.")
	}
	if old != nil && !changes {
		if b.Domain != old.Domain {
			f.fail("domain", "With the right on this brand alone it cannot be given to other hosts.")
		}
		if b.Default != old.Default {
			f.fail("default", "With the right on this brand alone it cannot be given to other hosts.")
		}
	}
	return nil
}

// beyondSettings are a brand's attributes but for those that decide how pages look.
func beyondSettings(all map[string]any) string {
	rest := maps.Clone(all)
	delete(rest, "settings")
	if len(rest) == 0 {
		return ""
	}
	text, err := json.Marshal(rest) // as JSON: a body's numbers are of another type
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func showBrand(b *core.Brand) object {
	return object{
		"brand_uuid": string(b.ID), "domain": b.Domain, "default": b.Default,
		"branding_title": b.Title, "branding_logo": b.Logo, "branding_favicon": b.Favicon,
		"branding_default_flow_background": b.Background, "branding_custom_css": b.CSS,
		"flow_authentication": orNull(b.FlowAuthentication), "flow_invalidation": orNull(b.FlowInvalidation), "flow_recovery": orNull(b.FlowRecovery),
		"flow_unenrollment": orNull(b.FlowUnenrollment), "flow_user_settings": orNull(b.FlowUserSettings), "flow_device_code": orNull(b.FlowDeviceCode),
		"default_application": orNull(b.Application), "web_certificate": orNull(b.WebCertificate),
		"client_certificates": list(b.ClientCertificates), "attributes": attributes(b.Attributes),
	}
}

// look is how the tenant looks where it was asked, and its settings.
func (c *call) look() core.Look { return c.info.Look(c.ctx()) }

func footerLinkShape() shape {
	return objectShape("FooterLink", always("href", textShape().orNull()), always("name", textShape()))
}

func currentBrandShape() shape {
	s := objectShape("CurrentBrand", append(texts("matched_domain", "branding_title", "branding_logo", "branding_favicon", "branding_custom_css", "default_locale"),
		always("branding_logo_themed_urls", themedURLsShape().orNull()), always("branding_favicon_themed_urls", themedURLsShape().orNull()),
		always("ui_footer_links", listShape(footerLinkShape())), always("ui_theme", choiceShape("automatic", "light", "dark")), always("flags", dictShape()))...)
	for _, fl := range brandFlows(new(core.Brand)) {
		s.members = append(s.members, sometimes(fl.name, textShape()))
	}
	return s
}

// currentBrand tells anybody how the pages of this host look: no more than those show.
func currentBrand(c *call) (reply, error) {
	look := c.look()
	b := look.Brand
	picture := func(s, builtIn string) string {
		if s = c.Signer.Resolve(c.info.Tenant, core.Picture(s)); s != "" {
			return s
		}
		return "/-/static/" + builtIn
	}
	themed := func(s string) any {
		light, has := media.Themed(s, media.Light)
		if !has {
			return nil
		}
		dark, _ := media.Themed(s, media.Dark)
		return object{media.Light: c.Signer.Resolve(c.info.Tenant, light), media.Dark: c.Signer.Resolve(c.info.Tenant, dark)}
	}
	out := object{
		"matched_domain": b.Domain, "branding_title": look.Title,
		"branding_logo": picture(b.Logo, "logo.svg"), "branding_favicon": picture(b.Favicon, "favicon.svg"), "branding_custom_css": b.CSS,
		"branding_logo_themed_urls": themed(b.Logo), "branding_favicon_themed_urls": themed(b.Favicon),
		"ui_footer_links": showFooterLinks(look.Settings.FooterLinks), "ui_theme": b.Theme(), "default_locale": b.Locale(), "flags": object{},
	}
	for _, fl := range brandFlows(b) {
		if f, ok := core.FlowByID(c.info.Tenant.UUID, *fl.id); ok {
			out[fl.name] = f.Slug
		}
	}
	return ok(out)
}
