package storagetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/oidc"
)

func applicationTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"application/round trip": applicationRoundTrip,
		"application/refused":    applicationRefused,
		"application/list":       applicationList,
		"application/proxy":      applicationProxy,
	}
}

func applicationRoundTrip(b *bench) {
	c, back := b.client("c"), b.client("back")
	a := &core.Application{Slug: "app", Name: "App", Group: "Tools", Provider: c.ID, Backchannel: []core.ProviderID{back.ID}, LaunchURL: "https://x",
		Icon: "i", Description: "d", Publisher: "p", OpenInNewTab: true, PolicyMode: "any"}
	b.ok(b.CreateApplication(b.ctx, b.t, a))
	for how, find := range map[string]func() (*core.Application, error){
		"ID":       func() (*core.Application, error) { return b.Application(b.ctx, b.t, a.ID) },
		"slug":     func() (*core.Application, error) { return b.ApplicationBySlug(b.ctx, b.t, "app") },
		"provider": func() (*core.Application, error) { return b.ApplicationByProvider(b.ctx, b.t, c.ID) },
	} {
		got, err := find()
		b.ok(err)
		if !reflect.DeepEqual(got, a) {
			b.Errorf("by %s:\n got %#v\nwant %#v", how, got, a)
		}
	}
	b.is(second(b.ApplicationByProvider(b.ctx, b.t, back.ID)), core.ErrNotFound)
	b.is(second(b.ApplicationByProvider(b.ctx, b.t, 0)), core.ErrNotFound)
	b.is(second(b.ApplicationBySlug(b.ctx, b.t, "APP")), core.ErrNotFound)
	got, err := b.UpdateApplication(b.ctx, b.t, "app", func(v *core.Application) error {
		v.Slug, v.Provider, v.Backchannel, v.ID = "app2", 0, nil, "forged"
		return nil
	})
	b.ok(err)
	stored, err := b.ApplicationBySlug(b.ctx, b.t, "app2")
	b.ok(err)
	if stored.ID != a.ID || stored.Provider != 0 || len(stored.Backchannel) != 0 || got.Slug != "app2" {
		b.Errorf("stored %#v", stored)
	}
	b.ok(b.DeleteApplication(b.ctx, b.t, "app2"))
	b.is(b.DeleteApplication(b.ctx, b.t, "app2"), core.ErrNotFound)
	b.ok(second(b.Client(b.ctx, b.t, "c")))
}

func applicationRefused(b *bench) {
	c := b.client("c")
	b.ok(b.CreateApplication(b.ctx, b.t, &core.Application{Slug: "app", Name: "App", Provider: c.ID}))
	for field, a := range map[string]*core.Application{
		"slug":                  {Slug: "app", Name: "other"},
		"provider":              {Slug: "other", Name: "other", Provider: c.ID},
		"backchannel_providers": {Slug: "other", Name: "other", Backchannel: []core.ProviderID{99}},
	} {
		b.field(b.CreateApplication(b.ctx, b.t, a), field)
	}
	b.field(b.CreateApplication(b.ctx, b.t, &core.Application{Slug: "other", Provider: 99}), "provider")
	b.ok(b.CreateApplication(b.ctx, b.t, &core.Application{Slug: "other", Name: "other"}))
	b.ok(b.CreateApplication(b.ctx, b.t, &core.Application{Slug: "third", Name: "no provider either"}))
	b.field(second(b.UpdateApplication(b.ctx, b.t, "other", func(a *core.Application) error { a.Slug = "app"; return nil })), "slug")
	b.is(second(b.UpdateApplication(b.ctx, b.t, "none", func(*core.Application) error { return nil })), core.ErrNotFound)
}

