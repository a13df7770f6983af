package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// TestRegistry checks the registry of tenants and domains, and that nothing is left of a
// tenant that was deleted.
func TestRegistry(t *testing.T, open Open) {
	run(t, open, map[string]func(*bench){
		"list":              listTenants,
		"change":            changeTenant,
		"not ready":         notReady,
		"delete":            deleteTenant,
		"delete and go on":  deleteUnderway,
		"deleted and again": recycledTenant,
		"domains":           tenantDomains,
		"one primary":       onePrimary,
		"list of domains":   listDomains,
		"domains at once":   domainsAtOnce,
	})
}

// made creates tenants of these names.
func (b *bench) made(names ...core.TenantID) {
	b.Helper()
	for _, id := range names {
		b.ok(second(b.CreateTenant(b.ctx, id, "Tenant "+strings.ToUpper(strings.TrimPrefix(string(id), "t_")))))
	}
}

func listTenants(b *bench) {
	b.made("t_zoe", "t_anna", "t_ben")
	b.ok(second(b.UpdateTenant(b.ctx, "t_zoe", func(t *core.Tenant) error { t.Ready, t.Name = false, "Größe"; return nil })))
	b.ok(second(b.UpdateTenant(b.ctx, "t_ben", func(t *core.Tenant) error { t.Name = "größte"; return nil })))
	ben, err := b.Tenant(b.ctx, "t_ben")
	b.ok(err)
	for _, c := range []struct {
		q     api.Query
		want  string
		total int
	}{
		{api.Query{Order: []string{"schema_name"}}, "public t_anna t_ben t_zoe", 4},
		{api.Query{Order: []string{"-schema_name"}}, "t_zoe t_ben t_anna public", 4},
		{api.Query{Order: []string{"name"}}, "public t_zoe t_ben t_anna", 4},
		{api.Query{Order: []string{"ready", "-schema_name"}}, "t_zoe t_ben t_anna public", 4},
		{api.Query{Order: []string{"schema_name"}, Limit: 2}, "public t_anna", 4},
		{api.Query{Order: []string{"schema_name"}, Limit: 2, Offset: 3}, "t_zoe", 4},
		{api.Query{Order: []string{"schema_name"}, Limit: 2, Offset: 30}, "", 4},
		{api.Query{Search: "GRÖSS", Order: []string{"schema_name"}}, "t_ben t_zoe", 2},
		{api.Query{Search: "GRÖSSE"}, "t_zoe", 1},
		{api.Query{Search: "t_an"}, "t_anna", 1},
		{api.Query{Search: "tenant anna"}, "t_anna", 1},
		{api.Query{Search: "%"}, "", 0},
		{api.Query{Where: map[string][]string{"ready": {"false"}}}, "t_zoe", 1},
		{api.Query{Where: map[string][]string{"schema_name": {"t_ben", "t_none"}}}, "t_ben", 1},
		{api.Query{Where: map[string][]string{"name": {"Default"}}}, "public", 1},
		{api.Query{Where: map[string][]string{"tenant_uuid": {ben.UUID}}}, "t_ben", 1},
		{api.Query{Only: []string{ben.UUID}}, "t_ben", 1},
	} {
		list, total, err := b.ListTenants(b.ctx, c.q)
		b.ok(err)
		var got []string
		for i := range list {
			got = append(got, string(list[i].ID))
			if list[i].UUID == "" || list[i].Ready != (list[i].ID != "t_zoe") {
				b.Errorf("%+v: %+v", c.q, list[i])
			}
		}
		equal(b, fmt.Sprintf("%+v", c.q), strings.Join(got, " "), c.want)
		equal(b, fmt.Sprintf("%+v, total", c.q), total, c.total)
	}
	for field, q := range map[string]api.Query{"ordering": {Order: []string{"id; --"}}, "created": {Where: map[string][]string{"created": {"1"}}}} {
		_, _, err := b.ListTenants(b.ctx, q)
		b.field(err, field)
	}
}

