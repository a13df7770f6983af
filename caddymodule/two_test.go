package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/postern-sso/postern/core"
)

// two is one server with two tenants that have everything of the same name: akadmin, the client
// "shared" with the same secret and the same way back, and a guarded application.
type two struct {
	t    testing.TB
	app  *App
	a, b *side
	from string // address of whoever asks
	// answer is the guarded application. Nil: it says whom it was told of.
	answer func(rw http.ResponseWriter, r *http.Request, name string)
}

// side is one of the tenants.
type side struct {
	w        *two
	id       core.TenantID
	host     string // of its portal; its guarded application is at app.<host>
	token    string // of akadmin, for the API
	password string
	provider string // of the client "shared"
}

const (
	sharedSecret = "the-same-secret-in-both-tenants-0123456789"
	sharedReturn = "https://rp.test/callback"
)

func newTwo(t testing.TB, change func(*App)) *two {
	t.Helper()
	guards := map[string]*Guard{}
	w := &two{t: t, from: "192.0.2.7:1234"}
	w.app = openApp(t, func(a *App) {
		a.settings.origin = "http://auth.test"
		a.sites.portal = []site{{"http", "", "80"}}
		for host, tenant := range map[string]string{"app.a.test": "t_a", "app.b.test": "t_b", "app.auth.test": ""} {
			guards[host] = &Guard{app: a, Tenant: tenant}
			a.sites.guards = append(a.sites.guards, guardSite{site{"http", host, "80"}, guards[host]})
		}
		a.sites.index()
		if change != nil {
			change(a)
		}
	})
	w.a, w.b = w.side("t_a", "a.test"), w.side("t_b", "b.test")
	return w
}

func (w *two) side(id core.TenantID, host string) *side {
	w.t.Helper()
	ctx, s := w.t.Context(), w.app.core
	addTenant(w.t, s, id, host, "second."+host)
	admin, err := s.shared.db.UserByName(ctx, id, "akadmin")
	if err != nil {
		w.t.Fatal(err)
	}
	one := &side{w: w, id: id, host: host, token: core.RandomAlphanumeric(60), password: "password at " + host}
	if err := s.pages.SetPassword(ctx, id, admin, one.password, ""); err != nil {
		w.t.Fatal(err)
	}
	if err := s.shared.db.CreateToken(ctx, id, &core.Token{Identifier: "of " + host, Intent: core.IntentAPI, User: admin.ID}, core.Secret(one.token)); err != nil {
		w.t.Fatal(err)
	}
	one.provider = one.client("shared")
	return one
}

// client makes an OpenID Connect client, and an application of its name.
func (s *side) client(id string) (provider string) {
	s.w.t.Helper()
	first := func(path string) string {
		got := s.api("GET", path, "", http.StatusOK)
		return got["results"].([]any)[0].(map[string]any)["pk"].(string)
	}
	mappings := []string{}
	for _, scope := range []string{"openid", "email", "profile", "offline_access", core.ScopeAPI} {
		mappings = append(mappings, first("propertymappings/provider/scope/?scope_name="+scope))
	}
	got := s.api("POST", "providers/oauth2/", mustJSON(map[string]any{
		"name": id, "client_id": id, "client_secret": sharedSecret, "sub_mode": "user_username",
		"authorization_flow": first("flows/instances/?slug=default-provider-authorization-" + map[bool]string{true: "explicit", false: "implicit"}[id == "asks"] + "-consent"),
		"invalidation_flow":  first("flows/instances/?slug=default-provider-invalidation-flow"),
		"signing_key":        first("crypto/certificatekeypairs/?name=authentik+Self-signed+Certificate"), "property_mappings": mappings,
		"redirect_uris": []map[string]string{{"matching_mode": "strict", "url": sharedReturn}},
	}), http.StatusCreated)
	provider = fmt.Sprintf("%.0f", got["pk"])
	s.api("POST", "core/applications/", mustJSON(map[string]any{"name": "The " + id + " of " + s.host, "slug": id, "provider": got["pk"]}), http.StatusCreated)
	return provider
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// ServeHTTP is what Caddy does: a guard and an application at some hosts, `postern` at all others.
func (w *two) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), rw, nil)
	if addr, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, addr.Addr().String())
	}
	if info := core.Request(r.Context()); info != nil { // as if a guard in front had stated it
		caddyhttp.SetVar(r.Context(), statedVar, statement{info})
	}
	nothing := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		caddyhttp.SetVar(r.Context(), "unhandled", true)
		return nil
	})
	var err error
	name, _, _ := strings.Cut(r.Host, ":")
	for _, g := range w.app.sites.guards {
		if g.host == name {
			err = g.guard.ServeHTTP(rw, r, caddyhttp.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) error {
				if w.answer != nil {
					w.answer(rw, r, name)
					return nil
				}
				_, err := fmt.Fprintf(rw, "here is %s of %s\n", r.Header.Get("X-authentik-username"), name)
				return err
			}))
			if err != nil {
				panic(err)
			}
			return
		}
	}
	if err = (&Provider{app: w.app}).ServeHTTP(rw, r, nothing); err != nil {
		panic(err)
	}
}

// RoundTrip is a connection to it.
func (w *two) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Host == "" {
		in.Host = in.URL.Host
	}
	in.RequestURI, in.RemoteAddr = in.URL.RequestURI(), w.from
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	if torn, ok := r.Context().Value(tornKey{}).(*tornWriter); ok {
		torn.ResponseRecorder = rec
		w.ServeHTTP(torn, in)
	} else {
		w.ServeHTTP(rec, in)
	}
	res := rec.Result()
	res.Request = r
	return res, nil
}

// tornKey is where a request's context has the writer of its answer, where that is to fail.
type tornKey struct{}

