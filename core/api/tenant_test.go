package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// newTenant makes a tenant over the API and returns its UUID.
func (e *env) newTenant(schema string) string {
	e.Helper()
	t := e.want(201, "POST", "tenants/tenants/", map[string]any{"schema_name": schema, "name": "Tenant " + schema})
	return fmt.Sprint(t["tenant_uuid"])
}

func (e *env) newDomain(tenant, domain string, more map[string]any) map[string]any {
	e.Helper()
	body := map[string]any{"tenant": tenant, "domain": domain}
	for k, v := range more {
		body[k] = v
	}
	return e.want(201, "POST", "tenants/domains/", body)
}

func TestTenants(t *testing.T) {
	e := open(t)
	made := e.want(201, "POST", "tenants/tenants/", map[string]any{"schema_name": " t_b ", "name": "Bee", "ready": false, "tenant_uuid": "00000000-0000-7000-8000-00000000dead"})
	uuid := fmt.Sprint(made["tenant_uuid"])
	if len(made) != 4 || made["schema_name"] != "t_b" || made["name"] != "Bee" || made["ready"] != true || strings.HasSuffix(uuid, "dead") {
		t.Errorf("made %v", made)
	}
	if _, err := e.db.UserByName(t.Context(), "t_b", "akadmin"); err != nil {
		t.Error(err)
	}
	one := "tenants/tenants/" + uuid + "/"
	if got := e.want(200, "GET", one, nil); fmt.Sprint(got) != fmt.Sprint(made) {
		t.Errorf("%v, made %v", got, made)
	}
	e.refused("POST", "tenants/tenants/", map[string]any{"schema_name": "t_b", "name": "again"}, "schema_name", "Tenant with this schema name already exists.")
	e.refused("POST", "tenants/tenants/", map[string]any{"name": "x"}, "schema_name", "required")
	e.refused("POST", "tenants/tenants/", map[string]any{"schema_name": "t_c"}, "name", "required")
	e.refused("POST", "tenants/tenants/", map[string]any{"schema_name": "t_c", "name": " "}, "name", "blank")
	const rule = "Schema name must start with t_, only contain lowercase letters and numbers and be less than 63 characters."
	for _, bad := range []string{"template", "public", "t_", "t_A", "t_a_b", "t-a", "b", `t_a"; DROP`, "pg_catalog", "../t_a"} {
		e.refused("POST", "tenants/tenants/", map[string]any{"schema_name": bad, "name": "x"}, "schema_name", rule)
	}
	e.lenient = true // longer than the document says
	e.refused("POST", "tenants/tenants/", map[string]any{"schema_name": "t_" + strings.Repeat("a", 62), "name": "x"}, "schema_name", "63 characters")
	e.lenient = false

	if got := e.want(200, "PATCH", one, map[string]any{"name": "Bees"}); got["name"] != "Bees" || got["ready"] != true {
		t.Errorf("changed %v", got)
	}
	e.refused("PUT", one, map[string]any{"name": "Bees"}, "schema_name", "required")
	e.refused("PATCH", one, map[string]any{"schema_name": "t_c"}, "schema_name", "cannot be changed")
	if got := e.want(200, "PUT", one, map[string]any{"schema_name": "t_b", "name": "Bee", "ready": false}); got["name"] != "Bee" || got["ready"] != false {
		t.Errorf("changed %v", got)
	}
	if names := e.names("tenants/tenants/", "schema_name"); fmt.Sprint(names) != "[public t_b]" {
		t.Errorf("list %v", names)
	}
	if names := e.names("tenants/tenants/?search=bee", "schema_name"); fmt.Sprint(names) != "[t_b]" {
		t.Errorf("search %v", names)
	}
	if names := e.names("tenants/tenants/?ordering=-schema_name&page_size=1", "schema_name"); fmt.Sprint(names) != "[t_b]" {
		t.Errorf("page %v", names)
	}
	e.want(200, "PATCH", one, map[string]any{"ready": true})
	e.want(204, "DELETE", one, nil)
	for _, path := range []string{one, "tenants/tenants/no-uuid/", "tenants/tenants/t_b/"} {
		e.lenient = true
		for method, body := range map[string]any{"GET": nil, "DELETE": nil, "PATCH": map[string]any{"name": "x"}} {
			if a := e.send(tenantsKey, method, path, body); a.status != 404 || !strings.Contains(string(a.body), "No Tenant matches the given query.") {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
		e.lenient = false
	}
	if again := e.newTenant("t_b"); again == uuid {
		t.Error("the UUID is used again")
	}
	if n := len(e.events.list); n < 6 {
		t.Errorf("%d events", n)
	}
	for _, ev := range e.events.list {
		if model, ok := ev.Context["model"].(map[string]any); !ok || model["app"] != "authentik_tenants" || ev.User != "" || ev.Address != "192.0.2.7" {
			t.Errorf("event %+v", ev)
		}
	}
}

// The default tenant is always there.
func TestDefaultTenantStays(t *testing.T) {
	e := open(t)
	one := "tenants/tenants/" + e.tenant.UUID + "/"
	if a := e.send(tenantsKey, "DELETE", one, nil); a.status != 409 || !strings.Contains(string(a.body), "default tenant") {
		t.Errorf("%d %s", a.status, a.body)
	}
	e.refused("PATCH", one, map[string]any{"ready": false}, "ready", "always ready")
	if got := e.want(200, "PUT", one, map[string]any{"schema_name": "public", "name": "Main"}); got["name"] != "Main" || got["ready"] != true {
		t.Errorf("%v", got)
	}
}

func TestDomains(t *testing.T) {
	e := open(t)
	b, other := e.newTenant("t_b"), e.newTenant("t_other")
	first := e.newDomain(b, "B.Example.", map[string]any{"is_primary": false})
	if len(first) != 4 || first["domain"] != "b.example" || first["is_primary"] != true || first["tenant"] != b {
		t.Errorf("first %v", first)
	}
	one := fmt.Sprintf("tenants/domains/%v/", first["id"])
	next := e.newDomain(b, "two.example", nil)
	if next["is_primary"] != true || e.want(200, "GET", one, nil)["is_primary"] != false {
		t.Errorf("a domain that does not say takes the place of the primary one: %v", next)
	}
	e.refused("POST", "tenants/domains/", map[string]any{"tenant": other, "domain": "TWO.example"}, "domain", "Domain with this domain already exists.")
	e.refused("POST", "tenants/domains/", map[string]any{"tenant": other, "domain": "https://x.example"}, "domain", "without scheme")
	e.refused("POST", "tenants/domains/", map[string]any{"domain": "x.example"}, "tenant", "required")
	const nobody = "00000000-0000-7000-8000-00000000dead"
	e.refused("POST", "tenants/domains/", map[string]any{"domain": "x.example", "tenant": nobody}, "tenant", `Invalid pk "`+nobody+`" - object does not exist.`)
	if got := e.want(200, "PATCH", one, map[string]any{"domain": "new.example"}); got["domain"] != "new.example" || got["tenant"] != b || got["is_primary"] != false {
		t.Errorf("renamed %v", got)
	}
	if got := e.want(200, "PUT", one, map[string]any{"domain": "new.example", "tenant": other, "is_primary": false}); got["tenant"] != other || got["is_primary"] != true {
		t.Errorf("moved %v", got)
	}
	e.refused("PATCH", one, map[string]any{"tenant": nobody}, "tenant", "does not exist")
	if names := e.names("tenants/domains/", "domain"); fmt.Sprint(names) != "[new.example two.example]" {
		t.Errorf("list %v", names)
	}
	if names := e.names("tenants/domains/?search=t_other", "domain"); fmt.Sprint(names) != "[new.example]" {
		t.Errorf("search %v", names)
	}
	if tn, err := e.db.TenantByHost(t.Context(), "new.example"); err != nil || tn.UUID != other {
		t.Errorf("host: %v, %v", tn, err)
	}
	e.want(204, "DELETE", one, nil)
	for _, path := range []string{one, "tenants/domains/0/", "tenants/domains/2147483647/"} {
		if a := e.send(tenantsKey, "GET", path, nil); a.status != 404 {
			t.Errorf("GET %s: %d", path, a.status)
		}
	}
}

// onHost is a request of the tenants API that a tenant's own host was asked.
func (e *env) onHost(tenant *core.Tenant, scheme, host, method, path string, body any) answer {
	e.Helper()
	r := e.request(method, path, body)
	r.Header.Set("Authorization", "Bearer "+tenantsKey)
	info := *core.Request(r.Context())
	info.Tenant, info.Scheme, info.Host = tenant, scheme, host
	return e.serve(r.WithContext(core.WithRequest(r.Context(), &info)))
}

func TestTenantAdminGroup(t *testing.T) {
	e := open(t)
	id := e.newTenant("t_b")
	path := "tenants/tenants/" + id + "/create_admin_group/"
	alice := &core.User{UserName: "alice", Active: true}
	e.must(e.db.CreateUser(t.Context(), "t_b", alice))
	super := func() bool {
		groups, err := e.db.UserGroups(t.Context(), "t_b", alice.ID)
		e.must(err)
		return core.IsSuperuser(groups)
	}
	for range 2 { // the second time changes nothing
		if a := e.send(tenantsKey, "POST", path, map[string]any{"user": "alice"}); a.status != 200 || len(a.body) != 0 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if !super() {
			t.Error("alice is no superuser")
		}
	}
	groups, _, err := e.db.ListGroups(t.Context(), "t_b", api.Query{})
	e.must(err)
	if len(groups) != 1 || groups[0].Name != core.AdminGroup {
		t.Errorf("groups %+v", groups)
	}
	// A group that lost its rights gets them back; one that is gone is made.
	_, err = e.db.UpdateGroup(t.Context(), "t_b", groups[0].ID, func(g *core.Group) ([]int64, error) { g.Superuser = false; return nil, nil })
	e.must(err)
	e.want(200, "POST", path, map[string]any{"user": "alice"})
	if !super() {
		t.Error("the group makes no superusers")
	}
	if members, err := e.db.GroupMembers(t.Context(), "t_b", groups[0].ID, 10); err != nil || len(members) != 2 {
		t.Errorf("members %v, %v", members, err)
	}
	e.must(e.db.DeleteGroup(t.Context(), "t_b", groups[0].ID))
	e.want(200, "POST", path, map[string]any{"user": "ALICE"})
	if !super() {
		t.Error("no group was made")
	}
	for p, body := range map[string]any{path: map[string]any{"user": "root"}, // of the default tenant
		"tenants/tenants/00000000-0000-7000-8000-00000000dead/create_admin_group/": map[string]any{"user": "alice"}} {
		if a := e.send(tenantsKey, "POST", p, body); a.status != 404 {
			t.Errorf("%s: %d %s", p, a.status, a.body)
		}
	}
	e.refused("POST", path, map[string]any{}, "user", "required")
	for _, id := range []core.TenantID{core.DefaultTenant, "t_b"} {
		if events, err := e.db.RecentEvents(t.Context(), id, 100); err != nil || !strings.Contains(fmt.Sprint(events), "alice added to it") {
			t.Errorf("events of %s: %v, %v", id, events, err)
		}
	}
	e.want(200, "PATCH", "tenants/tenants/"+id+"/", map[string]any{"ready": false})
	e.refused("POST", path, map[string]any{"user": "alice"}, "non_field_errors", "not ready")
}

func TestTenantRecoveryKey(t *testing.T) {
	e := open(t)
	id := e.newTenant("t_b")
	tenant, err := e.db.Tenant(t.Context(), "t_b")
	e.must(err)
	path := "tenants/tenants/" + id + "/create_recovery_key/"
	body := map[string]any{"user": "akadmin", "duration_days": 3}
	link := func(scheme, host string) string {
		t.Helper()
		a := e.onHost(e.tenant, scheme, host, "POST", path, body)
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		out := a.object(t)
		if want := e.now.Add(72 * time.Hour).Format(time.RFC3339); len(out) != 2 || out["expiry"] != want {
			t.Errorf("answer %v, want expiry %s", out, want)
		}
		return fmt.Sprint(out["url"])
	}
	if got := link("http", "auth.test:9080"); !strings.HasPrefix(got, "http://auth.test:9080/recovery/use-token/") || !strings.HasSuffix(got, "72h0m0s/") {
		t.Errorf("without a domain: %s", got)
	}
	e.newDomain(id, "one.example", nil)
	e.newDomain(id, "two.example", nil)
	if got := link("https", "auth.test:9080"); !strings.HasPrefix(got, "https://two.example/recovery/use-token/") {
		t.Errorf("with domains: %s", got)
	}
	if a := e.onHost(tenant, "https", "one.example", "POST", path, body); a.status != 200 {
		t.Errorf("on the tenant's own host: %d %s", a.status, a.body)
	}
	for days, status := range map[int]int{0: 400, -1: 400, 3651: 400, 3650: 200, 1: 200} {
		if a := e.send(tenantsKey, "POST", path, map[string]any{"user": "akadmin", "duration_days": days}); a.status != status {
			t.Errorf("%d days: %d %s", days, a.status, a.body)
		}
	}
	e.refused("POST", path, map[string]any{"user": "akadmin"}, "duration_days", "required")
	if a := e.send(tenantsKey, "POST", path, map[string]any{"user": "root", "duration_days": 1}); a.status != 404 { // of the default tenant
		t.Errorf("a user of another tenant: %d %s", a.status, a.body)
	}
	e.must(e.db.CreateUser(t.Context(), "t_b", &core.User{UserName: "gone"}))
	e.refused("POST", path, map[string]any{"user": "gone", "duration_days": 1}, "user", "not active")
	for _, id := range []core.TenantID{core.DefaultTenant, "t_b"} {
		events, err := e.db.RecentEvents(t.Context(), id, 100)
		if err != nil || !strings.Contains(fmt.Sprint(events), "recovery key for akadmin") || strings.Contains(fmt.Sprint(events), "use-token") {
			t.Errorf("events of %s: %v, %v", id, events, err)
		}
	}
}

// the key of the tenants API opens it, on any host, and nothing else; nothing else
// opens it, and without a key it is not there.
func TestTenantsKey(t *testing.T) {
	e := open(t)
	e.newTenant("t_b")
	tenant, err := e.db.Tenant(t.Context(), "t_b")
	e.must(err)
	admin, err := e.db.UserByName(t.Context(), "t_b", "akadmin")
	e.must(err)
	own := core.RandomAlphanumeric(60)
	e.must(e.db.CreateToken(t.Context(), "t_b", &core.Token{Identifier: "own", Intent: core.IntentAPI, User: admin.ID}, core.Secret(own)))
	root, err := e.db.UserByPK(t.Context(), core.DefaultTenant, e.rootPK)
	e.must(err)
	e.logins.live = map[string]*core.Session{"the login": {ID: "s", User: root.ID}}

	ask := func(at *core.Tenant, change func(*http.Request)) answer {
		e.Helper()
		e.forgiveWrongKeys()
		r := e.at(at, e.request("GET", "tenants/tenants/", nil))
		change(r)
		return e.serve(r)
	}
	with := func(values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Authorization"] = values }
	}
	for _, at := range []*core.Tenant{e.tenant, tenant} {
		if a := ask(at, with("Bearer "+tenantsKey)); a.status != 200 || len(a.object(t)["results"].([]any)) != 2 {
			t.Errorf("the key on a host of %s: %d %s", at.ID, a.status, a.body)
		}
		for who, change := range map[string]func(*http.Request){
			"nobody":                        func(*http.Request) {},
			"a superuser":                   with("Bearer " + e.root),
			"a tenant's superuser":          with("Bearer " + own),
			"a superuser's login":           func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "login", Value: "the login"}) },
			"a part of the key":             with("Bearer " + tenantsKey[:len(tenantsKey)-1]),
			"more than the key":             with("Bearer " + tenantsKey + "x"),
			"nothing as the key":            with("Bearer "),
			"no scheme":                     with(tenantsKey),
			"another scheme":                with("Basic " + tenantsKey),
			"two headers":                   with("Bearer "+tenantsKey, "Bearer "+tenantsKey),
			"the key in another upper case": with("Bearer " + strings.ToUpper(tenantsKey)),
			"the key beside a login":        with("Bearer x"),
		} {
			if a := ask(at, change); a.status != 403 || len(a.object(t)) != 1 {
				t.Errorf("%s on a host of %s: %d %s", who, at.ID, a.status, a.body)
			}
		}
	}
	// The key opens nothing else, in no tenant.
	for _, path := range []string{"core/users/", "core/users/me/", "root/config/", "core/tokens/", "admin/version/", ""} {
		for _, at := range []*core.Tenant{e.tenant, tenant} {
			r := e.at(at, e.request("GET", path, nil))
			r.Header.Set("Authorization", "Bearer "+tenantsKey)
			if a := e.serve(r); a.status != 403 {
				t.Errorf("the key opens %s: %d %s", path, a.status, a.body)
			}
		}
	}
	// Switched off, its paths are like any that is not there.
	e.api.TenantsKey = ""
	absent := e.lenientSend("", "GET", "no/such/path/")
	for _, op := range e.api.Operations() {
		if !strings.HasPrefix(op.Pattern, "tenants/") {
			continue
		}
		for _, token := range []string{"", tenantsKey, e.root} {
			for _, method := range []string{op.Method, "OPTIONS", "TRACE"} {
				if a := e.lenientSend(token, method, strings.ReplaceAll(op.Pattern, "{}", e.tenant.UUID)); a.status != 404 || string(a.body) != string(absent.body) || a.header.Get("Allow") != "" {
					t.Errorf("%s %s while it is off: %d %s", method, op.Pattern, a.status, a.body)
				}
			}
		}
	}
}

