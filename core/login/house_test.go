package login_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/core/session"
	"github.com/postern-sso/postern/storage/sqldb"
)

// house is a Handler with all that it stands on, for two tenants that share one
// process: "a.test" and "b.test".
type house struct {
	*login.Handler
	*directory
	t   testing.TB
	now *clock
	log *bytes.Buffer // guarded by directory.mu
	// uuidB is that of the second tenant, once it was made.
	uuidB string
	// require, where set, is what the path /need asks of Require.
	require func(w http.ResponseWriter, r *http.Request)
	looks   core.Looks
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const (
	tenantA core.TenantID = "public"
	tenantB core.TenantID = "t_b"
)

func tenants() map[string]*core.Tenant {
	return map[string]*core.Tenant{
		"a.test": {ID: tenantA, UUID: "0191c1de-0000-7000-8000-00000000000a", Origin: "https://a.test"},
		"b.test": {ID: tenantB, UUID: "0191c1de-0000-7000-8000-00000000000b", Origin: "https://b.test", Name: "Branch"},
	}
}

// cheap hashes fast: what is tested is not how slow it is.
func cheap() *login.Hasher { return &login.Hasher{Memory: 16, Passes: 1} }

func newHouse(t testing.TB) *house {
	t.Helper()
	return newHouseAt(t, sqldb.Options{Dir: t.TempDir()})
}

// newHouseAt is newHouse on an engine of choice.
func newHouseAt(t testing.TB, opt sqldb.Options) *house {
	t.Helper()
	c := &clock{t: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	master, err := keys.NewMaster([]byte("an installation's secret of 32 bytes or more"))
	if err != nil {
		t.Fatal(err)
	}
	opt.Master, opt.Now = master, c.now
	h := &house{directory: newDirectory(t, opt), t: t, now: c, log: &bytes.Buffer{}}
	h.Handler = h.again(master, cheap())
	return h
}

// again is a Handler as after a restart: nothing in memory, the same data.
func (h *house) again(master *keys.Master, hasher *login.Hasher) *login.Handler {
	logger := slog.New(slog.NewTextHandler(&lockedWriter{&h.mu, h.log}, nil))
	m := &session.Sessions{Store: h.directory, Events: h.directory, Now: h.now.now, Log: logger}
	h.t.Cleanup(m.Close)
	return &login.Handler{
		Store: h.directory, Users: h.directory, Applications: h.directory, Events: h.directory,
		Sessions: m, Master: master, Passwords: hasher, Now: h.now.now, Log: logger,
		Policy: &policy.Engine{Store: h.directory, Events: h.directory, Now: h.now.now, Log: logger},
	}
}

type lockedWriter struct {
	mu  *sync.Mutex
	out *bytes.Buffer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}

// tenantB makes the second tenant, where a test needs it.
func (h *house) tenantB() {
	h.t.Helper()
	made, err := h.CreateTenant(h.t.Context(), tenantB, "B")
	h.ok(err)
	h.uuidB = made.UUID
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// user makes a user with a password, or without one where it is empty.
func (h *house) user(t core.TenantID, name, password string, change ...func(*core.User)) *core.User {
	h.t.Helper()
	ctx := h.t.Context()
	u := &core.User{UserName: name, Email: name + "@corp.test", DisplayName: strings.ToUpper(name[:1]) + name[1:], Active: true, Type: core.UserInternal, Path: "users"}
	for _, c := range change {
		c(u)
	}
	h.ok(h.CreateUser(ctx, t, u))
	if password != "" {
		hash, err := cheap().Hash(ctx, tenantA, password)
		h.ok(err)
		h.ok(h.SetPasswordHash(ctx, t, u.ID, hash, h.now.now().Add(-24*time.Hour)))
	}
	return h.find(t, name)
}

func (h *house) find(t core.TenantID, name string) *core.User {
	h.t.Helper()
	u, err := h.UserByName(h.t.Context(), t, name)
	h.ok(err)
	return u
}

// change changes a user as the API does.
func (h *house) change(u *core.User, change func(*core.User)) {
	h.t.Helper()
	_, err := h.UpdateUser(h.t.Context(), tenantA, u.PK, func(u *core.User) error { change(u); return nil })
	h.ok(err)
}

func (h *house) join(u *core.User, g core.Group) {
	h.t.Helper()
	h.ok(h.CreateGroup(h.t.Context(), tenantA, &g, []int64{u.PK}))
}

// logins are a user's live sessions.
func (h *house) logins(u *core.User) []core.Session {
	h.t.Helper()
	all, err := h.UserSessions(h.t.Context(), tenantA, u.ID)
	h.ok(err)
	return all
}

// ServeHTTP is the edge: it states the request, and sends /need to the code of
// a test.
func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.serve(h.Handler, w, r)
}

func (h *house) serve(handler http.Handler, w http.ResponseWriter, r *http.Request) {
	tenant := tenants()[r.Host]
	if tenant == nil {
		tenant = tenants()["a.test"]
	}
	if tenant.ID == tenantB && h.uuidB != "" {
		tenant.UUID = h.uuidB
	}
	addr := netip.MustParseAddr("192.0.2.1")
	if a, err := netip.ParseAddr(r.Header.Get("Test-Address")); err == nil {
		addr = a
	}
	scheme := "https"
	if r.Header.Get("Test-Scheme") != "" {
		scheme = r.Header.Get("Test-Scheme")
	}
	r = r.WithContext(core.WithRequest(r.Context(), &core.RequestInfo{
		Tenant: tenant, Looks: h.looks, Scheme: scheme, Host: r.Host, ClientIP: addr, URI: r.RequestURI, ID: "req-1",
	}))
	if r.URL.Path == "/need" {
		h.require(w, r)
		return
	}
	handler.ServeHTTP(w, r)
}

// browser keeps cookies and does not follow redirects by itself.
type browser struct {
	t       testing.TB
	handler http.Handler
	host    string
	jar     http.CookieJar
	header  http.Header // sent with every request
}

func (h *house) browser(host string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &browser{h.t, h, host, jar, http.Header{}}
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

func (b *browser) do(method, path string, form url.Values) answer {
	b.t.Helper()
	u := &url.URL{Scheme: "https", Host: b.host}
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Host = b.host
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://"+b.host)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, values := range b.header {
		r.Header[name] = values
	}
	for _, c := range b.jar.Cookies(u) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	res := w.Result()
	b.jar.SetCookies(u, res.Cookies())
	return answer{res, w.Body.String()}
}

func (b *browser) get(path string) answer { b.t.Helper(); return b.do(http.MethodGet, path, nil) }

func (b *browser) post(path string, form url.Values) answer {
	b.t.Helper()
	return b.do(http.MethodPost, path, form)
}

var inputs = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// submit opens a page, echoes its hidden inputs and sends its form with fields.
func (b *browser) submit(path string, fields ...string) answer {
	b.t.Helper()
	page := b.get(path)
	if page.StatusCode >= 400 {
		b.t.Fatalf("GET %s: %d", path, page.StatusCode)
	}
	return b.send(path, page, fields...)
}

// send sends the form of a page that is open.
func (b *browser) send(path string, page answer, fields ...string) answer {
	b.t.Helper()
	form := url.Values{}
	_, body, _ := strings.Cut(page.body, `<main`)
	for _, m := range inputs.FindAllStringSubmatch(body, -1) {
		form.Set(m[1], m[2])
	}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.post(path, form)
}

const loginPath = "/if/flow/default-authentication-flow/"

func (b *browser) login(name, password string) answer {
	b.t.Helper()
	return b.submit(loginPath, "username", name, "password", password)
}

// mustLogin fails the test where the login fails.
func (b *browser) mustLogin(name, password string) {
	b.t.Helper()
	if res := b.login(name, password); res.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("login of %s: %d", name, res.StatusCode)
	}
}

// session is the value of the session cookie, or "".
func (b *browser) session() string {
	for _, c := range b.jar.Cookies(&url.URL{Scheme: "https", Host: b.host, Path: "/"}) {
		if c.Name == session.CookieName("https") {
			return c.Value
		}
	}
	return ""
}

func want(t testing.TB, res answer, status int) {
	t.Helper()
	if res.StatusCode != status {
		t.Fatalf("status %d, want %d; Location %q", res.StatusCode, status, res.Header.Get("Location"))
	}
}

func wantTo(t testing.TB, res answer, status int, location string) {
	t.Helper()
	want(t, res, status)
	if to := res.Header.Get("Location"); to != location {
		t.Fatalf("sent to %q, want %q", to, location)
	}
}

func (h *house) actions(t core.TenantID) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, e := range h.events[t] {
		out = append(out, e.Action)
	}
	return out
}

func (h *house) wantEvent(t core.TenantID, action string) core.Event {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.events[t], func(e core.Event) bool { return e.Action == action })
	if i < 0 {
		h.t.Fatalf("no event %s", action)
	}
	return h.events[t][i]
}
