package login_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

var (
	tags = regexp.MustCompile(`<(\w+)((?:\s+[\w-]+(?:="[^"]*")?)*)\s*>`)
	attr = regexp.MustCompile(`([\w-]+)(?:="([^"]*)")?`)
)

// element is a start tag.
type element struct {
	name  string
	attrs map[string]string
}

func elements(body string) (out []element) {
	for _, m := range tags.FindAllStringSubmatch(body, -1) {
		e := element{m[1], map[string]string{}}
		for _, a := range attr.FindAllStringSubmatch(m[2], -1) {
			e.attrs[a[1]] = a[2]
		}
		out = append(out, e)
	}
	return out
}

// problems are what a screen reader, a keyboard or a password manager would
// stumble over.
func problems(body string) (out []string) {
	ids, labels := map[string]bool{}, map[string]bool{}
	headings, passwords := 0, 0
	all := elements(body)
	for _, e := range all {
		if id, ok := e.attrs["id"]; ok {
			if ids[id] {
				out = append(out, "two elements have the id "+id)
			}
			ids[id] = true
		}
		if e.name == "label" {
			labels[e.attrs["for"]] = true
		}
	}
	for _, e := range all {
		switch e.name {
		case "html":
			if e.attrs["lang"] == "" {
				out = append(out, "no language")
			}
		case "h1":
			headings++
		case "img":
			if _, ok := e.attrs["alt"]; !ok {
				out = append(out, "an img without alt")
			}
		case "input":
			kind := e.attrs["type"]
			if kind == "hidden" || e.attrs["aria-hidden"] == "true" {
				continue
			}
			if !labels[e.attrs["id"]] {
				out = append(out, "input "+e.attrs["name"]+" has no label")
			}
			if e.attrs["autocomplete"] == "" {
				out = append(out, "input "+e.attrs["name"]+" has no autocomplete")
			}
			if kind == "password" {
				passwords++
			}
		case "form":
			if e.attrs["method"] == "" {
				out = append(out, "a form without a method")
			}
		}
		for _, ref := range strings.Fields(e.attrs["aria-describedby"] + " " + e.attrs["aria-labelledby"]) {
			if !ids[ref] {
				out = append(out, "nothing has the id "+ref)
			}
		}
		if n := e.attrs["tabindex"]; n != "" && n != "-1" {
			out = append(out, "an order of its own for the keyboard")
		}
	}
	if headings != 1 {
		out = append(out, "not one h1")
	}
	if passwords > 1 {
		out = append(out, "more than one password field")
	}
	if !ids["main"] {
		out = append(out, "no main landmark")
	}
	return out
}

func TestPagesAreAccessible(t *testing.T) {
	h := newHouse(t)
	u := h.user(tenantA, "alice", "correct horse")
	h.join(u, core.Group{Name: "admins", Superuser: true})
	for _, name := range strings.Fields("a b c d e f g h") {
		h.apps[tenantA] = append(h.apps[tenantA], app(name, "https://app.test/", func(a *core.Application) { a.Icon, a.OpenInNewTab = "/i.png", true }))
	}
	b := h.browser("a.test")
	pages := map[string]answer{"login": b.get(loginPath), "setup": b.get(h.setup()), "missing": b.get("/if/x"), "recovery": b.get(h.recovery(u, 1<<40))}
	pages["wrong"] = b.login("alice", "wrong")
	pages["bad setup"] = b.submit(h.setup(), "password", "x")
	b.mustLogin("alice", "correct horse")
	pages["portal"] = b.get("/if/user/")
	pages["admin"] = b.get("/if/admin/")
	pages["logout"] = b.get("/if/flow/default-invalidation-flow/")
	h.need(consent("r", core.ConsentScope{Name: "email", Description: "See your address"}))
	pages["consent"] = b.get(b.get("/need").Header.Get("Location"))
	h.logoutNeed(core.LogoutNeed{Request: "r", EndLogin: true, Application: "x"})
	pages["leave"] = b.get(b.get("/need").Header.Get("Location"))
	h.logoutNeed(core.LogoutNeed{Request: "r", Confirmed: true, Application: "x"})
	pages["left"] = b.get("/need")
	for name, page := range pages {
		for _, p := range problems(page.body) {
			t.Errorf("%s: %s", name, p)
		}
	}
	if !strings.Contains(pages["portal"].body, `type="search"`) {
		t.Error("eight applications and no search")
	}
	login := pages["login"].body
	for _, part := range []string{`autocomplete="username"`, `autocomplete="current-password"`} {
		if !strings.Contains(login, part) {
			t.Errorf("the form lacks %s", part)
		}
	}
	if !strings.Contains(pages["setup"].body, `autocomplete="new-password"`) {
		t.Error("no new-password")
	}
	// The control.
	if got := problems(`<html><h1><h1><img><input name="x" type="password" tabindex="1" aria-describedby="y"><form>`); len(got) != 9 {
		t.Errorf("control: %q", got)
	}
}

