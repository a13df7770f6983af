package storagetest

import (
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/core/policy"
)

// canary stands in every text of tenant A. No answer to tenant B may hold it.
const canary = "canary-of-a"

// world is one of everything in tenant A.
type world struct {
	user    *core.User
	group   *core.Group
	role    *core.Role
	app     *core.Application
	client  *core.Client
	proxy   *core.ProxyProvider
	mapping *core.PropertyMapping
	key     *core.KeyPair
	used    *core.KeyPair // the client signs with it, and did with another
	policy  *core.ExpressionPolicy
	bound   *policy.Binding
	title   *core.Entitlement
	brand   *core.Brand
	grant   *oidc.Grant
	code    [32]byte
	refresh [32]byte
	session [32]byte
	link    [32]byte
}

// newWorld fills tenant A.
func newWorld(b *bench) *world {
	w := new(world)
	w.key = keyPair(b, canary)
	w.mapping = mapping(b, canary, canary)
	w.role = b.role(canary, canary)
	w.group = b.groupWith(canary, nil, w.role)
	w.user = b.user(canary, w.group.ID)
	w.client = b.client(canary)
	w.used = keyPair(b, "used "+canary)
	for _, id := range []core.KeyPairID{keyPair(b, "left "+canary).ID, w.used.ID} {
		b.ok(second(b.UpdateClient(b.ctx, b.t, w.client.ID, func(c *core.Client) error { c.SigningKey = id; return nil })))
	}
	b.ok(second(b.RevokeKeyPair(b.ctx, b.t, w.used.ID, []string{canary}, func(*core.KeyPair) error { return nil })))
	w.proxy = &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "proxy " + canary}}
	b.ok(b.CreateProxyProvider(b.ctx, b.t, w.proxy))
	w.app = &core.Application{Slug: canary, Name: canary, Provider: w.client.ID}
	b.ok(b.CreateApplication(b.ctx, b.t, w.app))
	b.ok(b.CreateApplication(b.ctx, b.t, &core.Application{Slug: "proxy-" + canary, Name: canary, Provider: w.proxy.ID}))
	w.policy = expressionPolicy(b, canary)
	w.bound = b.bind(&policy.Binding{Target: policy.TargetID(w.app.ID), Policy: w.policy.ID, Enabled: true})
	w.title = b.entitlement(w.app.ID, canary)
	b.token(w.user.ID, canary)
	w.brand = &core.Brand{Domain: canary + ".test", Title: canary, Application: w.app.ID, WebCertificate: w.key.ID, ClientCertificates: []core.KeyPairID{w.key.ID}}
	b.ok(b.CreateBrand(b.ctx, b.t, w.brand))
	b.ok(second(b.UpdateSettings(b.ctx, b.t, func(s *core.Settings) error { s.Avatars = canary; return nil })))
	// Before the rest: a new password ends grants and links.
	b.ok(b.SetPasswordHash(b.ctx, b.t, w.user.ID, canary, b.clock.Now()))
	w.grant = b.grant(w.user.ID, w.client)
	w.code, w.refresh = b.code(w.grant, "code"), b.refresh(w.grant, "refresh")
	w.session = b.session(w.user.ID, canary, "")
	w.link = saveLink(b, w.user.ID, "link")
	b.ok(b.SaveConsent(b.ctx, b.t, consent(b, w.user.ID, canary)))
	b.ok(b.SaveAuthRequest(b.ctx, b.t, canary, []byte(canary), b.clock.Now().Add(time.Hour)))
	b.ok(second(b.Fail(b.ctx, b.t, nil, core.Counter{Key: canary, Window: time.Hour})))
	b.ok(b.Record(b.ctx, b.t, core.Event{ID: canary, Action: core.EventLogin, Message: canary, Application: canary}))
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventDenied, Message: canary}))
	return w
}