func changeTenant(b *bench) {
	b.made(tenantB)
	own := errors.New("no")
	b.is(second(b.UpdateTenant(b.ctx, tenantB, func(t *core.Tenant) error { t.Name = "never"; return own })), own)
	got, err := b.UpdateTenant(b.ctx, tenantB, func(t *core.Tenant) error { t.Name = "Bee"; return nil })
	b.ok(err)
	equal(b, "name", got.Name, "Bee")
	again, err := b.Tenant(b.ctx, tenantB)
	b.ok(err)
	equal(b, "name that is served", again.Name, "Bee")
	found, err := b.RegisteredTenant(b.ctx, again.UUID)
	b.ok(err)
	equal(b, "found by UUID", found.ID, tenantB)
	b.is(second(b.RegisteredTenant(b.ctx, "none")), core.ErrNotFound)
	for _, change := range []func(*core.Tenant){func(t *core.Tenant) { t.ID = "t_c" }, func(t *core.Tenant) { t.UUID = "other" }} {
		b.field(second(b.UpdateTenant(b.ctx, tenantB, func(t *core.Tenant) error { change(t); return nil })), "schema_name")
	}
	b.field(second(b.UpdateTenant(b.ctx, tenantA, func(t *core.Tenant) error { t.Ready = false; return nil })), "ready")
	b.ok(second(b.UpdateTenant(b.ctx, tenantA, func(t *core.Tenant) error { t.Name = "Main"; return nil })))
	b.is(second(b.UpdateTenant(b.ctx, "t_none", func(*core.Tenant) error { return nil })), core.ErrNotFound)
	b.is(second(b.UpdateTenant(b.ctx, "template", func(*core.Tenant) error { return nil })), core.ErrNotFound)
}

// A tenant that is not ready is not served; its hosts are nobody else's meanwhile.
func notReady(b *bench) {
	b.made(tenantB)
	b.ok(b.CreateDomain(b.ctx, &core.Domain{Tenant: tenantB, Name: "b.test"}))
	b.ok(b.CreateUser(b.ctx, tenantB, &core.User{UserName: "kept"}))
	set := func(ready bool) {
		b.ok(second(b.UpdateTenant(b.ctx, tenantB, func(t *core.Tenant) error { t.Ready = ready; return nil })))
	}
	set(false)
	b.is(second(b.TenantByHost(b.ctx, "b.test")), core.ErrUnavailable)
	b.is(second(b.TenantByHost(b.ctx, "www.b.test")), core.ErrUnavailable)
	b.is(second(b.Tenant(b.ctx, tenantB)), core.ErrNotFound)
	b.is(second(b.UserByName(b.ctx, tenantB, "kept")), core.ErrNotFound)
	b.is(b.CreateUser(b.ctx, tenantB, &core.User{UserName: "x"}), core.ErrNotFound)
	err := second(b.CreateTenant(b.ctx, tenantB, "again"))
	b.field(err, "schema_name")
	b.is(err, core.ErrExists)
	set(true)
	b.ok(second(b.TenantByHost(b.ctx, "b.test")))
	b.ok(second(b.UserByName(b.ctx, tenantB, "kept")))
}

// certificates keeps some as Caddy does, and gives what tells whether those of a tenant's domain are there; those
// of others, above, below or beside its domain, always are.
func (b *bench) certificates(t core.TenantID, domain string) func(there bool) {
	b.Helper()
	files := b.files()
	p := &core.ProxyProvider{ClientID: "certified", Mode: core.ProxyAuthSingle, ExternalHost: "https://x." + domain}
	p.Name = p.ClientID
	b.ok(b.CreateProxyProvider(b.ctx, t, p)) // a wish, and the host may be another's
	b.ok(b.CreateApplication(b.ctx, t, &core.Application{Name: p.Name, Slug: p.Name, Provider: p.ID}))
	of := func(host, ending string) string { return "certificates/local/" + host + "/" + host + ending }
	own, others := []string{domain}, []string{"x." + domain, "x" + domain, "elsewhere.test", "test"}
	for _, host := range slices.Concat(own, others) {
		b.ok(files.StoreFile(b.ctx, of(host, ".key"), []byte("key")))
		b.ok(files.StoreFile(b.ctx, of(host, ".crt"), []byte("chain")))
	}
	b.ok(files.StoreFile(b.ctx, "acme/"+domain+"/users/x.key", []byte("an account")))
	return func(there bool) {
		b.Helper()
		for _, host := range own {
			for _, ending := range []string{".key", ".crt"} {
				_, err := files.LoadFile(b.ctx, of(host, ending))
				if there {
					b.ok(err)
				} else {
					b.is(err, fs.ErrNotExist)
				}
			}
		}
		for _, host := range others {
			b.ok(second(files.LoadFile(b.ctx, of(host, ".key"))))
		}
		b.ok(second(files.LoadFile(b.ctx, "acme/"+domain+"/users/x.key")))
	}
}

