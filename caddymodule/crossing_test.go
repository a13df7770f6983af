package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/storagetest"
)

// document is what the server publishes of its API.
type document struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name string `json:"name"`
			In   string `json:"in"`
		} `json:"parameters"`
	} `json:"paths"`
}

func (s *side) document() document {
	s.w.t.Helper()
	var doc document
	p := s.call(s.token, "GET", "schema/?format=json", "")
	if err := json.Unmarshal([]byte(p.body), &doc); err != nil || len(doc.Paths) < 50 {
		s.w.t.Fatalf("%d paths, %v", len(doc.Paths), err)
	}
	return doc
}

// crossing tries every path of the API that names an object with the objects of one tenant.
type crossing struct {
	doc    document
	owner  *side
	canary string
	ids    map[string][]string // by the path of the list: what names objects of the owner
	object map[string]string   // by the same, and the ID: its JSON
	own    map[string]bool     // UUIDs that the owner alone has
	// assigned is the number of a permission that a role of the owner's has.
	assigned string
}

// listOf names the list whose objects a path is about, where that is not what stands before the parameter.
var listOf = map[string]string{
	"/rbac/permissions/assigned_by_roles/": "/rbac/roles/",
}

// assignments are listed nowhere by themselves: what assigns one tells its number.
const assignments = "/rbac/permissions/roles/"

// ofBoth are paths whose objects have the same names in each tenant: they show one's own.
var ofBoth = map[string]string{
	"/flows/instances/":  "the flows have the same slugs",
	"/rbac/permissions/": "permissions are the same everywhere",
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// fill makes an object of every kind, whose name holds the canary, and so many others that numbers of the owner's
// are nobody else's.
func (x *crossing) fill() {
	s, name := x.owner, x.canary
	pk := func(v map[string]any) any { return v["pk"] }
	group := s.api("POST", "core/groups/", mustJSON(map[string]any{"name": name, "attributes": map[string]any{"x": name}}), http.StatusCreated)
	var user map[string]any
	for i := range 12 {
		user = s.api("POST", "core/users/", mustJSON(map[string]any{"username": fmt.Sprint(name, i), "name": name, "groups": []any{pk(group)}}), http.StatusCreated)
	}
	for i := range 6 {
		s.client(fmt.Sprint(name, i))
	}
	var proxy map[string]any
	for i := range 6 {
		proxy = s.api("POST", "providers/proxy/", mustJSON(map[string]any{
			"name": fmt.Sprint(name, "-proxy", i), "mode": "forward_single", "external_host": fmt.Sprintf("http://%s%d.%s", name, i, s.host),
			"authorization_flow": s.first("flows/instances/?slug=default-provider-authorization-implicit-consent"),
			"invalidation_flow":  s.first("flows/instances/?slug=default-provider-invalidation-flow"),
		}), http.StatusCreated)
	}
	app := s.api("POST", "core/applications/", mustJSON(map[string]any{"name": name, "slug": name, "provider": pk(proxy)}), http.StatusCreated)
	role := s.api("POST", "rbac/roles/", mustJSON(map[string]any{"name": name}), http.StatusCreated)
	p := s.call(s.token, "POST", "rbac/permissions/assigned_by_roles/"+role["pk"].(string)+"/assign/", `{"permissions":["authentik_core.view_user","authentik_core.view_group"]}`)
	var assigned []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(p.body), &assigned); err != nil || len(assigned) == 0 {
		s.w.t.Fatalf("assign: %d %s", p.status, p.body)
	}
	x.assigned = assigned[len(assigned)-1].ID
	s.api("POST", "core/tokens/", mustJSON(map[string]any{"identifier": name, "intent": "api", "user": pk(user)}), http.StatusCreated)
	s.api("POST", "core/application_entitlements/", mustJSON(map[string]any{"name": name, "app": pk(app)}), http.StatusCreated)
	for _, kind := range []string{"scope", "saml", "scim"} {
		s.api("POST", "propertymappings/provider/"+kind+"/", mustJSON(map[string]any{"name": name, "expression": "return {}", "scope_name": name, "saml_name": name}), http.StatusCreated)
	}
	rule := s.api("POST", "policies/expression/", mustJSON(map[string]any{"name": name, "expression": "return True"}), http.StatusCreated)
	s.api("POST", "policies/bindings/", mustJSON(map[string]any{"target": pk(app), "policy": pk(rule), "order": 7}), http.StatusCreated)
	s.api("POST", "crypto/certificatekeypairs/generate/", mustJSON(map[string]any{"common_name": name, "validity_days": 30}), http.StatusOK)
	s.api("POST", "core/brands/", mustJSON(map[string]any{"domain": name + "." + s.host, "branding_title": name, "default_application": pk(app)}), http.StatusCreated)
	s.api("PATCH", "admin/settings/", mustJSON(map[string]any{"avatars": name}), http.StatusOK)
	s.login(s.w.browser(), "http://"+s.host+"/if/user/")
}

