package storagetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/oidc"
)

// canary stands in every text of tenant A. No answer to tenant B may hold it.
const canary = "canary-of-a"

// world is one of everything in tenant A.
type world struct {
	user    *core.User
	group   *core.Group
	app     *core.Application
	client  *core.Client
	proxy   *core.ProxyProvider
	mapping *core.PropertyMapping
	key     *core.KeyPair
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
	w.group = b.group(canary)
	w.user = b.user(canary, w.group.ID)
	w.client = b.client(canary)
	w.proxy = &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "proxy " + canary}}
	b.ok(b.CreateProxyProvider(b.ctx, b.t, w.proxy))
	w.app = &core.Application{Slug: canary, Name: canary, Provider: w.client.ID}
	b.ok(b.CreateApplication(b.ctx, b.t, w.app))
	b.ok(b.CreateApplication(b.ctx, b.t, &core.Application{Slug: "proxy-" + canary, Name: canary, Provider: w.proxy.ID}))
	b.token(w.user.ID, canary)
	w.grant = b.grant(w.user.ID, w.client)
	w.code, w.refresh = b.code(w.grant, "code"), b.refresh(w.grant, "refresh")
	w.session = b.session(w.user.ID, canary, "")
	w.link = saveLink(b, w.user.ID, "link")
	b.ok(b.SaveConsent(b.ctx, b.t, consent(b, w.user.ID, canary)))
	b.ok(b.SaveAuthRequest(b.ctx, b.t, canary, []byte(canary), b.clock.Now().Add(time.Hour)))
	b.ok(b.SetPasswordHash(b.ctx, b.t, w.user.ID, canary, b.clock.Now()))
	w.link = saveLink(b, w.user.ID, "link") // a new password ended the first
	b.ok(second(b.Fail(b.ctx, b.t, canary, time.Hour)))
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventLogin, Message: canary}))
	return w
}

// probe calls one method for tenant t with what belongs to A, and gives what came
// of it as text: "" is nothing.
type probe func(b *bench, w *world, t core.TenantID) (answer string, err error)

// shown gives any result as text, and none for nothing.
func shown(v any, err error) (string, error) {
	r := reflect.ValueOf(v)
	if !r.IsValid() || r.IsZero() || r.Kind() == reflect.Slice && r.Len() == 0 {
		return "", err
	}
	for r.Kind() == reflect.Pointer {
		r = r.Elem()
	}
	return fmt.Sprintf("%+v", r.Interface()), err
}

// listed shows a page and its count.
func listed[T any](list []T, n int, err error) (string, error) {
	if n != len(list) {
		return fmt.Sprintf("%d of %d", len(list), n), err
	}
	return shown(list, err)
}

// done shows what only succeeds or fails.
func done(err error) (string, error) {
	if err != nil {
		return "", err
	}
	return "done", nil
}