func applicationList(b *bench) {
	c := b.client("c")
	for _, a := range []core.Application{
		{Slug: "one", Name: "beta", Group: "X", Description: "d1"},
		{Slug: "two", Name: "Alpha", Group: "y", Provider: c.ID, LaunchURL: "https://l", Publisher: "p"},
		{Slug: "three", Name: "Émile", Group: "X"},
	} {
		b.ok(b.CreateApplication(b.ctx, b.t, &a))
	}
	all, err := b.Applications(b.ctx, b.t)
	b.ok(err)
	equal(b, "all", fmt.Sprint(all[0].Name, all[1].Name, all[2].Name, len(all)), fmt.Sprint("Alpha", "beta", "Émile", 3))
	for _, f := range []struct {
		q    api.Query
		want string
	}{
		{api.Query{Where: map[string][]string{"name": {"beta"}}}, "one of 1"},
		{api.Query{Where: map[string][]string{"slug": {"two"}}}, "two of 1"},
		{api.Query{Where: map[string][]string{"group": {"X"}}, Order: []string{"-name"}}, "three one of 2"},
		{api.Query{Where: map[string][]string{"meta_launch_url": {"https://l"}}}, "two of 1"},
		{api.Query{Where: map[string][]string{"meta_description": {"d1"}}}, "one of 1"},
		{api.Query{Where: map[string][]string{"meta_publisher": {"p"}}}, "two of 1"},
		{api.Query{Where: map[string][]string{"provider__isnull": {"false"}}}, "two of 1"},
		{api.Query{Search: "émile"}, "three of 1"},
		{api.Query{Search: "D1"}, "one of 1"},
		{api.Query{Search: "https://L p"}, "two of 1"},
		{api.Query{Order: []string{"group", "-slug"}}, "three one two of 3"},
		{api.Query{Offset: 3}, " of 3"},
	} {
		got, n, err := b.ListApplications(b.ctx, b.t, f.q)
		b.ok(err)
		var slugs []string
		for _, a := range got {
			slugs = append(slugs, a.Slug)
		}
		equal(b, fmt.Sprint(f.q), fmt.Sprintf("%s of %d", strings.Join(slugs, " "), n), f.want)
	}
}

func applicationProxy(b *bench) {
	p := &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "p"}, Mode: core.ProxyAuthSingle, ExternalHost: "https://App.test"}
	b.ok(b.CreateProxyProvider(b.ctx, b.t, p))
	free := &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "free"}}
	b.ok(b.CreateProxyProvider(b.ctx, b.t, free))
	c := b.client("c")
	b.ok(b.CreateApplication(b.ctx, b.t, &core.Application{Slug: "guarded", Name: "g", Provider: p.ID}))
	b.ok(b.CreateApplication(b.ctx, b.t, &core.Application{Slug: "client", Name: "c", Provider: c.ID}))
	got, err := b.ProxyApplications(b.ctx, b.t)
	b.ok(err)
	if len(got) != 1 || got[0].Application.Slug != "guarded" || got[0].Provider.ExternalHost != "https://App.test" {
		b.Errorf("got %+v", got)
	}
}

func providerTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"client/round trip":              clientRoundTrip,
		"client/refused":                 clientRefused,
		"client/list":                    clientList,
		"client/new client_id":           clientRenamed,
		"proxy/round trip":               proxyRoundTrip,
		"proxy/list":                     proxyList,
		"provider/delete takes all with": providerDelete,
	}
}