// lenientSend asks for what the document does not promise.
func (e *env) lenientSend(token, method, path string) answer {
	e.Helper()
	e.lenient = true
	defer func() { e.lenient = false }()
	r := e.request(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	e.api.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.Bytes()}
}

// who tries keys has to wait, longer each time; others do not.
func TestWrongTenantsKeys(t *testing.T) {
	e := open(t)
	for i := range 10 {
		if a := e.send("wrong", "GET", "tenants/tenants/", nil); a.status != 403 || !strings.Contains(string(a.body), "Token invalid/expired") {
			t.Fatalf("try %d: %d %s", i, a.status, a.body)
		}
	}
	wait := regexp.MustCompile(`Try again in (\d+) seconds`)
	for i, want := range []string{"6", "11", "21"} {
		for range 3 { // refused ones do not count
			a := e.send("wrong", "GET", "tenants/tenants/", nil)
			if m := wait.FindStringSubmatch(string(a.body)); a.status != 403 || m == nil || m[1] != want {
				t.Fatalf("round %d: %d %s, want to wait %s seconds", i, a.status, a.body, want)
			}
		}
		// Who has the key is let in meanwhile: nobody at the same address keeps them out.
		e.want(200, "GET", "tenants/tenants/", nil)
		e.now = e.now.Add(time.Duration(10<<i) * time.Second / 2)
		if a := e.send("wrong", "GET", "tenants/tenants/", nil); !strings.Contains(string(a.body), "Token invalid/expired") {
			t.Fatalf("round %d, after the time: %s", i, a.body)
		}
	}
	r := e.request("GET", "tenants/tenants/", nil)
	r.Header.Set("Authorization", "Bearer wrong")
	info := *core.Request(r.Context())
	info.ClientIP = info.ClientIP.Next()
	if a := e.serve(r.WithContext(core.WithRequest(context.Background(), &info))); !strings.Contains(string(a.body), "Token invalid/expired") {
		t.Errorf("from another address: %d %s", a.status, a.body)
	}
	e.now = e.now.Add(5 * time.Minute)
	e.want(200, "GET", "tenants/tenants/", nil)
	n := 0
	for _, ev := range e.events.list {
		if ev.Action == core.EventSuspicious && strings.Contains(ev.Message, "wrong key") && !strings.Contains(fmt.Sprint(ev), "Bearer") {
			n++
		}
	}
	if n != 14 {
		t.Errorf("%d events of wrong keys, want 14", n)
	}
}