func deleteTenant(b *bench) {
	b.made(tenantB, "t_other")
	b.ok(b.CreateDomain(b.ctx, &core.Domain{Tenant: tenantB, Name: "b.test"}))
	b.ok(b.CreateUser(b.ctx, "t_other", &core.User{UserName: "kept"}))
	was, err := b.Tenant(b.ctx, tenantB)
	b.ok(err)
	certificates := b.certificates(tenantB, "b.test")
	b.is(b.DeleteTenant(b.ctx, tenantB, "of another one"), core.ErrNotFound)
	certificates(true)
	b.ok(second(b.UserByName(b.ctx, tenantB, "akadmin")))
	b.ok(b.DeleteTenant(b.ctx, tenantB, was.UUID))
	certificates(false)
	b.is(b.DeleteTenant(b.ctx, tenantB, was.UUID), core.ErrNotFound)
	b.is(second(b.Tenant(b.ctx, tenantB)), core.ErrNotFound)
	b.is(second(b.RegisteredTenant(b.ctx, was.UUID)), core.ErrNotFound)
	b.is(second(b.TenantByHost(b.ctx, "b.test")), core.ErrNotFound)
	b.is(second(b.UserByName(b.ctx, tenantB, "akadmin")), core.ErrNotFound)
	b.is(b.CreateUser(b.ctx, tenantB, &core.User{UserName: "x"}), core.ErrNotFound)
	b.ok(second(b.UserByName(b.ctx, "t_other", "kept")))
	_, n, err := b.ListDomains(b.ctx, api.Query{})
	b.ok(err)
	equal(b, "domains", n, 0)
	b.ok(b.CreateDomain(b.ctx, &core.Domain{Tenant: "t_other", Name: "b.test"})) // its host is free

	b.field(b.DeleteTenant(b.ctx, tenantA, "any"), "schema_name")
	b.ok(second(b.UserByName(b.ctx, tenantA, "akadmin")))
	for _, id := range []core.TenantID{"template", "t_none", "", "../public", `t_a"; DROP SCHEMA public; --`, "pg_catalog"} {
		b.is(b.DeleteTenant(b.ctx, id, "any"), core.ErrNotFound)
		b.field(second(b.CreateTenant(b.ctx, id+"!", "x")), "schema_name")
	}
	b.field(second(b.CreateTenant(b.ctx, "template", "x")), "schema_name")
}

