package storagetest

import (
	"fmt"
	"sync"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

func brandTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"brands/first":     brandFirst,
		"brands/default":   brandDefault,
		"brands/race":      brandRace,
		"brands/kept":      brandKept,
		"brands/lists":     brandLists,
		"brands/refers":    brandRefers,
		"settings":         settingsKept,
		"settings/turns":   settingsTurns,
		"settings/expires": settingsExpire,
	}
}

func (b *bench) brand(domain string, change ...func(*core.Brand)) *core.Brand {
	b.Helper()
	v := &core.Brand{Domain: domain}
	for _, c := range change {
		c(v)
	}
	b.ok(b.CreateBrand(b.ctx, b.t, v))
	b.clock.Add(1e9)
	return v
}

// defaults are the domains of all brands, the default ones marked.
func (b *bench) defaults() string {
	b.Helper()
	all, err := b.Brands(b.ctx, b.t)
	b.ok(err)
	out := ""
	for i := range all {
		out += all[i].Domain
		if all[i].Default {
			out += "*"
		}
		out += " "
	}
	return out
}

// Every tenant starts with one, which names its own flows.
func brandFirst(b *bench) {
	b.ok(second(b.CreateTenant(b.ctx, tenantB, "B")))
	for _, id := range []core.TenantID{tenantA, tenantB} {
		b.t = id
		t, err := b.Tenant(b.ctx, id)
		b.ok(err)
		equal(b, "brands", b.defaults(), "authentik-default* ")
		all, err := b.Brands(b.ctx, id)
		b.ok(err)
		for slug, got := range map[string]string{core.FlowAuthentication: all[0].FlowAuthentication, core.FlowInvalidation: all[0].FlowInvalidation, core.FlowUserSettings: all[0].FlowUserSettings} {
			f, _ := core.FlowByID(t.UUID, got)
			equal(b, string(id), f.Slug, slug)
		}
	}
}

// There is always one default brand, and never two.
func brandDefault(b *bench) {
	b.clock.Add(1e9)
	first, err := b.Brands(b.ctx, b.t)
	b.ok(err)
	b.field(second(b.UpdateBrand(b.ctx, b.t, first[0].ID, func(v *core.Brand) error { v.Default = false; return nil })), "default")
	b.is(b.DeleteBrand(b.ctx, b.t, first[0].ID), core.ErrInUse)
	equal(b, "the only one", b.defaults(), "authentik-default* ")
	one := b.brand("one.test")
	two := b.brand("two.test", func(v *core.Brand) { v.Default = true })
	equal(b, "taken by a new one", b.defaults(), "authentik-default one.test two.test* ")
	b.ok(second(b.UpdateBrand(b.ctx, b.t, one.ID, func(v *core.Brand) error { v.Default = true; return nil })))
	equal(b, "taken by a change", b.defaults(), "authentik-default one.test* two.test ")
	b.ok(second(b.UpdateBrand(b.ctx, b.t, one.ID, func(v *core.Brand) error { v.Default = false; return nil })))
	equal(b, "given away", b.defaults(), "authentik-default* one.test two.test ")
	b.ok(b.DeleteBrand(b.ctx, b.t, first[0].ID))
	equal(b, "inherited", b.defaults(), "one.test* two.test ")
	b.ok(b.DeleteBrand(b.ctx, b.t, two.ID))
	equal(b, "deleted", b.defaults(), "one.test* ")
	b.is(b.DeleteBrand(b.ctx, b.t, two.ID), core.ErrNotFound)
}

// Many that become the default at once are one in the end.
func brandRace(b *bench) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b.ok(b.CreateBrand(b.ctx, b.t, &core.Brand{Domain: fmt.Sprintf("%d.test", i), Default: true}))
		})
	}
	wg.Wait()
	_, n, err := b.ListBrands(b.ctx, b.t, api.Query{Where: map[string][]string{"default": {"true"}}})
	b.ok(err)
	equal(b, "default ones", n, 1)
}

func brandKept(b *bench) {
	app := &core.Application{Slug: "app", Name: "App"}
	b.ok(b.CreateApplication(b.ctx, b.t, app))
	one, two := keyPair(b, "one"), keyPair(b, "two")
	v := b.brand("Shop.Example.com", func(v *core.Brand) {
		v.Title, v.Logo, v.Favicon, v.Background, v.CSS = "T", "/logo.png", "https://x.test/f.ico", "/b.jpg", "a {}\n"
		v.FlowAuthentication, v.FlowDeviceCode = "f1", "f6"
		v.Application, v.WebCertificate, v.ClientCertificates = app.ID, one.ID, []core.KeyPairID{two.ID, one.ID}
		v.Attributes = map[string]any{"n": 1, "settings": map[string]any{"theme": map[string]any{"base": "dark"}}}
	})
	is, err := b.Brand(b.ctx, b.t, v.ID)
	b.ok(err)
	equal(b, "kept", fmt.Sprintf("%+v", *is), fmt.Sprintf("%+v", *v))
	equal(b, "theme", is.Theme(), "dark")
	b.field(b.CreateBrand(b.ctx, b.t, &core.Brand{Domain: "shop.example.COM"}), "domain")
	// What it refers to may go.
	b.ok(b.DeleteKeyPair(b.ctx, b.t, one.ID))
	b.ok(b.DeleteApplication(b.ctx, b.t, "app"))
	is, err = b.Brand(b.ctx, b.t, v.ID)
	b.ok(err)
	equal(b, "left", fmt.Sprint(is.Application, is.WebCertificate, is.ClientCertificates), fmt.Sprint("", "", []core.KeyPairID{two.ID}))
}

