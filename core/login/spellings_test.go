package login_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
)

// spellings all name alice: by name and address, in other letters, composed in another
// way, and with spaces of several kinds around.
func spellings() []string {
	return []string{
		"alice", "ALICE", "aLiCe", " alice", "alice ", "\talice\n", "alice\u00a0", "\u3000alice", "ａｌｉｃｅ", "ＡＬＩＣＥ", "𝐚𝐥𝐢𝐜𝐞", "ⓐⓛⓘⓒⓔ",
		"alice@corp.test", "ALICE@CORP.TEST", " Alice@Corp.Test ", "alice＠corp.test", "alice" + strings.Repeat(" ", 600),
	}
}

// over many addresses and at the same time, all spellings of an account count on
// one counter.
func TestSpellingsCountOnOneCounter(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	var checked, refused atomic.Int64
	var group sync.WaitGroup
	for i, name := range spellings() {
		group.Go(func() {
			for j := range 8 {
				b := h.browser("a.test").from(fmt.Sprintf("203.0.%d.%d", i, j+1))
				switch res := b.login(name, "wrong password"); res.StatusCode {
				case http.StatusUnprocessableEntity:
					checked.Add(1)
				case http.StatusTooManyRequests:
					refused.Add(1)
				default:
					t.Errorf("%q: %d", name, res.StatusCode)
				}
			}
		})
	}
	group.Wait()
	if n := checked.Load(); n == 0 || n > 20 || refused.Load() == 0 {
		t.Errorf("%d were checked, %d refused", n, refused.Load())
	}
	// Each spelling that finds the account waits with it.
	for _, name := range spellings() {
		u, err := h.UserByLogin(t.Context(), tenantA, name)
		if err == nil && u.UserName != "alice" {
			t.Errorf("%q is %s", name, u.UserName)
		}
		if err != nil {
			continue // it opens nothing, whatever it counts on
		}
		if res := h.browser("a.test").from("198.51.100.1").login(name, "correct horse"); res.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%q: %d", name, res.StatusCode)
		}
	}
	// The control: as many tries at as many accounts are all checked.
	checked.Store(0)
	for i := range 40 {
		b := h.browser("a.test").from(fmt.Sprintf("203.1.0.%d", i+1))
		if b.login(fmt.Sprintf("somebody%d", i), "wrong password").StatusCode == http.StatusUnprocessableEntity {
			checked.Add(1)
		}
	}
	if checked.Load() != 40 {
		t.Errorf("control: %d of 40 accounts were tried", checked.Load())
	}
}

// a password is checked with the same work whoever it is for. Work is counted in
// bytes, as argon2id takes nearly all of its time to fill them.
func TestEqualWorkForUnknownUsers(t *testing.T) {
	h := &login.Hasher{Memory: 4 << 10, Passes: 1}
	hash, err := h.Hash(t.Context(), tenantA, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	work := func(do func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) >> 20 // MiB
	}
	verify := func(hash, password string) uint64 {
		return work(func() {
			if _, _, err := h.Verify(t.Context(), tenantA, hash, password); err != nil && hash != "unreadable" {
				t.Error(err)
			}
		})
	}
	known := verify(hash, "wrong password")
	for what, got := range map[string]uint64{
		"unknown": verify("", "wrong password"), "unreadable": verify("unreadable", "wrong password"), "right": verify(hash, "correct horse"),
		"too long": verify(hash, strings.Repeat("x", 5000)), "too long, unknown": verify("", strings.Repeat("x", 5000)),
	} {
		if got != known || got < 4 {
			t.Errorf("%s: %d MiB, a wrong password takes %d", what, got, known)
		}
	}
	// The control: to answer at once takes less.
	if got := work(func() {}); got >= known {
		t.Errorf("control: %d MiB", got)
	}
}

// the login page says nothing of whom it is opened for, and looks nobody up.
func TestLoginHintTellsNothing(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	open := func(hint string) (string, []string) {
		b := h.browser("a.test")
		h.need(core.Need{MaxAge: -1, LoginHint: hint})
		to := b.get("/need").Header.Get("Location")
		h.callsSince()
		page := b.get(to)
		want(t, page, http.StatusOK)
		if !strings.Contains(page.body, `value="`+hint+`"`) {
			t.Errorf("control: the hint %s is not on the page", hint)
		}
		body := strings.ReplaceAll(page.body, `"`+hint+`"`, `"HINT"`)
		if token := inputs.FindStringSubmatch(body); token != nil {
			body = strings.Replace(body, token[2], "TOKEN", 1)
		}
		// The address of the form holds what is sealed, hint and all.
		return strings.ReplaceAll(strings.ReplaceAll(body, strings.ReplaceAll(to, "&", "&amp;"), "TO"), to, "TO"), h.callsSince()
	}
	known, calls := open("alice")
	unknown, others := open("nobody")
	if known != unknown || !slices.Equal(calls, others) || slices.Contains(calls, "UserByLogin") {
		t.Errorf("told apart: %v and %v\n%s\n%s", calls, others, known, unknown)
	}
}

// a user made anew under the first administrator's name is not opened by the first
// one's link, nor by none.
func TestSetupLinkIsItsUsers(t *testing.T) {
	h := newHouse(t)
	link := h.setup()
	want(t, h.browser("a.test").get(link), http.StatusOK) // the control
	h.ok(h.DeleteUser(t.Context(), tenantA, h.find(tenantA, login.SetupUser).PK))
	h.user(tenantA, login.SetupUser, "")
	for _, path := range []string{link, "/if/flow/initial-setup/", "/if/flow/initial-setup/?token="} {
		want(t, h.browser("a.test").get(path), http.StatusNotFound)
	}
	// One who had a password is never set up again, whatever is done to them since.
	u := h.find(tenantA, login.SetupUser)
	h.ok(h.SetPassword(t.Context(), tenantA, u, "correct horse", ""))
	h.ok(h.SetPasswordHash(t.Context(), tenantA, u.ID, "", h.now.now()))
	if again, err := h.SetupLink(t.Context(), tenants()["a.test"]); again != "" || err != nil {
		t.Errorf("%q, %v", again, err)
	}
}

