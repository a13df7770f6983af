package storagetest

import (
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/core/policy"
)

// writeProbes change something in tenant t by the IDs of A. Each must change A's
// when it is called for A, so that the test could fail.
func writeProbes() map[string]probe {
	return map[string]probe{
		"UpdateUser": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateUser(b.ctx, t, w.user.PK, func(u *core.User) error { u.DisplayName = "x"; return nil }))
		},
		"DeleteUser": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteUser(b.ctx, t, w.user.PK))
		},
		"CreateGroup": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.CreateGroup(b.ctx, t, &core.Group{Name: "n", Parents: []core.GroupID{w.group.ID}}, nil))
		},
		"UpdateGroup": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateGroup(b.ctx, t, w.group.ID, func(g *core.Group) ([]int64, error) { g.Name = "x"; return nil, nil }))
		},
		"DeleteGroup": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteGroup(b.ctx, t, w.group.ID))
		},
		"AddMember": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.AddMember(b.ctx, t, w.group.ID, 1))
		},
		"RemoveMember": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.RemoveMember(b.ctx, t, w.group.ID, w.user.PK))
		},
		"CreateUser": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.CreateUser(b.ctx, t, &core.User{UserName: "n", Groups: []core.GroupID{w.group.ID}}))
		},
		"CreateApplication": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.CreateApplication(b.ctx, t, &core.Application{Slug: "n", Backchannel: []core.ProviderID{w.client.ID}}))
		},
		"UpdateApplication": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateApplication(b.ctx, t, canary, func(a *core.Application) error { a.Name = "x"; return nil }))
		},
		"DeleteApplication": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteApplication(b.ctx, t, canary))
		},
		"CreateClient": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.CreateClient(b.ctx, t, &core.Client{ProviderBase: core.ProviderBase{Name: "n", Mappings: []core.MappingID{w.mapping.ID}}, SigningKey: w.key.ID}))
		},
		"UpdateClient": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateClient(b.ctx, t, w.client.ID, func(c *core.Client) error { c.Name = "x"; return nil }))
		},
		"CreateProxyProvider": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.CreateProxyProvider(b.ctx, t, &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "n"}, Certificate: w.key.ID}))
		},
		"UpdateProxyProvider": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateProxyProvider(b.ctx, t, w.proxy.ID, func(p *core.ProxyProvider) error { p.Name = "x"; return nil }))
		},
		"DeleteProvider": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteProvider(b.ctx, t, w.proxy.ID))
		},
		"UpdateMapping": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateMapping(b.ctx, t, core.MappingScope, w.mapping.ID, func(m *core.PropertyMapping) error { m.Name = "x"; return nil }))
		},
		"DeleteMapping": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteMapping(b.ctx, t, core.MappingScope, w.mapping.ID))
		},
		"UpdateKeyPair": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateKeyPair(b.ctx, t, w.key.ID, func(k *core.KeyPair) error { k.Name = "x"; return nil }))
		},
		"DeleteKeyPair": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteKeyPair(b.ctx, t, w.key.ID))
		},
		"UpdatePolicy": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdatePolicy(b.ctx, t, w.policy.ID, func(p *core.ExpressionPolicy) error { p.Name = "x"; return nil }))
		},
		"DeletePolicy": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeletePolicy(b.ctx, t, w.policy.ID))
		},
		"CreateBinding": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.CreateBinding(b.ctx, t, &policy.Binding{Target: policy.TargetID(w.app.ID), Group: w.group.ID}))
		},
		"UpdateBinding": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateBinding(b.ctx, t, w.bound.ID, func(v *policy.Binding) error { v.Negate = true; return nil }))
		},
		"DeleteBinding": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteBinding(b.ctx, t, w.bound.ID))
		},
		"CreateEntitlement": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.CreateEntitlement(b.ctx, t, &core.Entitlement{Application: w.app.ID, Name: "n"}))
		},
		"UpdateEntitlement": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateEntitlement(b.ctx, t, w.title.ID, func(e *core.Entitlement) error { e.Name = "x"; return nil }))
		},
		"DeleteEntitlement": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteEntitlement(b.ctx, t, w.title.ID))
		},
		"CreateBrand": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.CreateBrand(b.ctx, t, &core.Brand{Domain: "n.test", Application: w.app.ID}))
		},
		"UpdateBrand": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateBrand(b.ctx, t, w.brand.ID, func(v *core.Brand) error { v.Default = !v.Default; return nil }))
		},
		"DeleteBrand": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteBrand(b.ctx, t, w.brand.ID))
		},
		"CreateToken": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.CreateToken(b.ctx, t, &core.Token{Identifier: "n", User: w.user.ID}, "k"))
		},
		"SetTokenKey": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.SetTokenKey(b.ctx, t, canary, "x"))
		},
		"UpdateToken": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateToken(b.ctx, t, canary, func(k *core.Token) error { k.Description = "x"; return nil }))
		},
		"UpdateRole": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateRole(b.ctx, t, w.role.ID, func(r *core.Role) error { r.Name = "x"; return nil }))
		},
		"DeleteRole": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteRole(b.ctx, t, w.role.ID))
		},
		"RevokeKeyPair": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(second(b.RevokeKeyPair(b.ctx, t, w.key.ID, []string{"x"}, func(k *core.KeyPair) error { k.Name = "x"; return nil })))
		},
		"WarnedOfKeyPair": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.WarnedOfKeyPair(b.ctx, t, w.key.ID, 7))
		},
		"EndAllSessions": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.EndAllSessions(b.ctx, t))
		},
		"DeleteToken": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.DeleteToken(b.ctx, t, canary))
		},
		"SaveConsent": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.SaveConsent(b.ctx, t, &oidc.Consent{User: w.user.ID, ClientID: canary, Expires: b.clock.Now().Add(time.Minute)}))
		},
		"SaveGrant": func(b *bench, w *world, t core.TenantID) (string, error) {
			g := *w.grant
			g.ID = "n"
			return done(b.SaveGrant(b.ctx, t, &g))
		},
		"ExtendGrant": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.ExtendGrant(b.ctx, t, w.grant.ID, b.clock.Now().Add(99*time.Hour)))
		},
		"SaveCode": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.SaveCode(b.ctx, t, &oidc.Code{Hash: core.Hash("n"), Grant: w.grant.ID, Expires: b.clock.Now()}, nil, nil))
		},
		"ConsumeCode": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.ConsumeCode(b.ctx, t, w.code, nil))
		},
		"RotateRefresh": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(second(b.RotateRefresh(b.ctx, t, &oidc.Rotation{Old: w.refresh, Next: b.nextRefresh(w.grant, "n"), Grace: time.Second})))
		},
		"SaveSession": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.SaveSession(b.ctx, t, core.Hash("n"), &core.Session{ID: "n", User: w.user.ID, Parent: canary, Expires: b.clock.Now().Add(time.Hour)}))
		},
		"DeleteSession": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.DeleteSession(b.ctx, t, canary))
		},
		"DeleteUserSessions": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.DeleteUserSessions(b.ctx, t, w.user.ID, ""))
		},
		"SetPasswordHash": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.SetPasswordHash(b.ctx, t, w.user.ID, "x", b.clock.Now()))
		},
		"SaveLink": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.SaveLink(b.ctx, t, &login.Link{Hash: core.Hash("n"), User: w.user.ID, Expires: b.clock.Now()}))
		},
		"ConsumeLink": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.ConsumeLink(b.ctx, t, w.link, b.clock.Now()))
		},
	}
}