// A tenant is deleted while many are at work in it: they end, or find nothing. None
// panics, none makes the tables again.
func deleteUnderway(b *bench) {
	b.made(tenantB)
	admin, err := b.UserByName(b.ctx, tenantB, "akadmin")
	b.ok(err)
	stop := make(chan struct{})
	began := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				var err error
				switch i % 4 {
				case 0:
					err = b.CreateUser(b.ctx, tenantB, &core.User{UserName: fmt.Sprintf("user-%d-%d", i, n)})
				case 1:
					_, err = b.UserByName(b.ctx, tenantB, "akadmin")
				case 2:
					err = b.SaveSession(b.ctx, tenantB, core.Hash(fmt.Sprintf("%d-%d", i, n)), &core.Session{ID: core.SessionID(fmt.Sprintf("%d-%d", i, n)), User: admin.ID, Expires: b.clock.Now().Add(1e12)})
				case 3:
					_, _, err = b.ListUsers(b.ctx, tenantB, api.Query{})
				}
				if err != nil && !errors.Is(err, core.ErrNotFound) && !errors.Is(err, core.ErrUnavailable) {
					b.Errorf("worker %d: %v", i, err)
					if n <= 3 { // who waits for it to begin
						began <- struct{}{}
					}
					return
				}
				if n == 3 {
					began <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		<-began
	}
	for range 3 {
		Remove(b.T, b.Store, tenantB)
		b.is(second(b.UserByName(b.ctx, tenantB, "akadmin")), core.ErrNotFound)
		b.made(tenantB)
		b.ok(second(b.UserByName(b.ctx, tenantB, "akadmin")))
	}
	Remove(b.T, b.Store, tenantB)
	close(stop)
	wg.Wait()
	b.is(second(b.Tenant(b.ctx, tenantB)), core.ErrNotFound)
	b.made(tenantB)
	_, n, err := b.ListUsers(b.ctx, tenantB, api.Query{})
	b.ok(err)
	equal(b, "users of the tenant that was made again", n, 1)
}

// what was good in a tenant that was deleted is good for nothing in another one of
// its name, not even for a request that began in the first.
func recycledTenant(b *bench) {
	b.made(tenantB)
	b.t = tenantB
	was, err := b.Tenant(b.ctx, tenantB)
	b.ok(err)
	u := b.user("alice")
	admin, err := b.UserByName(b.ctx, tenantB, "akadmin")
	b.ok(err)
	key := b.session(u.ID, "s", "")
	b.ok(b.CreateToken(b.ctx, tenantB, &core.Token{Identifier: "t", Intent: core.IntentAPI, User: u.ID}, "the key"))
	b.ok(b.DeleteTenant(b.ctx, tenantB, was.UUID))
	b.made(tenantB)
	b.is(b.DeleteTenant(b.ctx, tenantB, was.UUID), core.ErrNotFound) // the one that was found a moment ago
	now, err := b.Tenant(b.ctx, tenantB)
	b.ok(err)
	if now.UUID == was.UUID || now.UUID == "" {
		b.Errorf("UUID %q after %q", now.UUID, was.UUID)
	}
	b.is(second(b.UserByName(b.ctx, tenantB, "alice")), core.ErrNotFound)
	b.is(second(b.User(b.ctx, tenantB, u.ID)), core.ErrNotFound)
	b.is(second(b.FindSession(b.ctx, tenantB, key)), core.ErrNotFound)
	b.is(second(b.TokenByKey(b.ctx, tenantB, core.Hash("the key"))), core.ErrNotFound)
	other, err := b.UserByName(b.ctx, tenantB, "akadmin")
	b.ok(err)
	if other.ID == admin.ID {
		b.Error("the administrator is the same one")
	}
	request := func(t *core.Tenant) context.Context {
		return core.WithRequest(b.ctx, &core.RequestInfo{Tenant: t, Host: "b.test"})
	}
	b.is(second(b.UserByName(request(was), tenantB, "akadmin")), core.ErrNotFound)
	b.is(b.CreateUser(request(was), tenantB, &core.User{UserName: "stray"}), core.ErrNotFound)
	b.ok(b.CreateUser(request(now), tenantB, &core.User{UserName: "control"})) // the same request in the tenant that is
	b.ok(second(b.UserByName(request(was), tenantA, "akadmin")))               // and of the other in another one
}