// the token of a link stands in no other page, no header that leaves this host, no
// event and no log.
func TestLinkTokenStaysWhereItIs(t *testing.T) {
	h := newHouse(t)
	alice := h.user(tenantA, "alice", "correct horse")
	link := h.recovery(alice, time.Hour)
	token := strings.Trim(strings.TrimPrefix(link, "/recovery/use-token/"), "/")
	b := h.browser("a.test")
	page := b.get(link)
	if strings.Contains(page.body, `src="http`) || strings.Contains(page.body, `href="http`) || page.Header.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("%v %s", page.Header, page.body)
	}
	res := b.send(link, page, "password", "")
	want(t, res, http.StatusSeeOther)
	if strings.Contains(fmt.Sprint(res.Header, res.body, h.events[tenantA], h.log.String()), token) {
		t.Error("the token was told")
	}
	if !strings.Contains(fmt.Sprint(h.events[tenantA]), "recovery") || len(token) != 60 { // the control
		t.Errorf("no event of its use: %v", h.events[tenantA])
	}
}

// O-26: a logout changes the key, too, and what the browser had before opens nothing; nor
// does a key that another tenant's login has.
func TestOldKeysOpenNothing(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	h.tenantB()
	h.user(tenantB, "alice", "correct horse")
	b, other := h.browser("a.test"), h.browser("b.test")
	b.mustLogin("alice", "correct horse")
	other.mustLogin("alice", "correct horse")
	with := func(key string) int {
		b := h.browser("a.test")
		b.jar.SetCookies(&url.URL{Scheme: "https", Host: "a.test"}, []*http.Cookie{{Name: "__Host-authentik_session", Value: key, Path: "/", Secure: true}})
		return b.get("/if/user/").StatusCode
	}
	first := b.session()
	if with(first) != http.StatusOK || with(other.session()) == http.StatusOK { // the control, and another tenant's
		t.Errorf("own: %d, another tenant's: %d", with(first), with(other.session()))
	}
	b.submit("/if/flow/default-invalidation-flow/")
	if with(first) == http.StatusOK {
		t.Error("the key lives on after a logout")
	}
	b.mustLogin("alice", "correct horse")
	if second := b.session(); second == first || with(second) != http.StatusOK || with(first) == http.StatusOK {
		t.Error("the key of the login before is taken again")
	}
}

// handled are the paths that handler.go names.
func handled(t *testing.T) (out []string) {
	t.Helper()
	src, err := parser.ParseFile(token.NewFileSet(), "handler.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(src, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, _ := strconv.Unquote(lit.Value); strings.HasPrefix(text, "/") {
				out = append(out, text)
			}
		}
		return true
	})
	for _, known := range []string{"/if/user/", "/recovery/use-token/", "/flows/-/cancel/"} {
		if !slices.Contains(out, known) {
			t.Fatalf("control: %s is not among %v", known, out)
		}
	}
	return out
}

// no page answers what is malformed with an error of the server.
func TestMalformedRequests(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	in := h.browser("a.test")
	in.mustLogin("alice", "correct horse")
	bad := []string{
		"next=%zz", "next=%00", "next=%ff", "need=x", "need=%00", "need=" + strings.Repeat("A", 3000), "consent=%ff", "logout=x", "token=%00", "token=%ff&token=", "a;b", "%", "&&==", "search=%ff%00",
		"search=" + strings.Repeat("%C3%A9", 2000), "left=x", "next=/%ff", "next=/a?%zz", "[]=1",
	}
	paths := []string{
		"/", "/if/user/", "/if/admin/", loginPath, "/if/flow/default-invalidation-flow/", "/if/flow/default-provider-invalidation-flow/", "/if/flow/default-provider-authorization-explicit-consent/",
		"/if/flow/initial-setup/", "/if/flow/%00/", "/if/flow/%ff/", "/recovery/use-token/%00/", "/recovery/use-token/%ff/", "/recovery/use-token/" + strings.Repeat("a", 5000) + "/",
		"/application/launch/%00/", "/application/launch/%ff/", "/-/static/", "/-/static/%00", "/-/static/..%2f..%2fgo.mod", "/flows/-/cancel/", "/robots.txt",
	}
	for _, known := range handled(t) { // a page that is new, too
		if !slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, known) }) {
			paths = append(paths, known, known+"default-authentication-flow/")
		}
	}
	for _, path := range paths {
		for _, text := range bad {
			for _, b := range []*browser{h.browser("a.test"), in} {
				for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS"} {
					if res := b.do(method, path+"?"+text, url.Values{"token": {text}, "username": {"\xff\x00"}, "password": {"\xff"}}); res.StatusCode >= 500 {
						t.Errorf("%s %.60s?%.40s: %d", method, path, text, res.StatusCode)
					}
				}
			}
		}
	}
	want(t, in.get("/if/user/"), http.StatusOK)
	// The control: an error of the server is seen.
	h.down = http.ErrServerClosed
	if res := h.browser("a.test").submit(loginPath, "username", "alice", "password", "x"); res.StatusCode < 500 {
		t.Errorf("a store that is down: %d", res.StatusCode)
	}
}