func brandLists(b *bench) {
	pair := keyPair(b, "pair")
	b.brand("b.test", func(v *core.Brand) { v.Title, v.Logo = "Zebra", "/l.png" })
	b.brand("A.test", func(v *core.Brand) {
		v.Title, v.ClientCertificates, v.WebCertificate = "älg", []core.KeyPairID{pair.ID}, pair.ID
	})
	where := func(key, value string) api.Query { return api.Query{Where: map[string][]string{key: {value}}} }
	for _, c := range []struct {
		q    api.Query
		want string
	}{
		{api.Query{Order: []string{"domain"}}, "A.test authentik-default b.test of 3"},
		{api.Query{Order: []string{"-branding_title"}}, "A.test b.test authentik-default of 3"},
		{api.Query{Order: []string{"domain"}, Limit: 1, Offset: 1}, "authentik-default of 3"},
		{api.Query{Order: []string{"domain"}, Limit: 1, Offset: 7}, " of 3"},
		{where("domain", "b.test"), "b.test of 1"},
		{where("default", "true"), "authentik-default of 1"},
		{where("branding_title", "Zebra"), "b.test of 1"},
		{where("branding_logo", "/l.png"), "b.test of 1"},
		{where("web_certificate", string(pair.ID)), "A.test of 1"},
		{where("client_certificates", string(pair.ID)), "A.test of 1"},
		{where("client_certificates", "none"), " of 0"},
		{where("flow_recovery", "none"), " of 0"},
		{api.Query{Search: "ÄLG a.t"}, "A.test of 1"},
		{api.Query{Only: []string{}}, " of 0"},
	} {
		found, n, err := b.ListBrands(b.ctx, b.t, c.q)
		b.ok(err)
		got := ""
		for i := range found {
			if i > 0 {
				got += " "
			}
			got += found[i].Domain
		}
		equal(b, fmt.Sprintf("%+v", c.q), fmt.Sprintf("%s of %d", got, n), c.want)
	}
	_, _, err := b.ListBrands(b.ctx, b.t, where("css", "x"))
	b.field(err, "css")
}

func brandRefers(b *bench) {
	for field, change := range map[string]func(*core.Brand){
		"default_application": func(v *core.Brand) { v.Application = "none" },
		"web_certificate":     func(v *core.Brand) { v.WebCertificate = "none" },
		"client_certificates": func(v *core.Brand) { v.ClientCertificates = []core.KeyPairID{"none"} },
	} {
		v := &core.Brand{Domain: "x.test"}
		change(v)
		b.field(b.CreateBrand(b.ctx, b.t, v), field)
		first, err := b.Brands(b.ctx, b.t)
		b.ok(err)
		b.field(second(b.UpdateBrand(b.ctx, b.t, first[0].ID, func(v *core.Brand) error { change(v); return nil })), field)
	}
	equal(b, "nothing is left", b.defaults(), "authentik-default* ")
}

func settingsKept(b *bench) {
	s, err := b.Settings(b.ctx, b.t)
	b.ok(err)
	equal(b, "at the beginning", fmt.Sprintf("%+v", s), fmt.Sprintf("%+v", core.DefaultSettings()))
	from, err := b.LastChange(b.ctx, b.t)
	b.ok(err)
	want, err := b.UpdateSettings(b.ctx, b.t, func(s *core.Settings) error {
		s.GDPR, s.TokenLength, s.Flags = false, 99, map[string]any{"x": true}
		s.FooterLinks = []core.FooterLink{{Name: "Imprint", Href: "/imprint"}}
		return nil
	})
	b.ok(err)
	s, err = b.Settings(b.ctx, b.t)
	b.ok(err)
	equal(b, "kept", fmt.Sprintf("%+v", s), fmt.Sprintf("%+v", want))
	equal(b, "changed", fmt.Sprintf("%v %v %v %v %v", s.GDPR, s.TokenLength, s.FooterLinks, s.TokenDuration, s.Flags), "false 99 [{Imprint /imprint}] days=1 map[x:true]")
	told, err := b.Changes(b.ctx, b.t, from, 9)
	b.ok(err)
	equal(b, "told", fmt.Sprintf("%d %s", len(told), told[0].Kind), "1 settings")
	b.is(second(b.UpdateSettings(b.ctx, b.t, func(s *core.Settings) error { s.TokenLength = 1; return core.ErrDenied })), core.ErrDenied)
	s, err = b.Settings(b.ctx, b.t)
	b.ok(err)
	equal(b, "refused", s.TokenLength, 99)
}

// Changes of different settings at once are all there.
func settingsTurns(b *bench) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			b.ok(second(b.UpdateSettings(b.ctx, b.t, func(s *core.Settings) error { s.TokenLength++; return nil })))
		})
	}
	wg.Wait()
	s, err := b.Settings(b.ctx, b.t)
	b.ok(err)
	equal(b, "counted", s.TokenLength, core.DefaultSettings().TokenLength+8)
}

// Events stay as long as the settings say.
func settingsExpire(b *bench) {
	events := func() int {
		all, err := b.RecentEvents(b.ctx, b.t, 9)
		b.ok(err)
		return len(all)
	}
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventLogin}))
	b.clock.Add(10 * 24 * 3600e9)
	b.ok(b.DeleteExpired(b.ctx, b.t, b.clock.Now()))
	equal(b, "control: after ten days", events(), 1)
	b.ok(second(b.UpdateSettings(b.ctx, b.t, func(s *core.Settings) error { s.EventRetention = "days=9"; return nil })))
	all, err := b.RecentEvents(b.ctx, b.t, 9)
	b.ok(err)
	equal(b, "its end", all[0].Expires.Sub(all[0].Time).String(), "216h0m0s")
	b.ok(b.DeleteExpired(b.ctx, b.t, b.clock.Now()))
	equal(b, "of nine", events(), 0)
}
