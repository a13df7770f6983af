package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/storage/sqldb"
)

// garbage are values that no object has, whatever a filter is about.
func garbage() []string {
	return []string{
		"no-such-thing", "' OR 1=1 --", "%", "_", "*", `")) OR 1=1 --`, "-1", "99999999999999999999", "1e3", "tru", "null", "[]", "{", `{"no":"such"}`,
		"00000000-0000-7000-8000-00000000dead", "0", "a\x00b", "\xff", strings.Repeat("z", 5000), "1970-13-45T00:00:00Z", "2999-01-01T00:00:00Z", "ß", "\u202e",
	}
}

// lists are the operations of the document that answer with a page, and the filters
// of each: what is not about the page or about what a row shows.
func lists(t testing.TB) map[string][]*openapi3.Parameter {
	t.Helper()
	c, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]*openapi3.Parameter{}
	for path, item := range c.Document.Paths.Map() {
		if item.Get == nil || !strings.HasSuffix(item.Get.OperationID, "_list") || item.Get.Parameters.GetByInAndName("query", "page") == nil {
			continue
		}
		for _, p := range item.Get.Parameters {
			switch name := p.Value.Name; {
			case p.Value.In != "query", slices.Contains([]string{"page", "page_size", "ordering", "superuser_full_list"}, name), strings.HasPrefix(name, "include_"):
			default:
				out[path] = append(out[path], p.Value)
			}
		}
	}
	return out
}

// rows are the objects of a list by their JSON, nil where it was refused.
func (e *env) rows(path string, query url.Values) (map[string]bool, error) {
	e.Helper()
	query.Set("page_size", "500")
	a := e.send(e.opens(strings.TrimPrefix(path, "/")), "GET", strings.TrimPrefix(path, "/")+"?"+query.Encode(), nil)
	if a.status == 400 || a.status == 404 { // 404: it names an object that is not there
		return nil, nil
	}
	if a.status != 200 {
		return nil, fmt.Errorf("%s?%.200s: %d %.200s", path, query.Encode(), a.status, a.body)
	}
	var list struct {
		Pagination struct{ Count int }
		Results    []json.RawMessage
	}
	e.must(json.Unmarshal(a.body, &list))
	if list.Pagination.Count != len(list.Results) {
		return nil, fmt.Errorf("%s?%.200s: counts %d, has %d", path, query.Encode(), list.Pagination.Count, len(list.Results))
	}
	out := map[string]bool{}
	for _, row := range list.Results {
		out[string(row)] = true
	}
	return out, nil
}

func within(narrow, wide map[string]bool) bool {
	for row := range narrow {
		if !wide[row] {
			return false
		}
	}
	return true
}

// widened tells where a filter, a combination of filters or a malformed value
// answers with more than it names.
func widened(e *env, rounds int, random *rand.Rand) []string {
	var out []string
	note := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	ask := func(path string, query url.Values) map[string]bool {
		rows, err := e.rows(path, query)
		if err != nil {
			note("%v", err)
		}
		return rows
	}
	for path, filters := range lists(e.TB) {
		all := ask(path, url.Values{})
		known := map[string][]string{} // values that rows have
		for row := range all {
			var o map[string]any
			e.must(json.Unmarshal([]byte(row), &o))
			for name, value := range o {
				known[name] = append(known[name], fmt.Sprint(value))
			}
		}
		for _, p := range filters {
			for _, value := range garbage()[:2] {
				narrow := ask(path, url.Values{p.Name: {value}})
				if len(narrow) > 0 {
					note("%s?%s=%s: %d of %d rows", path, p.Name, value, len(narrow), len(all))
				}
			}
		}
		pick := func() (string, string) {
			p := filters[random.IntN(len(filters))]
			values := append(garbage(), "true", "false", "1")
			if mine := known[strings.TrimSuffix(p.Name, "__iexact")]; len(mine) > 0 && random.IntN(3) > 0 {
				values = mine
			}
			return p.Name, values[random.IntN(len(values))]
		}
		for range rounds {
			n1, v1 := pick()
			n2, v2 := pick()
			one, both := ask(path, url.Values{n1: {v1}}), url.Values{n1: {v1}}
			both.Add(n2, v2)
			two := ask(path, both)
			if one != nil && !within(one, all) || two != nil && !within(two, all) {
				note("%s: %.200s is wider than the list", path, both.Encode())
			}
			if n1 != n2 && two != nil && (one == nil || !within(two, one)) {
				note("%s: %.200s is wider than its first filter alone", path, both.Encode())
			}
		}
	}
	return out
}

// filters narrow, alone and together, with any value; those of all lists of
// the document, so that a new one is tried too.
func TestFiltersNeverWiden(t *testing.T) {
	e := open(t)
	e.lenient = true // malformed on purpose; what is taken counts as a filter
	e.populate()
	if n := len(lists(t)); n < 10 {
		t.Fatalf("the document has %d lists only", n)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, m := range widened(e, 25, rand.New(rand.NewPCG(seed, 1))) {
		t.Error(m)
	}
	// Control: a store that ignores what it is asked for is found.
	e.api.Store = wide{e.db}
	if widened(e, 1, rand.New(rand.NewPCG(seed, 2))) == nil {
		t.Error("a list that ignores its filters was not found")
	}
}

// wide ignores what groups are narrowed by.
type wide struct{ *sqldb.DB }

func (w wide) ListGroups(ctx context.Context, t core.TenantID, q api.Query) ([]core.Group, int, error) {
	q.Where, q.Search = nil, ""
	return w.DB.ListGroups(ctx, t, q)
}

// populate makes a few objects of each kind.
func (e *env) populate() {
	e.Helper()
	flows := e.flows()
	for _, name := range []string{"staff", "guests", "100%"} {
		e.want(201, "POST", "core/groups/", map[string]any{"name": name, "attributes": map[string]any{"n": 5}, "users": []any{e.plainPK}})
	}
	e.want(201, "POST", "core/users/", map[string]any{"username": "ann", "name": "Ann Lee", "email": "ann@example.com", "path": "users/eu", "type": "external", "attributes": map[string]any{"n": 5}})
	p := e.want(201, "POST", "providers/oauth2/", flows.with(map[string]any{"name": "spa", "client_id": "spa", "client_type": "public", "redirect_uris": []any{}}))
	e.want(201, "POST", "providers/proxy/", flows.with(map[string]any{"name": "guard", "external_host": "https://g.test", "mode": "forward_single"}))
	e.want(201, "POST", "core/applications/", map[string]any{"name": "Spa", "slug": "spa", "provider": p["pk"], "group": "Tools"})
	e.want(201, "POST", "core/applications/", map[string]any{"name": "Link", "slug": "link", "meta_launch_url": "https://link.test"})
	e.want(201, "POST", "core/tokens/", map[string]any{"identifier": "pw", "intent": "app_password", "description": "d", "expiring": false})
	e.want(201, "POST", "propertymappings/provider/saml/", map[string]any{"name": "m", "saml_name": "s", "expression": "return 1"})
}