// A key that can be guessed is taken no more than a wrong one while its address has to wait.
func TestShortTenantsKey(t *testing.T) {
	e := open(t)
	e.api.TenantsKey = "fifteen bytes.."
	for range 10 {
		e.send("wrong", "GET", "tenants/tenants/", nil)
	}
	if a := e.send("fifteen bytes..", "GET", "tenants/tenants/", nil); a.status != 403 || !strings.Contains(string(a.body), "Try again in 6 seconds") {
		t.Errorf("%d %s", a.status, a.body)
	}
	e.now = e.now.Add(5 * time.Second)
	if a := e.send("fifteen bytes..", "GET", "tenants/tenants/", nil); a.status != 200 {
		t.Errorf("after waiting: %d %s", a.status, a.body)
	}
	e.api.TenantsKey += "." // the control
	for range 12 {
		e.send("wrong", "GET", "tenants/tenants/", nil)
	}
	if a := e.send("fifteen bytes...", "GET", "tenants/tenants/", nil); a.status != 200 {
		t.Errorf("control: %d %s", a.status, a.body)
	}
}

// The paths are in the document and on the pages for people, also where they are switched
// off: there it says how they are switched on.
func TestTenantsAreFound(t *testing.T) {
	e := open(t)
	e.api.TenantsKey = ""
	r := e.request("GET", "?search=tenant", nil)
	r.Header.Set("Accept", "text/html")
	page := string(e.serve(r).body)
	for _, id := range []string{"tenants_tenants_list", "tenants_tenants_create", "tenants_tenants_retrieve", "tenants_tenants_update", "tenants_tenants_partial_update",
		"tenants_tenants_destroy", "tenants_tenants_create_admin_group_create", "tenants_tenants_create_recovery_key_create", "tenants_domains_list",
		"tenants_domains_create", "tenants_domains_retrieve", "tenants_domains_update", "tenants_domains_partial_update", "tenants_domains_destroy"} {
		if !strings.Contains(page, "?operation="+id+`"`) {
			t.Errorf("a search for tenant does not find %s", id)
		}
	}
	r = e.request("GET", "?operation=tenants_tenants_create", nil)
	r.Header.Set("Accept", "text/html")
	if page := string(e.serve(r).body); !strings.Contains(page, "tenants { api_key &lt;key&gt; }") {
		t.Errorf("the page does not say how it is switched on: %s", page)
	}
}