func clientRoundTrip(b *bench) {
	key, enc := keyPair(b, "k1"), keyPair(b, "k2")
	m1, m2 := mapping(b, "zz", "z"), mapping(b, "aa", "a")
	other := b.client("other")
	c := &core.Client{ProviderBase: core.ProviderBase{Name: "P", AuthenticationFlow: "f1", AuthorizationFlow: "f2", InvalidationFlow: "f3",
		Mappings: []core.MappingID{m1.ID, m2.ID}}, ClientID: "c", Type: core.ClientPublic, Secret: "s3cret",
		RedirectURIs: []core.RedirectURI{{Mode: core.MatchStrict, URL: "https://a"}, {Mode: core.MatchRegex, URL: "https://b/.*"}},
		CodeValidity: "minutes=1", AccessValidity: "hours=1", RefreshValidity: "days=30", RefreshThreshold: "seconds=0",
		SubMode: core.SubUserUPN, IssuerMode: core.IssuerGlobal, IncludeClaimsInIDToken: true, SigningKey: key.ID, EncryptionKey: enc.ID,
		LogoutURI: "https://l", LogoutMethod: "backchannel", FederationSources: []string{"src"}, FederationProviders: []core.ProviderID{other.ID}}
	b.ok(b.CreateClient(b.ctx, b.t, c))
	check := func() {
		b.Helper()
		got, err := b.Client(b.ctx, b.t, c.ClientID)
		b.ok(err)
		if !reflect.DeepEqual(got, c) {
			b.Errorf("got %#v\nwant %#v", got, c)
		}
		p, err := b.Provider(b.ctx, b.t, c.ID)
		b.ok(err)
		if !reflect.DeepEqual(p, core.Provider(c)) {
			b.Errorf("provider: got %#v", p)
		}
	}
	check()
	changed, err := b.UpdateClient(b.ctx, b.t, c.ID, func(v *core.Client) error {
		v.Secret, v.SigningKey, v.Mappings, v.RedirectURIs, v.IncludeClaimsInIDToken = "new", "", v.Mappings[1:], v.RedirectURIs[:1], false
		v.ID = 99
		return nil
	})
	b.ok(err)
	c = changed
	check()
	equal(b, "ID", c.ID, changed.ID)
	b.is(second(b.Client(b.ctx, b.t, "none")), core.ErrNotFound)
	b.is(second(b.Client(b.ctx, b.t, "")), core.ErrNotFound)
	b.is(second(b.Provider(b.ctx, b.t, 99)), core.ErrNotFound)
	b.is(b.DeleteProvider(b.ctx, b.t, 99), core.ErrNotFound)
	b.is(second(b.UpdateClient(b.ctx, b.t, 99, func(*core.Client) error { return nil })), core.ErrNotFound)
}

func clientRefused(b *bench) {
	b.client("c")
	base := func() *core.Client {
		return &core.Client{ProviderBase: core.ProviderBase{Name: "n"}, ClientID: "n", Secret: "s"}
	}
	for field, change := range map[string]func(*core.Client){
		"name":                     func(c *core.Client) { c.Name = "provider c" },
		"client_id":                func(c *core.Client) { c.ClientID = "c" },
		"property_mappings":        func(c *core.Client) { c.Mappings = []core.MappingID{"none"} },
		"signing_key":              func(c *core.Client) { c.SigningKey = "none" },
		"encryption_key":           func(c *core.Client) { c.EncryptionKey = "none" },
		"jwt_federation_providers": func(c *core.Client) { c.FederationProviders = []core.ProviderID{99} },
	} {
		c := base()
		change(c)
		b.field(b.CreateClient(b.ctx, b.t, c), field)
	}
	b.ok(b.CreateClient(b.ctx, b.t, base()))
	_, err := b.UpdateClient(b.ctx, b.t, 2, func(*core.Client) error { return errors.New("no") })
	if err == nil {
		b.Error("no error")
	}
}

func clientList(b *bench) {
	key := keyPair(b, "k")
	m := mapping(b, "m", "m")
	one := b.client("one")
	b.ok(second(b.UpdateClient(b.ctx, b.t, one.ID, func(c *core.Client) error {
		c.SigningKey, c.Mappings, c.Type, c.CodeValidity, c.IncludeClaimsInIDToken = key.ID, []core.MappingID{m.ID}, core.ClientPublic, "minutes=2", true
		return nil
	})))
	b.client("two")
	a := &core.Application{Slug: "app", Name: "App", Provider: one.ID}
	b.ok(b.CreateApplication(b.ctx, b.t, a))
	for _, f := range []struct{ key, value, want string }{
		{"client_id", "two", "two"}, {"name", "provider one", "one"}, {"client_type", "public", "one"}, {"access_code_validity", "minutes=2", "one"},
		{"access_token_validity", "minutes=10", "one two"}, {"refresh_token_validity", "x", ""}, {"include_claims_in_id_token", "true", "one"},
		{"issuer_mode", "per_provider", "one two"}, {"sub_mode", "hashed_user_id", "one two"}, {"signing_key", string(key.ID), "one"},
		{"signing_key__isnull", "true", "two"}, {"property_mappings", string(m.ID), "one"}, {"authorization_flow", "flow", "one two"},
		{"application", string(a.ID), "one"}, {"application__isnull", "true", "two"}, {"pk", fmt.Sprint(one.ID), "one"},
	} {
		got, n, err := b.ListClients(b.ctx, b.t, api.Query{Where: map[string][]string{f.key: {f.value}}, Order: []string{"client_id"}})
		b.ok(err)
		var ids []string
		for _, c := range got {
			ids = append(ids, c.ClientID)
			if c.Secret == "" {
				b.Errorf("%s: no secret", c.ClientID)
			}
		}
		equal(b, f.key+"="+f.value, fmt.Sprint(strings.Join(ids, " "), n), fmt.Sprint(f.want, len(strings.Fields(f.want))))
	}
	got, n, err := b.ListClients(b.ctx, b.t, api.Query{Offset: 5})
	b.ok(err)
	equal(b, "past the end", len(got)*10+n, 2)
	_, _, err = b.ListClients(b.ctx, b.t, api.Query{Where: map[string][]string{"secret": {"x"}}})
	b.field(err, "secret")
}