// blindProbes succeed whatever they touch: only A's state tells.
func blindProbes() map[string]probe {
	return map[string]probe{
		"UpdateSettings": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", second(b.UpdateSettings(b.ctx, t, func(s *core.Settings) error { s.TokenLength++; return nil }))
		},
		"RevokeGrant": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.RevokeGrant(b.ctx, t, w.grant.ID)
		},
		"RevokeGrants": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.RevokeGrants(b.ctx, t, oidc.GrantMatch{User: w.user.ID})
		},
		"DeleteConsent": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.DeleteConsent(b.ctx, t, w.user.ID, canary)
		},
		"TouchSessions": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.TouchSessions(b.ctx, t, map[core.SessionID]time.Time{canary: b.clock.Now().Add(time.Minute)})
		},
		"DeleteExpiredSessions": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.DeleteExpiredSessions(b.ctx, t, b.clock.Now().Add(9999*time.Hour))
		},
		"DeleteExpired": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.DeleteExpired(b.ctx, t, b.clock.Now().Add(99999*time.Hour))
		},
		"RehashPassword": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.RehashPassword(b.ctx, t, w.user.ID, canary, "x")
		},
		"SetLastLogin": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.SetLastLogin(b.ctx, t, w.user.ID, b.clock.Now().Add(time.Minute), nil)
		},
		"DeleteLinks": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.DeleteLinks(b.ctx, t, w.user.ID, login.LinkRecovery)
		},
		"Settle": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.Settle(b.ctx, t, []string{canary}, []string{canary})
		},
		"Fail": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", second(b.Fail(b.ctx, t, nil, core.Counter{Key: canary, Window: time.Hour}))
		},
		"Record": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.Record(b.ctx, t, core.Event{Action: "x"})
		},
		"CreateMapping": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.CreateMapping(b.ctx, t, &core.PropertyMapping{Kind: core.MappingScope, Name: "n " + canary})
		},
		"CreatePolicy": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.CreatePolicy(b.ctx, t, &core.ExpressionPolicy{Name: "n " + canary})
		},
		"CreateRole": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.CreateRole(b.ctx, t, &core.Role{Name: "n " + canary})
		},
		"CreateKeyPair": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.CreateKeyPair(b.ctx, t, &core.KeyPair{Name: "n " + canary})
		},
		"SaveAuthRequest": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.SaveAuthRequest(b.ctx, t, canary, []byte("x"), b.clock.Now().Add(time.Hour))
		},
	}
}