func readProbes() map[string]probe {
	where := func(key, value string) api.Query { return api.Query{Where: map[string][]string{key: {value}}} }
	return map[string]probe{
		"User": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.User(b.ctx, t, w.user.ID)) },
		"UserByName": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UserByName(b.ctx, t, canary))
		},
		"UserByLogin": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UserByLogin(b.ctx, t, w.user.Email))
		},
		"UserByPK": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UserByPK(b.ctx, t, w.user.PK))
		},
		"UserGroups": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UserGroups(b.ctx, t, w.user.ID))
		},
		"ListUsers": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListUsers(b.ctx, t, where("uuid", string(w.user.ID))))
		},
		"FindUsers": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.FindUsers(b.ctx, t, map[string]any{"username": canary}, 9))
		},
		"Group": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.Group(b.ctx, t, w.group.ID)) },
		"ListGroups": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListGroups(b.ctx, t, where("name", canary)))
		},
		"GroupMembers": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.GroupMembers(b.ctx, t, w.group.ID, 9))
		},
		"Application": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Application(b.ctx, t, w.app.ID))
		},
		"ApplicationBySlug": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.ApplicationBySlug(b.ctx, t, canary))
		},
		"ApplicationByProvider": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.ApplicationByProvider(b.ctx, t, w.client.ID))
		},
		"Applications":      func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.Applications(b.ctx, t)) },
		"ProxyApplications": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.ProxyApplications(b.ctx, t)) },
		"ListApplications": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListApplications(b.ctx, t, api.Query{}))
		},
		"Provider": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Provider(b.ctx, t, w.client.ID))
		},
		"Client": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.Client(b.ctx, t, canary)) },
		"ListClients": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListClients(b.ctx, t, api.Query{}))
		},
		"ListProxyProviders": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListProxyProviders(b.ctx, t, api.Query{}))
		},
		"Mapping": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Mapping(b.ctx, t, core.MappingScope, w.mapping.ID))
		},
		"Mappings": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Mappings(b.ctx, t, []core.MappingID{w.mapping.ID}))
		},
		"ListMappings": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListMappings(b.ctx, t, core.MappingScope, api.Query{Search: canary}))
		},
		"KeyPair": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.KeyPair(b.ctx, t, w.key.ID)) },
		"ListKeyPairs": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListKeyPairs(b.ctx, t, where("name", canary)))
		},
		"Token": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.Token(b.ctx, t, canary)) },
		"TokenByKey": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.TokenByKey(b.ctx, t, core.Hash("key of "+canary)))
		},
		"TokenKey": func(b *bench, w *world, t core.TenantID) (string, error) {
			k, err := b.TokenKey(b.ctx, t, canary)
			return string(k), err
		},
		"ListTokens": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListTokens(b.ctx, t, api.Query{}))
		},
		"Consent": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Consent(b.ctx, t, w.user.ID, canary))
		},
		"Grant": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.Grant(b.ctx, t, w.grant.ID)) },
		"Refresh": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Refresh(b.ctx, t, w.refresh))
		},
		"AuthRequest": func(b *bench, w *world, t core.TenantID) (string, error) {
			d, err := b.AuthRequest(b.ctx, t, canary)
			return string(d), err
		},
		"FindSession": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.FindSession(b.ctx, t, w.session))
		},
		"SessionByID": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.SessionByID(b.ctx, t, canary))
		},
		"UserSessions": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UserSessions(b.ctx, t, w.user.ID))
		},
		"PasswordHash": func(b *bench, w *world, t core.TenantID) (string, error) { return b.PasswordHash(b.ctx, t, w.user.ID) },
		"Link":         func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.Link(b.ctx, t, w.link)) },
		"Failures": func(b *bench, w *world, t core.TenantID) (string, error) {
			n, _, err := b.Failures(b.ctx, t, canary, time.Hour)
			return shown(n, err)
		},
		"RecentEvents": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.RecentEvents(b.ctx, t, 9)) },
		"Changes": func(b *bench, w *world, t core.TenantID) (string, error) {
			list, err := b.Changes(b.ctx, t, 0, 1000)
			for _, c := range list {
				if c.ID == string(w.user.ID) {
					return c.ID, err
				}
			}
			return "", err
		},
	}
}

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
		"CreateToken": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.CreateToken(b.ctx, t, &core.Token{Identifier: "n", User: w.user.ID}, "k"))
		},
		"SetTokenKey": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.SetTokenKey(b.ctx, t, canary, "x"))
		},
		"UpdateToken": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.UpdateToken(b.ctx, t, canary, func(k *core.Token) error { k.Description = "x"; return nil }))
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
			return done(b.SaveCode(b.ctx, t, &oidc.Code{Hash: core.Hash("n"), Grant: w.grant.ID, Expires: b.clock.Now()}))
		},
		"ConsumeCode": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.ConsumeCode(b.ctx, t, w.code))
		},
		"SaveRefresh": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(b.SaveRefresh(b.ctx, t, b.nextRefresh(w.grant, "n")))
		},
		"RotateRefresh": func(b *bench, w *world, t core.TenantID) (string, error) {
			return done(second(b.RotateRefresh(b.ctx, t, w.refresh, b.nextRefresh(w.grant, "n"), nil, time.Second)))
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
			return "", b.SetLastLogin(b.ctx, t, w.user.ID, b.clock.Now().Add(time.Minute))
		},
		"DeleteLinks": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.DeleteLinks(b.ctx, t, w.user.ID, login.LinkRecovery)
		},
		"Forget": func(b *bench, w *world, t core.TenantID) (string, error) { return "", b.Forget(b.ctx, t, canary) },
		"Refund": func(b *bench, w *world, t core.TenantID) (string, error) { return "", b.Refund(b.ctx, t, canary) },
		"Fail": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", second(b.Fail(b.ctx, t, canary, time.Hour))
		},
		"Record": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.Record(b.ctx, t, core.Event{Action: "x"})
		},
		"CreateMapping": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.CreateMapping(b.ctx, t, &core.PropertyMapping{Kind: core.MappingScope, Name: "n " + canary})
		},
		"CreateKeyPair": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.CreateKeyPair(b.ctx, t, &core.KeyPair{Name: "n " + canary})
		},
		"SaveAuthRequest": func(b *bench, w *world, t core.TenantID) (string, error) {
			return "", b.SaveAuthRequest(b.ctx, t, canary, []byte("x"), b.clock.Now().Add(time.Hour))
		},
	}
}

