package sqldb_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/storage/sqldb"
)

// fill makes n objects of each kind, each of which refers to others of its own.
func fill(t *testing.T, db *sqldb.DB, n int) {
	t.Helper()
	ctx, tenant := t.Context(), core.DefaultTenant
	for i := range n {
		name := fmt.Sprintf("number-%d", i)
		r, above, below := &core.Role{Name: name}, &core.Role{Name: name + " above"}, &core.Role{Name: name + " below"}
		for _, r := range []*core.Role{r, above, below} {
			must(t, db.CreateRole(ctx, tenant, r))
		}
		parent := &core.Group{Name: name + " above", Roles: []core.RoleID{above.ID}}
		must(t, db.CreateGroup(ctx, tenant, parent, nil))
		g := &core.Group{Name: name, Parents: []core.GroupID{parent.ID}, Roles: []core.RoleID{below.ID}}
		must(t, db.CreateGroup(ctx, tenant, g, nil))
		u := &core.User{UserName: name, Active: true, Groups: []core.GroupID{g.ID}, Roles: []core.RoleID{r.ID}}
		must(t, db.CreateUser(ctx, tenant, u))
		must(t, db.CreateToken(ctx, tenant, &core.Token{Identifier: name, Intent: core.IntentAPI, User: u.ID}, core.Secret(name)))
		m := &core.PropertyMapping{Kind: core.MappingScope, Name: name, ScopeName: name, Expression: "return {}"}
		must(t, db.CreateMapping(ctx, tenant, m))
		key := &core.KeyPair{Name: name, Certificate: "none"}
		must(t, db.CreateKeyPair(ctx, tenant, key))
		c := &core.Client{ProviderBase: core.ProviderBase{Name: name, Mappings: []core.MappingID{m.ID}}, ClientID: name, SigningKey: key.ID}
		must(t, db.CreateClient(ctx, tenant, c))
		x := &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: name + " guarded", Mappings: []core.MappingID{m.ID}}, ClientID: name + "-guarded", ExternalHost: "https://" + name + ".test"}
		must(t, db.CreateProxyProvider(ctx, tenant, x))
		a := &core.Application{Name: name, Slug: name, Provider: c.ID, PolicyMode: "any"}
		must(t, db.CreateApplication(ctx, tenant, a))
		must(t, db.CreateApplication(ctx, tenant, &core.Application{Name: name + " guarded", Slug: name + "-guarded", Provider: x.ID, PolicyMode: "any"}))
		must(t, db.CreateBrand(ctx, tenant, &core.Brand{Domain: name + ".test", ClientCertificates: []core.KeyPairID{key.ID}}))
		p := &core.ExpressionPolicy{Name: name, Expression: "return True"}
		must(t, db.CreatePolicy(ctx, tenant, p))
		e := &core.Entitlement{Name: name, Application: a.ID}
		must(t, db.CreateEntitlement(ctx, tenant, e))
		for _, b := range []policy.Binding{
			{Target: policy.TargetID(a.ID), User: u.ID}, {Target: policy.TargetID(a.ID), Group: g.ID}, {Target: policy.TargetID(e.ID), User: u.ID},
		} {
			must(t, db.CreateBinding(ctx, tenant, &b))
		}
		must(t, db.SaveSession(ctx, tenant, core.Hash(name), &core.Session{ID: core.SessionID(name), User: u.ID, Expires: db.Now().Add(time.Hour)}))
		// Their files are nothing that a list looks at.
		must(t, db.Exec(ctx, tenant, `INSERT INTO tenants (id, uuid, name, name_fold, ready, brand, created, updated) VALUES ($1, $1, $1, $1, $2, '{}', 0, 0)`, fmt.Sprint("t_n", i), true))
		must(t, db.CreateDomain(ctx, &core.Domain{Tenant: core.TenantID(fmt.Sprint("t_n", i)), Name: name + ".test"}))
		must(t, db.Record(ctx, tenant, core.Event{Action: "login", User: u.ID, UserName: name, Application: a.ID}))
		s := &core.Session{ID: core.SessionID(name), User: u.ID, AuthTime: db.Now(), Created: db.Now(), LastSeen: db.Now(), Expires: db.Now().Add(time.Hour), Idle: time.Hour}
		must(t, db.SaveSession(ctx, tenant, core.Hash(name), s))
	}
}

// statements counts what each list of the API asks of a store with n objects of each
// kind, plainly and with all that can be shown beside. A list that shows fewer than n is told.
func statements(t *testing.T, n int) map[string]int {
	t.Helper()
	db := open(t, sqldb.Options{Dir: t.TempDir()})
	fill(t, db, n)
	get := apiOf(t, db)
	asked := 0
	db.Trace(func(core.TenantID, string, []any) { asked++ })
	out := map[string]int{}
	for path, params := range listsOf(t, get) {
		everything := always(path)
		for _, p := range params {
			if strings.HasPrefix(p.Name, "include_") && p.Schema.Default != nil || p.Name == "superuser_full_list" {
				everything.Set(p.Name, "true")
			}
		}
		for _, query := range []url.Values{always(path), everything} {
			query.Set("page_size", fmt.Sprint(n))
			get(path, query) // what is in memory from the first time on is not what is counted
			asked = 0
			code, body := get(path, query)
			var list struct{ Results []json.RawMessage }
			if err := json.Unmarshal(body, &list); err != nil || code != http.StatusOK {
				t.Fatalf("%s: %d %s", path, code, body)
			}
			if len(list.Results) < n && !sparse(path) {
				t.Errorf("%s?%s shows %d only", path, query.Encode(), len(list.Results))
			}
			query.Del("page_size")
			out[path+"?"+query.Encode()] = asked
		}
	}
	return out
}

// sparse lists have few objects whatever a directory holds.
func sparse(path string) bool {
	return slices.Contains([]string{"/flows/instances/", "/rbac/permissions/", "/rbac/permissions/assigned_by_roles/",
		"/propertymappings/provider/saml/", "/propertymappings/provider/scim/"}, path)
}

// A list of a hundred asks as many statements as one of ten: nothing is looked up row by row.
func TestListsAskAsMuchForManyRows(t *testing.T) {
	few, many := statements(t, 10), statements(t, 100)
	for _, list := range slices.Sorted(maps.Keys(many)) {
		if few[list] != many[list] || many[list] == 0 {
			t.Errorf("%s: %d statements for 10 rows, %d for 100", list, few[list], many[list])
		}
	}
}
