package storagetest

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

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
		"Role": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.Role(b.ctx, t, w.role.ID)) },
		"ListRoles": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListRoles(b.ctx, t, where("name", canary)))
		},
		"Rights": func(b *bench, w *world, t core.TenantID) (string, error) {
			r, err := b.Rights(b.ctx, t, w.user.ID)
			return shown(r.Permissions, err)
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
		"ClientByName": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.ClientByName(b.ctx, t, w.client.Name))
		},
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
		"KeyPair":  func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.KeyPair(b.ctx, t, w.key.ID)) },
		"KeyPairs": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.KeyPairs(b.ctx, t)) },
		"KeyPairUse": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.KeyPairUse(b.ctx, t, w.used.ID))
		},
		"FormerKeys": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.FormerKeys(b.ctx, t, w.client.ID))
		},
		"RevokedKey": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.RevokedKey(b.ctx, t, canary))
		},
		"ListKeyPairs": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListKeyPairs(b.ctx, t, where("name", canary)))
		},
		"Policy": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Policy(b.ctx, t, w.policy.ID))
		},
		"PolicyByName": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.PolicyByName(b.ctx, t, canary))
		},
		"ListPolicies": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListPolicies(b.ctx, t, api.Query{}))
		},
		"Binding": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Binding(b.ctx, t, w.bound.ID))
		},
		"ListBindings": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListBindings(b.ctx, t, where("target", string(w.app.ID))))
		},
		"Denial": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Denial(b.ctx, t, canary))
		},
		"Rules": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.Rules(b.ctx, t)) },
		"Entitlement": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Entitlement(b.ctx, t, w.title.ID))
		},
		"Entitlements": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.Entitlements(b.ctx, t)) },
		"ListEntitlements": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListEntitlements(b.ctx, t, api.Query{}))
		},
		"Brand": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.Brand(b.ctx, t, w.brand.ID))
		},
		"Brands": func(b *bench, w *world, t core.TenantID) (string, error) {
			all, err := b.Brands(b.ctx, t)
			return shown(slices.DeleteFunc(slices.Clone(all), func(v core.Brand) bool { return v.ID != w.brand.ID }), err)
		},
		"ListBrands": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListBrands(b.ctx, t, api.Query{Search: canary}))
		},
		"Settings": func(b *bench, w *world, t core.TenantID) (string, error) {
			s, err := b.Settings(b.ctx, t)
			if err == nil && s.Avatars == core.DefaultSettings().Avatars {
				return "", nil
			}
			return shown(s, err)
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
		"Code": func(b *bench, w *world, t core.TenantID) (string, error) {
			code, _, err := b.Code(b.ctx, t, w.code)
			return shown(code, err)
		},
		"Refresh": func(b *bench, w *world, t core.TenantID) (string, error) {
			r, _, err := b.Refresh(b.ctx, t, w.refresh)
			return shown(r, err)
		},
		"AuthRequest": func(b *bench, w *world, t core.TenantID) (string, error) {
			d, err := b.AuthRequest(b.ctx, t, canary)
			return string(d), err
		},
		"FindSession": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.FindSession(b.ctx, t, w.session))
		},
		"ListSessions": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListSessions(b.ctx, t, where("user", string(w.user.ID))))
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
			n, err := b.Failures(b.ctx, t, core.Counter{Key: canary, Window: time.Hour})
			if err == nil && n[0] == (core.Failures{}) {
				return "", core.ErrNotFound
			}
			return shown(n, err)
		},
		"Event": func(b *bench, w *world, t core.TenantID) (string, error) { return shown(b.Event(b.ctx, t, canary)) },
		"ListEvents": func(b *bench, w *world, t core.TenantID) (string, error) {
			return listed(b.ListEvents(b.ctx, t, api.Query{}))
		},
		"EventVolume": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.EventVolume(b.ctx, t, api.Query{}, time.Hour))
		},
		"TopApplications": func(b *bench, w *world, t core.TenantID) (string, error) {
			return shown(b.TopApplications(b.ctx, t, core.EventLogin, 9))
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