// whoever takes a client ID next inherits no consent, grant or token.
func clientRenamed(b *bench) {
	u := b.user("alice")
	c := b.client("old")
	g := b.grant(u.ID, c)
	b.ok(b.SaveConsent(b.ctx, b.t, consent(b, u.ID, "old")))
	b.ok(second(b.UpdateClient(b.ctx, b.t, c.ID, func(v *core.Client) error { v.Name = "same client"; return nil })))
	b.ok(second(b.Grant(b.ctx, b.t, g.ID)))
	b.ok(second(b.UpdateClient(b.ctx, b.t, c.ID, func(v *core.Client) error { v.ClientID = "new"; return nil })))
	b.is(second(b.Grant(b.ctx, b.t, g.ID)), core.ErrNotFound)
	b.is(second(b.Consent(b.ctx, b.t, u.ID, "old")), core.ErrNotFound)
}

func proxyRoundTrip(b *bench) {
	key := keyPair(b, "k")
	p := &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "P", AuthorizationFlow: "f"}, ClientID: "pc", Mode: core.ProxyForward,
		ExternalHost: "https://e", InternalHost: "http://i", CookieDomain: "d", SkipPath: "^/a\n^/b", InternalTLSVerify: true, Certificate: key.ID,
		BasicAuth: true, BasicAuthUserAttribute: "u", BasicAuthPasswordAttribute: "p", InterceptHeaderAuth: true,
		AccessValidity: "hours=24", RefreshValidity: "days=30", FederationSources: []string{"s"}}
	b.ok(b.CreateProxyProvider(b.ctx, b.t, p))
	got, err := b.Provider(b.ctx, b.t, p.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, core.Provider(p)) {
		b.Errorf("got %#v\nwant %#v", got, p)
	}
	changed, err := b.UpdateProxyProvider(b.ctx, b.t, p.ID, func(v *core.ProxyProvider) error { v.Mode, v.Certificate = core.ProxyAuthDomain, ""; return nil })
	b.ok(err)
	got, err = b.Provider(b.ctx, b.t, p.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, core.Provider(changed)) || changed.Mode != core.ProxyAuthDomain {
		b.Errorf("got %#v\nwant %#v", got, changed)
	}
	// A proxy provider is no OAuth2 client of the API, nor the other way round.
	b.is(second(b.UpdateClient(b.ctx, b.t, p.ID, func(*core.Client) error { return nil })), core.ErrNotFound)
	b.is(second(b.Client(b.ctx, b.t, "pc")), core.ErrNotFound)
	c := b.client("c")
	b.is(second(b.UpdateProxyProvider(b.ctx, b.t, c.ID, func(*core.ProxyProvider) error { return nil })), core.ErrNotFound)
	b.field(b.CreateProxyProvider(b.ctx, b.t, &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "P"}}), "name")
	b.field(b.CreateProxyProvider(b.ctx, b.t, &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "Q"}, Certificate: "none"}), "certificate")
}