func tenantDomains(b *bench) {
	b.made(tenantB)
	d := &core.Domain{Tenant: tenantB, Name: "B.Test."}
	b.ok(b.CreateDomain(b.ctx, d))
	if d.ID == 0 || d.Name != "b.test" || !d.Primary {
		b.Errorf("domain %+v", d)
	}
	got, err := b.Domain(b.ctx, d.ID)
	b.ok(err)
	equal(b, "domain", *got, *d)
	second1 := &core.Domain{Tenant: tenantB, Name: "two.test"}
	b.ok(b.CreateDomain(b.ctx, second1))
	for _, id := range []core.TenantID{tenantA, tenantB} {
		err := b.CreateDomain(b.ctx, &core.Domain{Tenant: id, Name: "TWO.test"})
		b.field(err, "domain")
		b.is(err, core.ErrExists)
	}
	_, err = b.UpdateDomain(b.ctx, d.ID, func(d *core.Domain) error { d.Name = "two.test"; return nil })
	b.field(err, "domain")
	own := errors.New("no")
	b.is(second(b.UpdateDomain(b.ctx, d.ID, func(*core.Domain) error { return own })), own)
	_, err = b.UpdateDomain(b.ctx, d.ID, func(d *core.Domain) error { d.Tenant = "t_none"; return nil })
	b.field(err, "tenant")
	b.field(b.CreateDomain(b.ctx, &core.Domain{Tenant: "t_none", Name: "x.test"}), "tenant")
	renamed, err := b.UpdateDomain(b.ctx, second1.ID, func(d *core.Domain) error { d.Name = "Three.test"; return nil })
	b.ok(err)
	equal(b, "renamed", *renamed, core.Domain{ID: second1.ID, Name: "three.test", Tenant: tenantB})
	b.is(second(b.TenantByHost(b.ctx, "two.test")), core.ErrNotFound)
	tn, err := b.TenantByHost(b.ctx, "three.test")
	b.ok(err)
	equal(b, "origin", tn.Origin, "https://b.test")
	b.ok(b.DeleteDomain(b.ctx, second1.ID))
	b.is(b.DeleteDomain(b.ctx, second1.ID), core.ErrNotFound)
	b.is(second(b.Domain(b.ctx, second1.ID)), core.ErrNotFound)
	b.is(second(b.UpdateDomain(b.ctx, second1.ID, func(*core.Domain) error { return nil })), core.ErrNotFound)
	b.is(second(b.TenantByHost(b.ctx, "three.test")), core.ErrNotFound)
	next := &core.Domain{Tenant: tenantB, Name: "four.test"}
	b.ok(b.CreateDomain(b.ctx, next))
	if next.ID <= second1.ID {
		b.Errorf("number %d after %d: it was given before", next.ID, second1.ID)
	}
}

// Of a tenant's domains one is primary, whatever happens to them.
func onePrimary(b *bench) {
	b.made(tenantB, "t_other")
	ids := map[string]int64{}
	add := func(t core.TenantID, name string, primary bool) {
		d := &core.Domain{Tenant: t, Name: name + ".test", Primary: primary}
		b.ok(b.CreateDomain(b.ctx, d))
		ids[name] = d.ID
	}
	change := func(name string, f func(*core.Domain)) {
		b.ok(second(b.UpdateDomain(b.ctx, ids[name], func(d *core.Domain) error { f(d); return nil })))
	}
	want := func(what, b1, other string) {
		b.Helper()
		for id, want := range map[core.TenantID]string{tenantB: b1, "t_other": other} {
			list, _, err := b.ListDomains(b.ctx, api.Query{Where: map[string][]string{"tenant__schema_name": {string(id)}, "is_primary": {"true"}}})
			b.ok(err)
			var got []string
			for i := range list {
				got = append(got, strings.TrimSuffix(list[i].Name, ".test"))
			}
			equal(b, what+": primary of "+string(id), strings.Join(got, " "), want)
			tn, err := b.Tenant(b.ctx, id)
			b.ok(err)
			if want != "" {
				want = "https://" + want + ".test"
			}
			equal(b, what+": origin", tn.Origin, want)
		}
	}
	add(tenantB, "one", false)
	want("the first", "one", "")
	add(tenantB, "two", false)
	want("a second", "one", "")
	add(tenantB, "three", true)
	want("a new primary", "three", "")
	change("three", func(d *core.Domain) { d.Primary = false })
	want("no longer primary", "one", "")
	change("two", func(d *core.Domain) { d.Primary = true })
	want("made primary", "two", "")
	add("t_other", "four", false)
	change("two", func(d *core.Domain) { d.Tenant, d.Primary = "t_other", false })
	want("moved", "one", "four")
	change("one", func(d *core.Domain) { d.Tenant = "t_other" })
	want("moved as primary", "three", "one")
	b.ok(b.DeleteDomain(b.ctx, ids["three"]))
	want("the last deleted", "", "one")
	b.ok(b.DeleteDomain(b.ctx, ids["one"]))
	want("the primary deleted", "", "two")
	change("four", func(d *core.Domain) { d.Tenant = tenantB })
	want("the only one", "four", "two")
	change("four", func(d *core.Domain) { d.Primary = false })
	want("the only one stays", "four", "two")
}

