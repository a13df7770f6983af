package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage/sqldb"
)

// TestHTTP: what holds for every path.
func TestHTTP(t *testing.T) {
	e := open(t)
	for _, v := range []struct {
		name, method, path, contentType, body string
		status                                int
		answer                                string
	}{
		{"no slash at the end", "GET", "core/users/me", "", "", 200, `"username":"root"`},
		{"two slashes at the end", "GET", "core/users/me//", "", "", 404, `{"detail":"Not found."}`},
		{"unknown path", "GET", "core/nothing/", "", "", 404, `{"detail":"Not found."}`},
		{"the pattern itself", "GET", "core/users/%7B%7D/", "", "", 404, `{"detail":"Not found."}`},
		{"dots", "GET", "core/users/../users/me/", "", "", 404, "Not found."},
		{"a number that is none", "GET", "core/users/abc/", "", "", 404, `{"detail":"No User matches the given query."}`},
		{"a number too large", "GET", "core/users/99999999999999999999/", "", "", 404, "No User matches"},
		{"a UUID that is none", "GET", "core/groups/abc/", "", "", 404, "No Group matches"},
		{"a PK of another kind", "GET", "providers/proxy/1/", "", "", 404, "No ProxyProvider matches"},
		{"absent provider", "DELETE", "providers/oauth2/77/", "", "", 404, "No OAuth2Provider matches"},
		{"absent mapping", "PATCH", "propertymappings/provider/scope/00000000-0000-7000-8000-000000000000/", "application/json", "{}", 404, "No ScopeMapping matches"},
		{"absent application", "PUT", "core/applications/none/", "application/json", "{}", 404, "No Application matches"},
		{"absent key pair", "GET", "crypto/certificatekeypairs/00000000-0000-7000-8000-000000000000/view_private_key/", "", "", 404, "No CertificateKeyPair matches"},
		{"absent flow", "GET", "flows/instances/none/", "", "", 404, "No Flow matches"},
		{"absent token", "GET", "core/tokens/none/view_key/", "", "", 404, "No Token matches"},
		{"flows are fixed", "POST", "flows/instances/", "application/json", "{}", 405, `{"detail":"Method \"POST\" not allowed."}`},
		{"flows are fixed", "DELETE", "flows/instances/initial-setup/", "", "", 405, "not allowed"},
		{"a method that nobody knows", "BREW", "core/users/", "", "", 405, "not allowed"},
		{"text", "POST", "core/groups/", "text/plain", `{"name":"x"}`, 415, `Unsupported media type`},
		{"a form", "POST", "core/groups/", "application/x-www-form-urlencoded", "name=x", 415, "Unsupported"},
		{"no type", "POST", "core/groups/", "", `{"name":"x"}`, 415, "Unsupported"},
		{"JSON with a character set", "POST", "core/groups/", "application/json; charset=utf-8", `{"name":"x"}`, 201, `"name":"x"`},
		{"nothing", "POST", "core/groups/", "application/json", "", 400, `{"name":["This field is required."]}`},
		{"half an object", "POST", "core/groups/", "application/json", `{"name":`, 400, "JSON parse error"},
		{"two objects", "POST", "core/groups/", "application/json", `{"name":"a"}{"name":"b"}`, 400, "JSON parse error"},
		{"a list", "POST", "core/groups/", "application/json", `[1]`, 400, "Invalid data. Expected a dictionary"},
		{"null", "POST", "core/groups/", "application/json", `null`, 400, "This field is required."},
		{"not UTF-8", "POST", "core/groups/", "application/json", "{\"name\":\"\xff\"}", 400, "UTF-8"},
		{"too large", "POST", "core/groups/", "application/json", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "1 MiB"},
		{"deep", "POST", "core/groups/", "application/json", `{"name":"d","attributes":` + strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60) + "}", 400, "levels"},
		{"very deep", "POST", "core/groups/", "application/json", `{"x":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + "}", 400, "JSON parse error"},
	} {
		r := e.at(e.tenant, httptest.NewRequest(v.method, origin+"/api/v3/"+v.path, strings.NewReader(v.body)))
		if v.contentType != "" {
			r.Header.Set("Content-Type", v.contentType)
		}
		r.Header.Set("Authorization", "Bearer "+e.root)
		a := e.serve(r)
		if a.status != v.status || !strings.Contains(string(a.body), v.answer) {
			t.Errorf("%s: %s %s: %d %.200s, want %d %s", v.name, v.method, v.path, a.status, a.body, v.status, v.answer)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", v.name, a.header)
		}
	}
	if a := e.send(e.root, "DELETE", "core/users/", nil); a.status != 405 || a.header.Get("Allow") != "GET, HEAD, OPTIONS, POST" {
		t.Errorf("405: %d %v", a.status, a.header)
	}
	if a := e.send("", "OPTIONS", "core/users/me/", nil); a.status != 204 || a.header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("OPTIONS: %d %v", a.status, a.header)
	}
	get, head := e.send(e.root, "GET", "core/users/me/", nil), e.send(e.root, "HEAD", "core/users/me/", nil)
	if head.status != 200 || len(head.body) != 0 || head.header.Get("Content-Length") != itoa(int64(len(get.body))) {
		t.Errorf("HEAD: %d %q %v", head.status, head.body, head.header)
	}
	if a := e.send("", "HEAD", "core/users/", nil); a.status != 403 {
		t.Errorf("HEAD without a login: %d", a.status)
	}
	if a := e.send("", "GET", "", nil); a.status != 200 || !strings.Contains(string(a.body), "GET /api/v3/core/users/{id}/") {
		t.Errorf("the index: %d %.100s", a.status, a.body)
	}
}

// TestMissingReference: what an object refers to vanishes between the check and the
// save. That is the field's fault, and no 404, which would say that the object is gone.
func TestMissingReference(t *testing.T) {
	e := open(t)
	group := e.want(201, "POST", "core/groups/", map[string]any{"name": "g"})
	e.api.Store = vanishing{e.db}
	e.refused("PATCH", "core/users/"+itoa(e.plainPK)+"/", map[string]any{"groups": []any{group["pk"]}}, "groups", "object does not exist")
}

// vanishing loses each group just after it was looked up.
type vanishing struct{ *sqldb.DB }

func (v vanishing) UpdateUser(ctx context.Context, t core.TenantID, pk int64, change func(*core.User) error) (*core.User, error) {
	groups, _, err := v.ListGroups(ctx, t, api.Query{Where: map[string][]string{"name": {"g"}}})
	if err != nil {
		return nil, err
	}
	for i := range groups {
		if err := v.DeleteGroup(ctx, t, groups[i].ID); err != nil {
			return nil, err
		}
	}
	return v.DB.UpdateUser(ctx, t, pk, change)
}

// TestPatchesTogether: two who change different fields at once both succeed.
// Whoever saved the object as it was checked would undo the other's change.
func TestPatchesTogether(t *testing.T) {
	e := open(t)
	e.api.Store = racing{e.db}
	is := e.want(200, "PATCH", "core/users/"+itoa(e.plainPK)+"/", map[string]any{"email": "mine@example.com"})
	if is["email"] != "mine@example.com" || is["name"] != "set by somebody else" {
		t.Errorf("name %v, email %v", is["name"], is["email"])
	}
}

// racing lets somebody else in just before each change of a user.
type racing struct{ *sqldb.DB }

func (s racing) UpdateUser(ctx context.Context, t core.TenantID, pk int64, change func(*core.User) error) (*core.User, error) {
	if _, err := s.DB.UpdateUser(ctx, t, pk, func(u *core.User) error { u.DisplayName = "set by somebody else"; return nil }); err != nil {
		return nil, err
	}
	return s.DB.UpdateUser(ctx, t, pk, change)
}

// TestInternalErrors: a cause is logged under the request's ID, and not shown.
func TestInternalErrors(t *testing.T) {
	e := open(t)
	e.closed = true
	e.must(e.db.Close())
	a := e.send(e.root, "GET", "core/users/", nil)
	if a.status != 500 || !strings.Contains(string(a.body), `"request_id":"req-1"`) || strings.Contains(string(a.body), "sql") || strings.Contains(string(a.body), "closed") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if log := e.log.String(); !strings.Contains(log, "request_id=req-1") || !strings.Contains(log, "closed") {
		t.Errorf("the log: %s", log)
	}
	r := httptest.NewRequest("GET", "/api/v3/core/users/", nil)
	if a := e.serve(r); a.status != 500 {
		t.Errorf("a request without a tenant: %d", a.status)
	}
}

// no malformed request to any route of the table is an error of the server.
func TestMalformedRequests(t *testing.T) {
	e := open(t)
	e.lenient = true
	values := []string{"", "%", "%zz", "%00", "%ff%fe", "-1", "99999999999999999999", "1e9", "[]", "%7B", "2026-13-45T99:99:99Z", "%E2%80%AE", strings.Repeat("9", 3000)}
	bodies := []string{"", "{", "[]", "null", `"x"`, "\xff", `{"name":{"a":[]},"pk":[],"users":"x","expires":{},"attributes":[],"permissions":1,"user_pks":"x"}`, `{"name":"\u0000"}`, strings.Repeat("[", 5000)}
	n := 0
	for _, op := range e.api.Operations() {
		for i, value := range values {
			query := "&&=;" + value + "&" + value + "=1"
			for _, name := range append(op.Parameters, "format") {
				query += "&" + name + "=" + value + "&" + name + "[]=" + value
			}
			for _, key := range []string{"1", "%00", "%ff", "2147483648", "0190c1de-0000-7000-8000-00000000000a", strings.Repeat("a", 300)} {
				r := e.request(op.Method, "", nil)
				r.URL.Path = api.Prefix + strings.ReplaceAll(op.Pattern, "{}", decoded(key))
				r.URL.RawQuery = query
				if op.Method != http.MethodGet && op.Method != http.MethodDelete {
					r.Body = io.NopCloser(strings.NewReader(bodies[i%len(bodies)]))
					r.Header.Set("Content-Type", "application/json")
				}
				r.Header.Set("Authorization", "Bearer "+e.root)
				n++
				w := httptest.NewRecorder()
				if e.api.ServeHTTP(w, r); w.Code >= 500 {
					t.Errorf("%s %s?%.60s: %d %s", op.Method, r.URL.Path, query, w.Code, w.Body)
				}
				if !strings.Contains(op.Pattern, "{}") {
					break
				}
			}
		}
	}
	if n < 2000 {
		t.Errorf("control: %d requests", n)
	}
	// Control: an error of the server is seen.
	e.closed = true
	e.must(e.db.Close())
	if a := e.send(e.root, "GET", "core/users/", nil); a.status < 500 {
		t.Errorf("control: a store that is closed: %d", a.status)
	}
}

func decoded(s string) string {
	if out, err := url.PathUnescape(s); err == nil {
		return out
	}
	return s
}

// whatever is sent, nothing breaks.
func FuzzBody(f *testing.F) {
	for _, s := range []string{`{}`, `{"name":1}`, `{"redirect_uris":[{"matching_mode":"regex","url":"("}]}`, `{"attributes":{"a":[1,{"b":null}]}}`, `{"users":["x"]}`, `{"expires":"2026-01-01T00:00:00Z"}`} {
		f.Add("core/users/", s)
		f.Add("providers/oauth2/", s)
		f.Add("core/tokens/", s)
	}
	opened := open(f)
	f.Fuzz(func(t *testing.T, path, body string) {
		e := *opened
		e.TB = t
		if strings.ContainsAny(path, " ?#%\x7f") || strings.ContainsFunc(path, func(c rune) bool { return c < ' ' }) {
			return
		}
		for _, method := range []string{"GET", "POST", "PUT", "PATCH"} {
			if a := e.send(e.root, method, path, body); a.status >= 500 {
				t.Fatalf("%s %s %s: %d %s %s", method, path, body, a.status, a.body, e.log)
			}
		}
	})
}