func proxyList(b *bench) {
	key := keyPair(b, "Key")
	one := &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "One"}, Mode: core.ProxyForward, ExternalHost: "https://App.test", InternalHost: "http://i",
		CookieDomain: "a.test", SkipPath: "^/x", InternalTLSVerify: true, Certificate: key.ID, BasicAuth: true, BasicAuthUserAttribute: "U", BasicAuthPasswordAttribute: "P"}
	b.ok(b.CreateProxyProvider(b.ctx, b.t, one))
	b.ok(b.CreateProxyProvider(b.ctx, b.t, &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "two"}, Mode: core.ProxyAuthSingle}))
	b.ok(b.CreateApplication(b.ctx, b.t, &core.Application{Slug: "a", Name: "a", Provider: one.ID}))
	for _, f := range []struct{ key, value, want string }{
		{"name__iexact", "ONE", "One"}, {"external_host__iexact", "HTTPS://app.test", "One"}, {"internal_host__iexact", "HTTP://I", "One"},
		{"mode__iexact", "Forward_Single", "two"}, {"cookie_domain__iexact", "A.test", "One"}, {"skip_path_regex__iexact", "^/X", "One"},
		{"internal_host_ssl_validation__iexact", "true", "One"}, {"basic_auth_enabled__iexact", "false", "two"}, {"basic_auth_user_attribute__iexact", "u", "One"},
		{"basic_auth_password_attribute__iexact", "p", "One"}, {"certificate__kp_uuid__iexact", strings.ToUpper(string(key.ID)), "One"},
		{"certificate__name__iexact", "KEY", "One"}, {"application__isnull", "false", "One"}, {"name", "one", ""},
	} {
		got, n, err := b.ListProxyProviders(b.ctx, b.t, api.Query{Where: map[string][]string{f.key: {f.value}}})
		b.ok(err)
		var names []string
		for _, p := range got {
			names = append(names, p.Name)
		}
		equal(b, f.key+"="+f.value, fmt.Sprint(strings.Join(names, " "), n), fmt.Sprint(f.want, len(strings.Fields(f.want))))
	}
}

func providerDelete(b *bench) {
	u := b.user("alice")
	c, other := b.client("c"), b.client("other")
	a := &core.Application{Slug: "app", Name: "App", Provider: c.ID, Backchannel: []core.ProviderID{other.ID}}
	b.ok(b.CreateApplication(b.ctx, b.t, a))
	g, kept := b.grant(u.ID, c), b.grant(u.ID, other)
	// Of an application that the Caddyfile declares: no provider here.
	declared := &oidc.Grant{ID: "declared", ClientID: "caddyfile:x", User: u.ID, Created: b.clock.Now(), Expires: kept.Expires}
	b.ok(b.SaveGrant(b.ctx, b.t, declared))
	code, refresh := b.code(g, "code"), b.refresh(g, "refresh")
	b.ok(b.SaveConsent(b.ctx, b.t, consent(b, u.ID, "c")))
	b.ok(b.DeleteProvider(b.ctx, b.t, c.ID))
	b.is(second(b.Grant(b.ctx, b.t, g.ID)), core.ErrNotFound)
	b.is(b.ConsumeCode(b.ctx, b.t, code, nil), core.ErrNotFound)
	b.is(third(b.Refresh(b.ctx, b.t, refresh)), core.ErrNotFound)
	b.is(second(b.Consent(b.ctx, b.t, u.ID, "c")), core.ErrNotFound)
	b.ok(second(b.Grant(b.ctx, b.t, kept.ID)))
	got, err := b.Grant(b.ctx, b.t, "declared")
	b.ok(err)
	equal(b, "provider", got.Provider, 0)
	app, err := b.ApplicationBySlug(b.ctx, b.t, "app")
	b.ok(err)
	equal(b, "provider of application", app.Provider, 0)
	b.ok(b.DeleteProvider(b.ctx, b.t, other.ID))
	app, err = b.ApplicationBySlug(b.ctx, b.t, "app")
	b.ok(err)
	equal(b, "backchannel", len(app.Backchannel), 0)
	g.ID = "late"
	b.is(b.SaveGrant(b.ctx, b.t, g), core.ErrNotFound)
}