// tornWriter is an answer to a client that is gone: what is written fails, or panics.
type tornWriter struct {
	*httptest.ResponseRecorder
	panics bool
	torn   bool
}

func (w *tornWriter) Write([]byte) (int, error) {
	w.torn = true
	if w.panics {
		panic("the writer panics")
	}
	return 0, errors.New("the client is gone")
}

func (w *tornWriter) WriteString(text string) (int, error) { return w.Write([]byte(text)) }

// browser follows redirects, but for those to the client.
func (w *two) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &http.Client{Transport: w, Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Host == "rp.test" || len(via) > 15 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// page is an answer that was read.
type page struct {
	status int
	url    *url.URL // where it ended
	header http.Header
	body   string
}

func (w *two) do(c *http.Client, r *http.Request) *page {
	w.t.Helper()
	res, err := c.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return &page{res.StatusCode, res.Request.URL, res.Header, string(body)}
}

func (w *two) get(c *http.Client, address string) *page {
	w.t.Helper()
	r, err := http.NewRequest("GET", address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	return w.do(c, r)
}

func (w *two) post(c *http.Client, address string, form url.Values) *page {
	w.t.Helper()
	r, err := http.NewRequest("POST", address, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.do(c, r)
}

var hiddenToken = regexp.MustCompile(`name="token" value="([^"]+)"`)

// login opens a page, fills in the form that it shows, and follows.
func (s *side) login(c *http.Client, address string) *page {
	s.w.t.Helper()
	return s.loginWith(c, address, s.password)
}

func (s *side) loginWith(c *http.Client, address, password string) *page {
	s.w.t.Helper()
	p := s.w.get(c, address)
	m := hiddenToken.FindStringSubmatch(p.body)
	if m == nil {
		s.w.t.Fatalf("%s shows no form: %d at %s\n%s", address, p.status, p.url, p.body)
	}
	return s.w.post(c, p.url.String(), url.Values{"token": {m[1]}, "username": {"akadmin"}, "password": {password}})
}

// inside reports whether a browser is logged in.
func (s *side) inside(c *http.Client) bool {
	p := s.w.get(c, "http://"+s.host+"/if/user/")
	return p.status == http.StatusOK && !strings.Contains(p.body, `name="password"`)
}

// call uses the API with a token.
func (s *side) call(token, method, path, body string) *page {
	s.w.t.Helper()
	r, err := http.NewRequest(method, "http://"+s.host+"/api/v3/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		s.w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if strings.HasPrefix(body, "--form") {
		r.Header.Set("Content-Type", "multipart/form-data; boundary=form")
	}
	return s.w.do(&http.Client{Transport: s.w}, r)
}

func (s *side) api(method, path, body string, want int) map[string]any {
	s.w.t.Helper()
	p := s.call(s.token, method, path, body)
	if p.status != want {
		s.w.t.Fatalf("%s %s at %s: %d\n%s", method, path, s.host, p.status, p.body)
	}
	out := map[string]any{}
	if p.body != "" {
		if err := json.Unmarshal([]byte(p.body), &out); err != nil {
			s.w.t.Fatalf("%s %s: %v\n%s", method, path, err, p.body)
		}
	}
	return out
}

func (s *side) authorizeURL(client string) string {
	return "http://" + s.host + "/application/o/authorize/?" + url.Values{
		"client_id": {client}, "redirect_uri": {sharedReturn}, "response_type": {"code"}, "state": {"s"}, "nonce": {"n"},
		"scope": {"openid email profile offline_access " + core.ScopeAPI},
	}.Encode()
}

// code gets an authorization code with a browser that is logged in, or logs in.
func (s *side) code(c *http.Client) string {
	s.w.t.Helper()
	p := s.w.get(c, s.authorizeURL("shared"))
	if strings.Contains(p.body, `name="password"`) {
		p = s.login(c, s.authorizeURL("shared"))
	}
	to, err := url.Parse(p.header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" {
		s.w.t.Fatalf("no code: %d at %s, %v", p.status, p.url, p.header)
	}
	return to.Query().Get("code")
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Error   string `json:"error"`
}

// trade asks the token endpoint.
func (s *side) trade(form url.Values) (int, tokens) {
	s.w.t.Helper()
	form.Set("client_id", "shared")
	form.Set("client_secret", sharedSecret)
	p := s.w.post(&http.Client{Transport: s.w}, "http://"+s.host+"/application/o/token/", form)
	var out tokens
	if err := json.Unmarshal([]byte(p.body), &out); err != nil {
		s.w.t.Fatalf("%d %s: %v", p.status, p.body, err)
	}
	return p.status, out
}

func redeem(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {sharedReturn}}
}

// tokens logs in with a new browser and trades the code.
func (s *side) tokens() tokens {
	s.w.t.Helper()
	status, out := s.trade(redeem(s.code(s.w.browser())))
	if status != http.StatusOK || out.Access == "" || out.Refresh == "" || out.ID == "" {
		s.w.t.Fatalf("%d %+v", status, out)
	}
	return out
}

// userinfo shows an access token.
func (s *side) userinfo(token string) *page {
	s.w.t.Helper()
	r, err := http.NewRequest("GET", "http://"+s.host+"/application/o/userinfo/", nil)
	if err != nil {
		s.w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return s.w.do(&http.Client{Transport: s.w}, r)
}

// active asks introspection.
func (s *side) active(token string) bool {
	s.w.t.Helper()
	p := s.w.post(&http.Client{Transport: s.w}, "http://"+s.host+"/application/o/introspect/", url.Values{"client_id": {"shared"}, "client_secret": {sharedSecret}, "token": {token}})
	if p.status != http.StatusOK {
		s.w.t.Fatalf("introspection: %d %s", p.status, p.body)
	}
	return strings.Contains(p.body, `"active":true`)
}
