package storagetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// notProbed are methods that do not act on what a tenant holds.
func notProbed() []string {
	return []string{"Tenant", "TenantByHost", "Ping", "LastChange", "SetupClosed", "CloseSetup",
		"RegisteredTenant", "ListTenants", "CreateTenant", "UpdateTenant", "DeleteTenant", "Domain", "ListDomains", "CreateDomain", "UpdateDomain", "DeleteDomain"}
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
				// A list may hold what B itself started with.
				own := strings.HasPrefix(name, "List") || name == "RecentEvents"
				if answer != "" && !own || strings.Contains(answer, canary) {
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
		b.ok(b.ConsumeCode(b.ctx, tenantA, w.code, nil))
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
			unseen := name == "SaveCode" || name == "ConsumeCode" || name == "SaveLink" || name == "WarnedOfKeyPair"
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
		"Grant", "Refresh", "AuthRequest", "SessionByID", "PasswordHash", "Link", "Failures", "RecentEvents",
		"Policy", "ListPolicies", "Binding", "Rules", "Entitlement", "Entitlements", "Brand", "Brands", "Settings"} {
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
		b.is(b.CreateDomain(b.ctx, &core.Domain{Tenant: id, Name: "x.test", Primary: true}), core.ErrNotFound)
	}
}

func tenantHosts(b *bench) {
	b.ok(second(b.CreateTenant(b.ctx, tenantB, "B")))
	b.is(second(b.TenantByHost(b.ctx, "b.test")), core.ErrNotFound)
	b.ok(b.CreateDomain(b.ctx, &core.Domain{Tenant: tenantB, Name: "B.test.", Primary: true}))
	b.ok(b.CreateDomain(b.ctx, &core.Domain{Tenant: tenantB, Name: "other.test", Primary: false}))
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
	err := b.CreateDomain(b.ctx, &core.Domain{Tenant: tenantA, Name: "b.test", Primary: false})
	b.field(err, "domain")
	b.is(err, core.ErrExists)
	for _, bad := range []string{"", "https://x.test", "x.test/y", "x.test:80", "a b"} {
		b.field(b.CreateDomain(b.ctx, &core.Domain{Tenant: tenantB, Name: bad, Primary: false}), "domain")
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