func TestBrandAndTenant(t *testing.T) {
	h := newHouse(t)
	if page := h.browser("b.test").get(loginPath); !strings.Contains(page.body, "<title>Log in · Branch</title>") {
		t.Error(page.body)
	}
	if page := h.browser("a.test").get(loginPath); !strings.Contains(page.body, "<title>Log in · Postern</title>") {
		t.Error(page.body)
	}
}

func TestRefuse(t *testing.T) {
	h := newHouse(t)
	h.require = func(w http.ResponseWriter, r *http.Request) {
		h.Refuse(w, r, http.StatusBadRequest, "Not so", "Do it otherwise.")
	}
	b := h.browser("a.test")
	for accept, isJSON := range map[string]bool{
		"": false, "*/*": false, "text/html,application/xhtml+xml,*/*;q=0.8": false, "application/json": true,
		"application/json, text/html;q=0.5": true, "text/html, application/json": false, "application/problem+json": true,
	} {
		b.header.Set("Accept", accept)
		res := b.get("/need")
		want(t, res, http.StatusBadRequest)
		var problem struct {
			Title, Detail string
			Status        int
			RequestID     string `json:"request_id"`
		}
		err := json.Unmarshal([]byte(res.body), &problem)
		if (err == nil) != isJSON {
			t.Errorf("Accept %q: %s", accept, res.body)
		}
		if isJSON && (problem.Title != "Not so" || problem.Detail != "Do it otherwise." || problem.Status != 400 || problem.RequestID != "req-1" || res.Header.Get("Content-Type") != "application/problem+json") {
			t.Errorf("%+v", problem)
		}
		if !isJSON && (!strings.Contains(res.body, "<h1>Not so</h1>") || !strings.Contains(res.body, "req-1")) {
			t.Error(res.body)
		}
	}
}

func TestStatic(t *testing.T) {
	h := newHouse(t)
	b := h.browser("a.test")
	page := b.get(loginPath)
	files := regexp.MustCompile(`"(/-/static/[^"]+)"`).FindAllStringSubmatch(page.body, -1)
	if len(files) < 3 {
		t.Fatalf("%q", files)
	}
	for _, f := range files {
		res := b.get(f[1])
		want(t, res, http.StatusOK)
		if res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || res.Header.Get("X-Content-Type-Options") != "nosniff" || len(res.body) == 0 {
			t.Errorf("%s: %v", f[1], res.Header)
		}
	}
	// The page of another version asks under another name.
	other := b.get("/-/static/postern.0123456789ab.css")
	if other.StatusCode != http.StatusOK || other.Header.Get("Cache-Control") != "no-cache" || other.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("%d %v", other.StatusCode, other.Header)
	}
	b.header.Set("Accept-Encoding", "gzip, br")
	small := b.get(files[1][1])
	if small.Header.Get("Content-Encoding") != "gzip" || !strings.HasPrefix(small.body, "\x1f\x8b") || small.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%v", small.Header)
	}
	for _, path := range []string{"/-/static/", "/-/static/nope.css", "/-/static/../store.go", "/-/static/%2e%2e/store.go", "/-/static/a/b.css", "/-/static/.css", "/-/static/."} {
		want(t, b.get(path), http.StatusNotFound)
	}
	if robots := h.browser("a.test").get("/robots.txt"); !strings.Contains(robots.body, "Disallow: /") {
		t.Error(robots.body)
	}
	want(t, b.get("/favicon.ico"), http.StatusFound)
}

func TestHandles(t *testing.T) {
	h := newHouse(t)
	for path, ours := range map[string]bool{
		"/": true, "/if/user/": true, "/if/user": true, "/if/admin/": true, "/if/flow/x/": true, "/if/flow/x": true,
		"/flows/-/default/authentication/": true, "/flows/-/default/invalidation": true, "/flows/-/cancel/": true,
		"/application/launch/x/": true, "/recovery/use-token/x/": true, "/-/static/x": true, "/robots.txt": true, "/favicon.ico": true,
		"/if/": false, "/if/flow/": false, "/if/flow/x/y/": false, "/application/launch/": false, "/application/o/x/": false,
		"/recovery/": false, "/api/v3/": false, "/-/health/live/": false, "": true, "/robots.txt/": false, "/x": false, "//": false,
	} {
		if h.Handles(path) != ours {
			t.Errorf("%q: %v", path, !ours)
		}
	}
	b := h.browser("a.test")
	want(t, b.get("/x"), http.StatusNotFound)
	for _, slug := range []string{"nope", "default-user-settings-flow", "default-authentication-flow2"} {
		want(t, b.get("/if/flow/"+slug+"/"), http.StatusNotFound)
	}
}