func listDomains(b *bench) {
	b.made(tenantB, "t_other")
	other, err := b.Tenant(b.ctx, "t_other")
	b.ok(err)
	for i, name := range []string{"c.example", "a.example", "b.example"} {
		b.ok(b.CreateDomain(b.ctx, &core.Domain{Tenant: []core.TenantID{tenantB, "t_other", tenantB}[i], Name: name}))
	}
	for _, c := range []struct {
		q     api.Query
		want  string
		total int
	}{
		{api.Query{Order: []string{"domain"}}, "a.example b.example c.example", 3},
		{api.Query{Order: []string{"id"}}, "c.example a.example b.example", 3},
		{api.Query{Order: []string{"-is_primary", "domain"}}, "a.example c.example b.example", 3},
		{api.Query{Order: []string{"tenant", "domain"}}, "b.example c.example a.example", 3},
		{api.Query{Order: []string{"domain"}, Limit: 1, Offset: 1}, "b.example", 3},
		{api.Query{Order: []string{"domain"}, Offset: 10}, "", 3},
		{api.Query{Search: "A.EXAMPLE"}, "a.example", 1},
		{api.Query{Search: "t_b", Order: []string{"domain"}}, "b.example c.example", 2},
		{api.Query{Search: "tenant other"}, "a.example", 1},
		{api.Query{Where: map[string][]string{"tenant": {other.UUID}}}, "a.example", 1},
		{api.Query{Where: map[string][]string{"domain": {"b.example"}}}, "b.example", 1},
		{api.Query{Where: map[string][]string{"is_primary": {"false"}}}, "b.example", 1},
	} {
		list, total, err := b.ListDomains(b.ctx, c.q)
		b.ok(err)
		var got []string
		for i := range list {
			got = append(got, list[i].Name)
		}
		equal(b, fmt.Sprintf("%+v", c.q), strings.Join(got, " "), c.want)
		equal(b, fmt.Sprintf("%+v, total", c.q), total, c.total)
	}
}

// Many give a tenant domains and take them away at once: one is primary at the end, and a
// name has one owner.
func domainsAtOnce(b *bench) {
	b.made(tenantB, "t_other")
	var wg sync.WaitGroup
	owners := make([]core.TenantID, 20)
	for i := range owners {
		wg.Go(func() {
			id := []core.TenantID{tenantB, "t_other"}[i%2]
			d := &core.Domain{Tenant: id, Name: fmt.Sprintf("own-%d.test", i), Primary: true}
			if err := b.CreateDomain(b.ctx, d); err != nil {
				b.Error(err)
				return
			}
			if err := b.CreateDomain(b.ctx, &core.Domain{Tenant: id, Name: "wanted.test"}); err == nil {
				owners[i] = id
			} else if !errors.Is(err, core.ErrExists) {
				b.Error(err)
			}
			if i%5 == 0 {
				if err := b.DeleteDomain(b.ctx, d.ID); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	won := slices.DeleteFunc(owners, func(id core.TenantID) bool { return id == "" })
	if len(won) != 1 {
		b.Fatalf("the name has the owners %v", won)
	}
	tn, err := b.TenantByHost(b.ctx, "wanted.test")
	b.ok(err)
	equal(b, "owner", tn.ID, won[0])
	list, _, err := b.ListDomains(b.ctx, api.Query{Where: map[string][]string{"is_primary": {"true"}}})
	b.ok(err)
	if len(list) != 2 || list[0].Tenant == list[1].Tenant {
		b.Errorf("primary domains: %+v", list)
	}
}
