package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/postern-sso/postern/core"
)

// page asks for a page of the API as a browser does, with a login where there is
// one, and returns what a reader sees beside the source.
func (e *env) page(query, cookie string, header ...string) (text string, a answer) {
	e.Helper()
	r := e.request("GET", query, nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: "login", Value: cookie})
	}
	a = e.serve(r)
	if a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
		e.Fatalf("%s: %d %v %.300s", query, a.status, a.header, a.body)
	}
	doc, err := html.Parse(strings.NewReader(string(a.body)))
	e.must(err)
	var out strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && (n.Data == "script" || n.Data == "iframe" || n.Data == "style") {
			e.Errorf("%s has a <%s>", query, n.Data)
		}
		for _, attr := range n.Attr {
			if strings.HasPrefix(attr.Key, "on") || attr.Key == "style" {
				e.Errorf("%s has %s=%q", query, attr.Key, attr.Val)
			}
		}
		if n.Type == html.TextNode {
			out.WriteString(n.Data)
		}
	}
	return out.String(), a
}

func (e *env) logIn() {
	root, err := e.db.UserByName(e.Context(), e.tenant.ID, "root")
	e.must(err)
	plain, err := e.db.UserByName(e.Context(), e.tenant.ID, "plain")
	e.must(err)
	e.logins.live = map[string]*core.Session{"root": {ID: "s1", User: root.ID}, "plain": {ID: "s2", User: plain.ID}}
}

// TestBrowser: people find operations and read what they take and give, without
// script and without a login.
func TestBrowser(t *testing.T) {
	e := open(t)
	all, a := e.page("", "")
	for _, op := range e.api.Operations() {
		if !strings.Contains(all, "/"+op.Path) {
			t.Errorf("the index lacks %s", op.Path)
		}
	}
	policy := a.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") || a.header.Get("X-Frame-Options") != "DENY" || a.header.Get("Cache-Control") != "no-store" || !strings.Contains(a.header.Get("Vary"), "Accept") {
		t.Errorf("headers: %v", a.header)
	}
	if !strings.Contains(string(a.body), `href="/if/flow/default-authentication-flow/?next=%2Fapi%2Fv3%2F"`) {
		t.Error("no way to log in")
	}
	for search, want := range map[string]string{
		"group":                "/core/groups/{group_uuid}/add_user/", // a path
		"redirect_uris":        "/providers/oauth2/",                  // a field of a body
		"is_active":            "/core/users/",                        // a parameter
		"crypto":               "view_certificate",                    // a tag
		"Certificate GENERATE": "/crypto/certificatekeypairs/generate/",
	} {
		text, _ := e.page("?search="+url.QueryEscape(search), "")
		if !strings.Contains(text, want) || !strings.Contains(text, "operations match “"+search+"”") || strings.Contains(text, "/root/config/") {
			t.Errorf("search for %s: %s", search, text)
		}
	}
	if text, _ := e.page("?search=nothing-like-it", ""); !strings.Contains(text, "No operation matches “nothing-like-it”.") || !strings.Contains(text, "Search for one word") {
		t.Errorf("a search that finds nothing: %s", text)
	}
	if text, _ := e.page("?operation=nothing", ""); !strings.Contains(text, "There is no operation “nothing”") || !strings.Contains(text, "/core/groups/") {
		t.Errorf("an operation that is not there: %s", text)
	}
	for _, op := range e.api.Operations() {
		text, _ := e.page("?operation="+op.ID, "")
		for _, want := range []string{"/api/v3/" + op.Path, "curl ", "Answers", op.ID} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", op.ID, want)
			}
		}
	}
	text, _ := e.page("?operation=core_groups_create", "")
	for _, want := range []string{"Body: GroupRequest", "is_superuser", "boolean", "Required.", `"name": "example"`, "-X POST", "201", "PartialUser", "list of string (uuid)"} {
		if !strings.Contains(text, want) {
			t.Errorf("core_groups_create lacks %q: %s", want, text)
		}
	}
	// Programs get JSON, with the same search.
	if list := e.want(200, "GET", "?search=view_key", nil)["operations"].([]any); len(list) != 1 || list[0] != "GET /api/v3/core/tokens/{identifier}/view_key/" {
		t.Errorf("the index for programs: %v", list)
	}
	// O-07: what is asked for is shown as text.
	for _, query := range []string{"?search=", "?operation=", "?operation=core_users_list&send=true&username="} {
		_, a := e.page(query+url.QueryEscape(`"><script>alert(1)</script>`), "")
		if strings.Contains(string(a.body), "<script>") {
			t.Errorf("%s writes markup", query)
		}
	}
}

// TestTry: a reader sends a GET as themself, and sees the answer as text.
func TestTry(t *testing.T) {
	e := open(t)
	e.logIn()
	e.want(201, "POST", "core/groups/", map[string]any{"name": `<b onclick="x">bold</b>`})
	const list = "?operation=core_groups_list&send=true&"
	text, a := e.page(list+"name="+url.QueryEscape(`<b onclick="x">bold</b>`), "root", "Sec-Fetch-Site", "same-origin")
	if !strings.Contains(text, "200 OK") || !strings.Contains(text, `"count": 1`) || strings.Contains(string(a.body), "<b onclick") {
		t.Errorf("a list: %s", a.body)
	}
	if text, _ := e.page(list, "plain", "Sec-Fetch-Site", "same-origin"); !strings.Contains(text, "403 Forbidden") {
		t.Errorf("as a user: %s", text)
	}
	if text, _ := e.page(list, ""); !strings.Contains(text, "403 Forbidden") || !strings.Contains(text, "to send it as yourself") {
		t.Errorf("as nobody: %s", text)
	}
	if text, _ := e.page("?operation=core_users_retrieve&send=true&id="+itoa(e.plainPK)+"&include_groups=false", "root"); !strings.Contains(text, `"username": "plain"`) || !strings.Contains(text, `"groups_obj": null`) {
		t.Errorf("one object: %s", text)
	}
	for _, id := range []string{"", "1/view_key", "%00"} {
		if text, _ := e.page("?operation=core_users_retrieve&send=true&id="+id, "root"); !strings.Contains(text, "Fill in id") || strings.Contains(text, "Answer:") {
			t.Errorf("id %q: %s", id, text)
		}
	}
	// Dots lead nowhere: the segment stays one.
	if text, _ := e.page("?operation=core_tokens_retrieve&send=true&identifier=..%2Fusers", "root"); !strings.Contains(text, "Fill in identifier") {
		t.Errorf("dots: %s", text)
	}
	// What another site's link fills in is not sent; the same from our page is.
	const key = "?operation=core_tokens_view_key_retrieve&send=true&identifier=of-root"
	for site, sent := range map[string]bool{"cross-site": false, "same-site": false, "same-origin": true, "none": true} {
		text, _ := e.page(key, "root", "Sec-Fetch-Site", site)
		if strings.Contains(text, e.root) != sent || strings.Contains(text, "Another site filled in this form") == sent {
			t.Errorf("from %s: %s", site, text)
		}
	}
	// Nothing but a GET is sent, whatever the query says.
	before := len(e.events.list)
	if text, _ := e.page("?operation=core_groups_create&send=true&name=made", "root"); strings.Contains(text, "Answer:") || strings.Contains(text, "Try it") {
		t.Errorf("a POST was sent: %s", text)
	}
	if text, _ := e.page("?operation=core_users_destroy&send=true&id="+itoa(e.plainPK), "root"); strings.Contains(text, "Answer:") || len(e.events.list) != before {
		t.Errorf("a DELETE was sent: %s", text)
	}
}