// notProbed are methods that do not act on what a tenant holds.
func notProbed() []string {
	return []string{"Tenant", "TenantByHost", "CreateTenant", "AddDomain", "Ping", "LastChange", "ChildGroups"}
}

// TestTenants checks that what is written in one tenant is invisible from
// another, for every method of Store.
func TestTenants(t *testing.T, open Open) {
	read, write, blind := readProbes(), writeProbes(), blindProbes()
	t.Run("every method is probed", func(t *testing.T) {
		probed := map[string]bool{}
		for _, m := range []map[string]probe{read, write, blind} {
			for name := range m {
				probed[name] = true
			}
		}
		for _, name := range notProbed() {
			probed[name] = true
		}
		for m := range reflect.TypeFor[Store]().Methods() {
			if !probed[m.Name] {
				t.Errorf("no probe for %s", m.Name)
			}
		}
	})
	t.Run("invisible from B", func(t *testing.T) {
		b := start(t, open)
		b.ok(second(b.CreateTenant(b.ctx, tenantB, "B")))
		w := newWorld(b)
		before := snapshot(b, w)
		for _, m := range []map[string]probe{read, write, blind} {
			for name, p := range m {
				answer, err := p(b, w, tenantB)
				if answer != "" && !(strings.HasPrefix(name, "List") || name == "RecentEvents") || strings.Contains(answer, canary) {
					b.Errorf("%s in B: %s", name, answer)
				}
				var fe *core.FieldError
				if err != nil && !errors.Is(err, core.ErrNotFound) && !errors.As(err, &fe) {
					b.Errorf("%s in B: %v, want not found", name, err)
				}
				if err != nil && strings.Contains(err.Error(), canary) {
					b.Errorf("%s in B tells of A: %v", name, err)
				}
			}
		}
		if after := snapshot(b, w); after != before {
			b.Errorf("A changed:\nbefore %s\n after %s", before, after)
		}
		b.ok(second(b.ConsumeCode(b.ctx, tenantA, w.code)))
	})
	run(t, open, map[string]func(*bench){
		"no such tenant": noSuchTenant,
		"hosts":          tenantHosts,
		"refused":        tenantRefused,
		"own start":      tenantOwnStart,
	})
}