func (s *side) first(path string) any {
	s.w.t.Helper()
	return s.api("GET", path, "", http.StatusOK)["results"].([]any)[0].(map[string]any)["pk"]
}

// lists are the paths that list objects which others name.
func (x *crossing) lists() []string {
	found := map[string]bool{}
	for path := range x.doc.Paths {
		if before, _, ok := strings.Cut(path, "{"); ok && !strings.HasPrefix(path, "/tenants/") && before != assignments {
			if list, ok := listOf[before]; ok {
				before = list
			}
			found[before] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// learn finds, for each list, what names an object: the member with which it can be fetched.
func (x *crossing) learn(other *side) {
	t := x.owner.w.t
	t.Helper()
	x.ids, x.object, x.own = map[string][]string{assignments: {x.assigned}}, map[string]string{}, map[string]bool{}
	theirs := map[string]bool{}
	for _, list := range x.lists() {
		for _, s := range []*side{x.owner, other} {
			p := s.call(s.token, "GET", strings.TrimPrefix(list, "/")+"?page_size=500", "")
			for _, id := range uuidText.FindAllString(p.body, -1) {
				if s == other {
					theirs[id] = true
				} else {
					x.own[id] = true
				}
			}
		}
		all, _ := x.owner.api("GET", strings.TrimPrefix(list, "/")+"?page_size=500", "", http.StatusOK)["results"].([]any)
		slices.Reverse(all) // the newest have the highest numbers
		slices.SortStableFunc(all, func(a, b any) int {
			return boolOrder(strings.Contains(mustJSON(b), x.canary)) - boolOrder(strings.Contains(mustJSON(a), x.canary))
		})
		for i, one := range all {
			if i > 0 && !strings.Contains(mustJSON(one), x.canary) {
				break // the owner has some that are nobody else's by name
			}
			member := one.(map[string]any)
			for _, field := range []string{"slug", "identifier", "pk", "uuid", "id", "pbm_uuid", "brand_uuid"} {
				id := ""
				switch v := member[field].(type) {
				case string:
					id = v
				case float64:
					id = fmt.Sprintf("%.0f", v)
				}
				if id == "" || strings.Contains(id, "/") {
					continue
				}
				if p := x.owner.call(x.owner.token, "GET", strings.TrimPrefix(list, "/")+id+"/", ""); p.status == http.StatusOK {
					x.ids[list] = append(x.ids[list], id)
					x.object[list+id] = p.body
					break
				}
			}
			if n := len(x.ids[list]); n == 2 || n == 1 && !strings.Contains(x.object[list+x.ids[list][0]], x.canary) {
				break
			}
		}
		if len(x.ids[list]) == 0 {
			t.Errorf("%s has no object of the owner's to try with: let fill make one", list)
		}
	}
	maps.DeleteFunc(x.own, func(id string, _ bool) bool { return theirs[id] })
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

// try does every operation on the owner's objects at a tenant, and gives what was seen or done there: operation by
// operation, in the order of how much it takes away.
func (x *crossing) try(at *side) (leaks map[string]string) {
	leaks = map[string]string{}
	me := at.api("GET", "core/users/me/", "", http.StatusOK)["user"].(map[string]any)["pk"]
	for _, method := range []string{"get", "head", "post", "put", "patch", "delete"} {
		for _, path := range slices.Sorted(maps.Keys(x.doc.Paths)) {
			before, after, ok := strings.Cut(path, "{")
			_, after, _ = strings.Cut(after, "}")
			if !ok || strings.HasPrefix(path, "/tenants/") || ofBoth[before] != "" {
				continue
			}
			if _, ok := x.doc.Paths[path][method]; !ok && method != "head" {
				continue
			}
			list := before
			if other, ok := listOf[before]; ok {
				list = other
			}
			for _, id := range x.ids[list] {
				body := ""
				if method == "post" || method == "put" || method == "patch" {
					body = bodyOf(x.object[list+id], me)
				}
				if after == "/set_icon/" {
					body = "--form\r\nContent-Disposition: form-data; name=\"clear\"\r\n\r\ntrue\r\n--form--\r\n"
				}
				p := at.call(at.token, strings.ToUpper(method), strings.TrimPrefix(before, "/")+url.PathEscape(id)+after, body)
				seen := ""
				switch {
				case p.status != http.StatusNotFound && p.status != http.StatusMethodNotAllowed:
					seen = fmt.Sprintf("%s: status %d %.200s", id, p.status, p.body)
				case strings.Contains(p.body, x.canary):
					seen = fmt.Sprintf("%s: %.200s", id, p.body)
				}
				if seen != "" {
					leaks[strings.ToUpper(method)+" "+path] = seen
				}
			}
		}
	}
	return leaks
}

// bodyOf is the object itself with what the other verbs of its kind take.
func bodyOf(object string, user any) string {
	body := map[string]any{}
	if json.Unmarshal([]byte(object), &body) != nil {
		body = map[string]any{}
	}
	number := body["pk"]
	maps.Copy(body, map[string]any{"password": "a password that is long", "user": user, "permissions": []string{"authentik_core.view_user"}, "key": core.RandomAlphanumeric(60), "url": "https://x.test/icon.svg"})
	if _, isNumber := number.(float64); !isNumber {
		body["pk"] = user // add_user and remove_user
	}
	return mustJSON(body)
}

// snapshot is all that the owner has, but for what its own requests write.
func (x *crossing) snapshot() string {
	var out strings.Builder
	for _, list := range append(x.lists(), "/admin/settings/") {
		if list == "/events/events/" {
			continue
		}
		p := x.owner.call(x.owner.token, "GET", strings.TrimPrefix(list, "/")+"?page_size=500", "")
		text := p.body
		if list == "/core/authenticated_sessions/" {
			text = strings.Join(uuidText.FindAllString(text, -1), " ") // when they were last used changes
		}
		fmt.Fprintf(&out, "%s %d %s\n", list, p.status, regexp.MustCompile(`"last_(login|used|updated)":\s*"[^"]*"`).ReplaceAllString(text, ""))
	}
	return out.String()
}

// from the published description of the API: with every path that names an object, by every method, in every
// query and in every body that makes something, the administrator of one tenant neither sees nor changes an object
// of another. What is added to the API is tried by itself.
func TestNoPathCrossesTenants(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { noPathCrosses(t, "") })
	t.Run("postgres", func(t *testing.T) { noPathCrosses(t, storagetest.StartPostgres(t).Create(t)) })
}

func noPathCrosses(t *testing.T, database string) {
	w := newTwo(t, func(a *App) { a.settings.database = core.Secret(database) })
	x := &crossing{doc: w.b.document(), owner: w.a, canary: "canary" + strings.ToLower(core.RandomAlphanumeric(12))}
	x.fill()
	x.learn(w.b)
	before := x.snapshot()
	if !strings.Contains(before, x.canary) {
		t.Fatal("the snapshot has lost the canary")
	}

	for operation, seen := range x.try(w.b) {
		t.Errorf("%s: %s", operation, seen)
	}
	x.queries(t, w.b)
	if now := x.snapshot(); now != before {
		t.Errorf("a's objects are others than before:\n%s\nand before:\n%s", now, before)
	}
	x.bodies(t, w.b)
	if now := x.snapshot(); now != before {
		t.Error("a's objects are others after b made some that name them")
	}

	// Control: the same by the owner's administrator shows every path, and changes what there is.
	leaks := x.try(w.a)
	for path := range x.doc.Paths {
		before, _, ok := strings.Cut(path, "{")
		if !ok || strings.HasPrefix(path, "/tenants/") || ofBoth[before] != "" {
			continue
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(leaks)), func(op string) bool { return strings.HasSuffix(op, " "+path) }) {
			t.Errorf("control: %s shows its owner nothing: the IDs that were tried are none", path)
		}
	}
	if x.snapshot() == before {
		t.Error("control: the owner's administrator has changed nothing")
	}
}

// queries asks each list for what refers to the owner's objects.
func (x *crossing) queries(t *testing.T, at *side) {
	t.Helper()
	values := []string{x.canary}
	for _, list := range []string{"/core/users/", "/core/groups/", "/core/applications/", "/providers/all/", "/rbac/roles/", "/policies/all/"} {
		values = append(values, x.ids[list][0])
	}
	asked := 0
	for path, methods := range x.doc.Paths {
		if strings.Contains(path, "{") || strings.HasPrefix(path, "/tenants/") {
			continue
		}
		for method, op := range methods {
			if method != "get" && method != "delete" {
				continue
			}
			for _, p := range op.Parameters {
				if p.In != "query" {
					continue
				}
				for _, v := range values {
					got := at.call(at.token, strings.ToUpper(method), strings.TrimPrefix(path, "/")+"?"+url.Values{p.Name: {v}}.Encode(), "")
					asked++
					for id := range x.own {
						if got.status < 400 && strings.Contains(got.body, id) {
							t.Errorf("%s %s?%s=%s shows %s", method, path, p.Name, v, id)
						}
					}
					if got.status >= 500 || got.status < 400 && strings.Contains(got.body, x.canary) {
						t.Errorf("%s %s?%s=%s: %d %.300s", method, path, p.Name, v, got.status, got.body)
					}
				}
			}
		}
	}
	if asked < 500 {
		t.Errorf("only %d queries were asked", asked)
	}
}

// bodies makes objects that refer to the owner's.
func (x *crossing) bodies(t *testing.T, at *side) {
	t.Helper()
	for _, list := range x.lists() {
		if _, ok := x.doc.Paths[list]["post"]; !ok {
			continue
		}
		for _, id := range x.ids[list] {
			p := at.call(at.token, "POST", strings.TrimPrefix(list, "/"), x.object[list+id])
			if p.status >= 500 {
				t.Errorf("POST %s: %d %.300s", list, p.status, p.body)
			}
			for foreign := range x.own {
				if p.status < 400 && strings.Contains(p.body, foreign) {
					t.Errorf("POST %s takes %s, which is the other tenant's: %.300s", list, foreign, p.body)
				}
			}
		}
	}
}

// the tenants API is the key's alone, on every host; the administrator of a tenant, the default one too, is
// refused by each of its paths. The key opens nothing else. Where it is off nothing is there.
func TestTenantsAPIIsTheOperators(t *testing.T) {
	for _, c := range []struct {
		name  string
		s     settings
		wrong []int // what others than the key are answered
	}{
		{"on", settings{tenants: true, tenantsKey: longSecret}, []int{http.StatusForbidden}},
		{"on for nobody", settings{tenants: true}, []int{http.StatusForbidden}},
		{"off", settings{}, []int{http.StatusNotFound}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTwo(t, func(a *App) { a.settings.tenants, a.settings.tenantsKey = c.s.tenants, c.s.tenantsKey })
			other := &side{w: w, host: "auth.test"}
			id, err := w.app.core.tenantByID(t.Context(), "t_b")
			if err != nil {
				t.Fatal(err)
			}
			tried := 0
			for path, methods := range w.a.document().Paths {
				if !strings.HasPrefix(path, "/tenants/") {
					continue
				}
				at := strings.NewReplacer("{tenant_uuid}", id.UUID, "{id}", "1").Replace(strings.TrimPrefix(path, "/"))
				for method := range methods {
					for _, key := range []string{w.a.token, w.b.token, longSecret + "x"} {
						if key != w.a.token && c.s.tenantsKey != "" && tried > 20 {
							continue // wrong keys make their address wait
						}
						tried++
						p := w.a.call(key, strings.ToUpper(method), at, `{"name":"x","schema_name":"t_x","user":"akadmin","duration_days":1,"domain":"x.test"}`)
						if !slices.Contains(c.wrong, p.status) {
							t.Errorf("%s %s: %d %.200s", method, at, p.status, p.body)
						}
					}
				}
			}
			if tried < 15 && c.s.tenants {
				t.Errorf("only %d were tried", tried)
			}
			if c.s.tenantsKey == "" {
				return
			}
			// The test's own address has to wait by now; another one has not.
			w.from = "198.51.100.9:1"
			for _, s := range []*side{w.a, other} {
				if p := s.call(longSecret, "GET", "tenants/tenants/", ""); p.status != http.StatusOK || !strings.Contains(p.body, "t_b") {
					t.Errorf("control: the key at %s: %d %s", s.host, p.status, p.body)
				}
				for _, path := range []string{"core/users/", "core/users/me/", "crypto/certificatekeypairs/"} {
					if p := s.call(longSecret, "GET", path, ""); p.status != http.StatusForbidden {
						t.Errorf("the key opens %s at %s: %d", path, s.host, p.status)
					}
				}
			}
		})
	}
}