// TestTenantsControl calls the same probes in A, to show that TestTenants can
// fail. One backend is enough.
func TestTenantsControl(t *testing.T, open Open) {
	read, write, blind := readProbes(), writeProbes(), blindProbes()
	b := start(t, open)
	w := newWorld(b)
	for name, p := range read {
		if answer, err := p(b, w, tenantA); answer == "" || err != nil {
			b.Errorf("%s in A: %q, %v", name, answer, err)
		}
	}
	for name, p := range write {
		b.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, open)
			w := newWorld(b)
			before := snapshot(b, w)
			answer, err := p(b, w, tenantA)
			if answer == "" || err != nil {
				b.Errorf("%s in A: %q, %v", name, answer, err)
			}
			unseen := name == "SaveCode" || name == "ConsumeCode" || name == "SaveRefresh" || name == "SaveLink"
			if !unseen && snapshot(b, w) == before {
				b.Errorf("%s in A changed nothing that the snapshot shows", name)
			}
		})
	}
	for name, p := range blind {
		b.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, open)
			w := newWorld(b)
			before := snapshot(b, w)
			if _, err := p(b, w, tenantA); err != nil {
				b.Error(err)
			}
			if snapshot(b, w) == before {
				b.Errorf("%s in A changed nothing that the snapshot shows", name)
			}
		})
	}
}

// snapshot is all of A that its reading methods show.
func snapshot(b *bench, w *world) string {
	b.Helper()
	var out strings.Builder
	probes := readProbes()
	for _, name := range []string{"User", "UserGroups", "Group", "Application", "Client", "Provider", "Mapping", "KeyPair", "Token", "TokenKey", "Consent",
		"Grant", "Refresh", "AuthRequest", "SessionByID", "PasswordHash", "Link", "Failures", "RecentEvents"} {
		answer, err := probes[name](b, w, tenantA)
		fmt.Fprintln(&out, name, answer, err)
	}
	for what, list := range map[string]func() (string, error){
		"users":  func() (string, error) { return listed(b.ListUsers(b.ctx, tenantA, api.Query{})) },
		"groups": func() (string, error) { return listed(b.ListGroups(b.ctx, tenantA, api.Query{})) },
		"tokens": func() (string, error) { return listed(b.ListTokens(b.ctx, tenantA, api.Query{})) },
	} {
		answer, err := list()
		fmt.Fprintln(&out, what, answer, err)
	}
	return sorted(out.String()) + others(b, w)
}

func others(b *bench, w *world) string {
	var out strings.Builder
	for _, q := range []func() (string, error){
		func() (string, error) { return listed(b.ListApplications(b.ctx, tenantA, api.Query{})) },
		func() (string, error) { return listed(b.ListClients(b.ctx, tenantA, api.Query{})) },
		func() (string, error) { return listed(b.ListProxyProviders(b.ctx, tenantA, api.Query{})) },
		func() (string, error) { return listed(b.ListMappings(b.ctx, tenantA, core.MappingScope, api.Query{})) },
		func() (string, error) { return listed(b.ListKeyPairs(b.ctx, tenantA, api.Query{})) },
		func() (string, error) { return shown(b.GroupMembers(b.ctx, tenantA, w.group.ID, 9)) },
		func() (string, error) { return shown(b.FindSession(b.ctx, tenantA, core.Hash("n"))) },
		func() (string, error) { return shown(b.Grant(b.ctx, tenantA, "n")) },
		func() (string, error) { return shown(b.TokenByKey(b.ctx, tenantA, core.Hash("key of "+canary))) },
	} {
		answer, err := q()
		fmt.Fprintln(&out, answer, err)
	}
	list, err := b.Changes(b.ctx, tenantA, 0, 1000)
	fmt.Fprintln(&out, list, err)
	return out.String()
}

func sorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func noSuchTenant(b *bench) {
	for _, id := range []core.TenantID{"", "t_none", "t_", "T_A", "t_a/../public", "../public", `t_a"; DROP SCHEMA public; --`, "pg_catalog", "information_schema",
		"public ", "PUBLIC", "template", "t_" + core.TenantID(strings.Repeat("a", 62)), "t_a\x00", "t_a.b", "t_ä"} {
		b.is(second(b.UserByName(b.ctx, id, "akadmin")), core.ErrNotFound)
		b.is(b.CreateUser(b.ctx, id, &core.User{UserName: "x"}), core.ErrNotFound)
		b.is(b.SaveSession(b.ctx, id, core.Hash("k"), &core.Session{ID: "x"}), core.ErrNotFound)
		b.is(second(b.Tenant(b.ctx, id)), core.ErrNotFound)
		b.is(b.AddDomain(b.ctx, id, "x.test", true), core.ErrNotFound)
	}
}

func tenantHosts(b *bench) {
	b.ok(second(b.CreateTenant(b.ctx, tenantB, "B")))
	b.is(second(b.TenantByHost(b.ctx, "b.test")), core.ErrNotFound)
	b.ok(b.AddDomain(b.ctx, tenantB, "B.test.", true))
	b.ok(b.AddDomain(b.ctx, tenantB, "other.test", false))
	for host, want := range map[string]core.TenantID{"b.test": tenantB, "B.TEST": tenantB, "www.b.test": tenantB, "other.test": tenantB,
		"x.b.test": "", "test": "", "": "", "www.": "", "localhost": "", "b.test.evil.test": "", "notb.test": ""} {
		got, err := b.TenantByHost(b.ctx, host)
		if want == "" {
			b.is(err, core.ErrNotFound)
			continue
		}
		b.ok(err)
		equal(b, host, got.ID, want)
		equal(b, host+" origin", got.Origin, "https://b.test")
		got.Origin = "changed by a caller"
	}
	err := b.AddDomain(b.ctx, tenantA, "b.test", false)
	b.field(err, "domain")
	b.is(err, core.ErrExists)
	for _, bad := range []string{"", "https://x.test", "x.test/y", "x.test:80", "a b"} {
		b.field(b.AddDomain(b.ctx, tenantB, bad, false), "domain")
	}
}

func tenantRefused(b *bench) {
	tn, err := b.CreateTenant(b.ctx, tenantB, "B")
	b.ok(err)
	if tn.ID != tenantB || tn.Name != "B" || tn.UUID == "" {
		b.Errorf("tenant %+v", tn)
	}
	def, err := b.Tenant(b.ctx, tenantA)
	b.ok(err)
	if def.UUID == tn.UUID || def.UUID == "" || def.Name != "Default" {
		b.Errorf("default tenant %+v", def)
	}
	err = second(b.CreateTenant(b.ctx, tenantB, "again"))
	b.field(err, "schema_name")
	b.is(err, core.ErrExists)
	for _, bad := range []core.TenantID{"public", "t_", "t_A", `t_a"; DROP`, "pg_catalog", "t_" + core.TenantID(strings.Repeat("a", 62)), "b"} {
		b.field(second(b.CreateTenant(b.ctx, bad, "x")), "schema_name")
	}
	b.ok(second(b.CreateTenant(b.ctx, "t_"+core.TenantID(strings.Repeat("a", 61)), "longest")))
}

// A tenant starts with its own administrator, and the same names and keys do not
// meet those of another.
func tenantOwnStart(b *bench) {
	b.ok(second(b.CreateTenant(b.ctx, tenantB, "B")))
	a, err := b.UserByName(b.ctx, tenantA, "akadmin")
	b.ok(err)
	o, err := b.UserByName(b.ctx, tenantB, "akadmin")
	b.ok(err)
	if a.ID == o.ID {
		b.Error("two people with one ID")
	}
	b.client("app")
	b.t = tenantB
	b.client("app")
	b.user("alice")
	b.t = tenantA
	b.user("alice")
	both := make([]string, 0, 2)
	for _, t := range []core.TenantID{tenantA, tenantB} {
		c, err := b.Client(context.WithoutCancel(b.ctx), t, "app")
		b.ok(err)
		both = append(both, string(c.Secret))
	}
	equal(b, "secrets open in their own tenant", strings.Join(both, ", "), "secret of app, secret of app")
}
