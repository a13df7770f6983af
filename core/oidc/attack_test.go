package oidc_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/oidc"
)

// O-12: what asks for a token in the front channel gets none, however it is spelled.
func TestNoTokenInTheFrontChannel(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	b.signIn()
	for _, responseType := range []string{
		"token", "id_token", "none", "code token", "token code", "code id_token token", "code code", "CODE", "Token", "code,token", "code\ttoken", "code\u00a0token", "code\x00",
	} {
		for _, mode := range []string{"query", "fragment", "form_post", ""} {
			a := b.authorize("response_type", responseType, "response_mode", mode)
			said := a.Header.Get("Location") + a.body
			if !strings.Contains(said, "unsupported_response_type") || regexp.MustCompile(`(?i)(\bcode|access_token|id_token)=|name="(code|access_token|id_token)"`).MatchString(said) {
				t.Errorf("%q by %q: %d %s", responseType, mode, a.StatusCode, said)
			}
		}
	}
	// Control: the one type that is registered is answered in each of the modes.
	for mode, want := range map[string]string{"query": "?code=", "fragment": "#code=", "form_post": `name="code"`} {
		if a := b.authorize("response_mode", mode); !strings.Contains(a.Header.Get("Location")+a.body, want) {
			t.Errorf("code by %s: %d %s", mode, a.StatusCode, a.body)
		}
	}
}

// O-13: each answer says which of our issuers gave it, in each mode, for a success and for
// an error, so that a client of two can tell a mix-up (RFC 9207).
func TestResponsesNameTheirIssuer(t *testing.T) {
	w := newWorld(t)
	w.newClient("other", nil)
	b := w.browser(w.alice)
	b.signIn()
	seen := map[string]bool{}
	for _, id := range []string{"app", "other"} {
		var doc struct {
			Issuer    string
			Supported bool `json:"authorization_response_iss_parameter_supported"`
		}
		check(t, json.Unmarshal([]byte(b.open("/application/o/"+id+"/.well-known/openid-configuration").body), &doc))
		if !doc.Supported || doc.Issuer == "" || seen[doc.Issuer] {
			t.Errorf("%s: discovery: %+v", id, doc)
		}
		seen[doc.Issuer] = true
		for _, more := range [][]string{nil, {"prompt", "none", "max_age", "x"}, {"iss", "https://evil.test/"}} {
			pairs := append([]string{"client_id", id}, more...)
			if got := b.authorize(pairs...).response(t)["iss"]; len(got) != 1 || got[0] != doc.Issuer {
				t.Errorf("%v by query: %v", pairs, got)
			}
			fragment := b.authorize(append(pairs, "response_mode", "fragment")...).Header.Get("Location")
			if !strings.Contains(fragment, "&iss="+url.QueryEscape(doc.Issuer)) || strings.Count(fragment, "iss=") != 1 {
				t.Errorf("%v by fragment: %s", pairs, fragment)
			}
			form := b.authorize(append(pairs, "response_mode", "form_post")...).body
			if !strings.Contains(form, `name="iss" value="`+doc.Issuer+`"`) || strings.Count(form, `name="iss"`) != 1 {
				t.Errorf("%v by form_post: %s", pairs, form)
			}
		}
	}
	// Control: the two are told apart by it; with one issuer for all they would not be.
	if len(seen) != 2 {
		t.Errorf("issuers: %v", seen)
	}
}

// T-04: whatever is set, a code is good for ten minutes at most (RFC 6749 §4.1.2).
func TestCodeLifeIsBounded(t *testing.T) {
	w := newWorld(t)
	w.updateClient(func(c *core.Client) { c.CodeValidity = "days=2" })
	b := w.browser(w.alice)
	b.signIn()
	code := b.code()
	w.clock.Add(10*time.Minute - time.Second)
	if got := w.exchange(code); got.Access == "" { // control
		t.Errorf("before ten minutes: %v", got)
	}
	code = b.code()
	w.clock.Add(10 * time.Minute)
	if got := w.exchange(code); got.Error != "invalid_grant" {
		t.Errorf("after ten minutes: %v", got)
	}
}

// T-11: an application that is taken away ends what was issued for it, and a provider of
// the same client ID made later is another one: nothing of the first is good there.
func TestRefreshOfADeletedApplication(t *testing.T) {
	for name, remove := range map[string]func(*world){
		"application deleted": func(w *world) { check(w.t, w.db.DeleteApplication(w.ctx(), tenantID, w.app.Slug)) },
		"made anew": func(w *world) {
			check(w.t, w.db.DeleteApplication(w.ctx(), tenantID, w.app.Slug))
			check(w.t, w.db.DeleteProvider(w.ctx(), tenantID, w.client.ID))
			w.newClient("app", nil)
		},
	} {
		w := newWorld(t)
		w.updateClient(func(c *core.Client) { c.AuthorizationFlow = w.flow(core.FlowExplicitConsent) })
		b := w.browser(w.alice)
		got := w.exchange(b.code("scope", offline))
		got = w.refresh(got.Refresh)
		code := b.code("scope", offline)
		if status, _ := w.userinfo(got.Access); got.Error != "" || status != http.StatusOK { // control
			t.Fatalf("%s: before: %v, userinfo %d", name, got, status)
		}
		remove(w)
		if status, _ := w.userinfo(got.Access); status != http.StatusUnauthorized {
			t.Errorf("%s: access goes on: %d", name, status)
		}
		if got := w.refresh(got.Refresh); got.Access != "" {
			t.Errorf("%s: refresh goes on", name)
		}
		if got := w.exchange(code); got.Access != "" {
			t.Errorf("%s: the code goes on", name)
		}
		if a := w.post("introspect/", url.Values{"token": {got.Access}}); strings.Contains(a.body, `"active":true`) {
			t.Errorf("%s: introspection: %s", name, a.body)
		}
		if name != "made anew" {
			continue
		}
		w.client, w.app = nil, nil
		if again := w.exchange(w.browser(w.alice).code("scope", offline)); again.Access == "" { // control
			t.Errorf("the new one: %v", again)
		}
	}
}

// T-29, T-30: for each kind of key, what is published is public, and at_hash is the half
// of the hash that the signature's algorithm uses.
func TestPublishedKeysAndHashes(t *testing.T) {
	w := newWorld(t)
	left := func(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]) }
	private := regexp.MustCompile(`"(d|p|q|dp|dq|qi|oth|k)":`)
	for _, alg := range []string{"rsa", "ecdsa", "ed25519", ""} {
		var id core.KeyPairID
		if alg != "" {
			kp, err := keys.Generate(alg, "key of "+alg, nil, 0, w.clock.Now())
			check(t, err)
			check(t, w.db.CreateKeyPair(t.Context(), tenantID, kp))
			id = kp.ID
		}
		name := "key-" + alg
		w.newClient(name, func(c *core.Client) { c.SigningKey = id })
		set := w.browser(nil).open("/application/o/" + name + "/jwks/").body
		if private.MatchString(set) || alg != "" && !strings.Contains(set, `"kid"`) {
			t.Errorf("%s: %s", name, set)
		}
		got := w.exchange(w.browser(w.alice).code("client_id", name), "client_id", name, "client_secret", secret)
		if got.ID == "" {
			t.Fatalf("%s: %v", name, got)
		}
		short, long := sha256.Sum256([]byte(got.Access)), sha512.Sum512([]byte(got.Access))
		want := left(short[:])
		if alg == "ed25519" {
			want = left(long[:])
		}
		if at := claims(t, got.ID)["at_hash"]; at != want || left(short[:]) == left(long[:]) {
			t.Errorf("%s: at_hash %v, want %s", name, at, want)
		}
		if n := claims(t, got.ID)["nonce"]; n != "the-nonce" {
			t.Errorf("%s: nonce %v", name, n)
		}
	}
	// Control: a private key would be found.
	if !private.MatchString(`{"kty":"EC","d":"x"}`) || !private.MatchString(`{"kty":"oct","k":"x"}`) {
		t.Error("what looks for private members finds none")
	}
}

// each value that opens something holds 128 bits or more, and none comes twice.
func TestSecretsAreLong(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	b.signIn()
	seen := map[string]bool{}
	strong := func(s string) bool { return regexp.MustCompile(`^[A-Za-z0-9_-]{22,}$`).MatchString(s) && !seen[s] }
	look := func(what, s string) {
		t.Helper()
		if !strong(s) {
			t.Errorf("%s %q is short, or came twice", what, s)
		}
		seen[s] = true
	}
	for range 30 {
		code := b.code("scope", offline)
		got := w.exchange(code)
		look("code", code)
		look("refresh token", got.Refresh)
		look("uid", claims(t, got.Access)["uid"].(string))
		grant, random, _ := strings.Cut(claims(t, got.Access)["jti"].(string), ".")
		look("jti", strings.ReplaceAll(grant, "-", "")+random)
	}
	for what, weak := range map[string]string{"short": "a", "a number": "1234567890123456", "seen": func() string {
		for s := range seen {
			return s
		}
		return ""
	}()} { // control
		if strong(weak) {
			t.Errorf("%s passes", what)
		}
	}
}

// no request that is malformed, whatever is wrong with it, is an error of the server.
func TestMalformedRequests(t *testing.T) {
	w := newWorld(t)
	b := w.browser(w.alice)
	b.signIn()
	send := func(method, path, query, kind, body string, header ...string) int {
		t.Helper()
		r, err := http.NewRequest(method, w.server.URL+"/application/o/"+path, strings.NewReader(body))
		check(t, err)
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", kind)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return b.do(r).StatusCode
	}
	bad := []string{
		"%", "%zz", "&&&===", "a;b", "=", "?", "%00", "%ff%fe", "[]=1", "a[b]=c", "client_id[]=app", strings.Repeat("a=b&", 3000),
		"client_id=%00&redirect_uri=%ff", "client_id=app&redirect_uri=%5B::1", "client_id=app&redirect_uri=http://%5B", "resume=", "resume=~", "resume=%00", "resume[]=x", "resume=" + strings.Repeat("A", 3000),
		"id_token_hint=.", "id_token_hint=..", "id_token_hint=....", "id_token_hint=e30.e30.", "token=..", "token=....", "token=e30.e30.e30.e30.e30", "token=bnVsbA.bnVsbA.bnVsbA", "access_token=....",
		"grant_type=authorization_code&code=%00", "grant_type=refresh_token&refresh_token=%ff", "max_age=99999999999999999999", "max_age=1e9", "client_id=app&scope=%ff",
	}
	for _, query := range []string{ // an otherwise good request with one parameter spoiled
		"state", "nonce", "scope", "max_age", "prompt", "login_hint", "ui_locales", "claims", "acr_values", "display", "response_mode", "code_challenge", "id_token_hint",
	} {
		for _, v := range []string{"\xff\xfe", "\x00", "[]", "{", strings.Repeat("9", 400), "é\u202e", "-0", " "} {
			bad = append(bad, func() string { q := queryOf(query, v); return q.Encode() }())
		}
	}
	paths := []string{
		"%00/", "%ff/jwks/", "..%2f..%2f/", strings.Repeat("a", 3000) + "/jwks/",
	}
	for _, path := range w.op.Paths() {
		paths = append(paths, strings.Replace(path, "{slug}", "app", 1))
	}
	if len(paths) < 14 {
		t.Errorf("control: the table has %d paths", len(paths))
	}
	for _, path := range paths {
		for i, text := range bad {
			for _, status := range []int{
				send("GET", path, text, "", ""), send("POST", path, "", "application/x-www-form-urlencoded", text, "Authorization", "Basic "+enc(text)),
			} {
				if status >= 500 {
					t.Errorf("%s with %.60q (%d): %d", path, text, i, status)
				}
			}
		}
		for _, header := range []string{"Basic", "Basic ", "Basic Og==", "Basic ////", "Bearer", "Bearer .", "Bearer ..", "Bearer ....", "Bearer e30.e30.e30", "Bearer " + enc(`{"alg":1}`) + "." + enc(`{"azp":["app"]}`) + ".", "Bearer " + enc(`{"alg":"ES256"}`) + "." + enc(`{"azp":"app","exp":"x"}`) + ".AAAA", "\xff"} {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"} {
				if status := send(method, path, "", "multipart/form-data", "--\r\n", "Authorization", header); status >= 500 {
					t.Errorf("%s %s with %q: %d", method, path, header, status)
				}
			}
		}
	}
	if b.code() == "" {
		t.Error("a following rightful request does not work")
	}
	// Control: an error of the server is seen.
	w.op.Store = &failing{Store: w.db, on: "client"}
	if status := send("GET", "authorize/", query().Encode(), "", ""); status < 500 {
		t.Errorf("a store that fails: %d", status)
	}
}

func queryOf(name, value string) url.Values {
	q := query()
	q.Set(name, value)
	return q
}

// T-19: nor is a session's key, a client's secret or a key of another kind a bearer.
func TestOtherSecretsAreNoBearer(t *testing.T) {
	w := newWorld(t)
	got := w.tokens(offline)
	b := w.browser(w.alice)
	b.signIn()
	u, err := url.Parse(w.server.URL)
	check(t, err)
	key := b.client.Jar.Cookies(u)[0].Value
	for name, token := range map[string]string{
		"session key": key, "client secret": secret, "sid": fmt.Sprint(claims(t, got.Access)["sid"]), "jti": fmt.Sprint(claims(t, got.Access)["jti"]),
		"half": strings.Join(strings.Split(got.Access, ".")[:2], "."), "twice": got.Access + "." + got.Access, "spaces": got.Access + " " + got.Access,
	} {
		if status, _ := w.userinfo(token); status != http.StatusUnauthorized {
			t.Errorf("%s at userinfo: %d", name, status)
		}
		if _, err := w.op.UserOfToken(w.ctx(), token, "openid"); !errors.Is(err, core.ErrDenied) {
			t.Errorf("%s as a bearer: %v", name, err)
		}
	}
	if status, _ := w.userinfo(got.Access); status != http.StatusOK { // control
		t.Errorf("the access token: %d", status)
	}
}

// the one page of this package has the headers of all others, and over TLS it stays
// there.
func TestFormPostHeaders(t *testing.T) {
	w := newWorld(t)
	for scheme, hsts := range map[string]string{"https": "max-age=31536000", "http": ""} {
		info := *core.Request(w.ctx())
		info.Scheme = scheme
		r := httptest.NewRequest(http.MethodGet, "/application/o/authorize/?"+query("response_type", "token", "response_mode", "form_post").Encode(), nil)
		answer := httptest.NewRecorder()
		w.op.ServeHTTP(answer, r.WithContext(core.WithRequest(r.Context(), &info)))
		if !strings.Contains(answer.Body.String(), "unsupported_response_type") { // control: it is that page
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
		for name, want := range map[string]string{
			"Strict-Transport-Security": hsts, "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := answer.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q", scheme, name, got)
			}
		}
	}
}

// naive compares as one might who reads a URL the way browsers do.
func naive(registered, uri string) bool {
	norm := func(s string) string {
		u, err := url.Parse(strings.ToLower(s))
		if err != nil {
			return s
		}
		host := strings.TrimSuffix(u.Hostname(), ".")
		if host == "127.0.0.1" || strings.Contains(host, ":") {
			host = "localhost"
		}
		return u.Scheme + "://" + host + strings.TrimSuffix(u.Path, "/")
	}
	return norm(registered) == norm(uri)
}

// O-04: what reads as the registered URI, or fits it as a shell's pattern, is not it.
func TestRedirectIsNotNormalised(t *testing.T) {
	for uri, registered := range map[string]string{
		"https://FOO.example/cb": "https://foo.example/cb", "HTTPS://foo.example/cb": "https://foo.example/cb", "https://foo.example:443/cb": "https://foo.example/cb",
		"https://foo.example./cb": "https://foo.example/cb", "https://foo.example/cb/": "https://foo.example/cb", "https://foo.example/cb?x=1": "https://foo.example/cb",
		"https://foo.example/%63b": "https://foo.example/cb", "http://localhost/cb": "http://127.0.0.1/cb", "http://[::1]/cb": "http://127.0.0.1/cb", "http://[::1]:80/cb": "http://[::1]/cb",
		"http://127.0.0.1:9000/cb": "http://127.0.0.1/cb",
	} {
		if !naive(registered, uri) {
			t.Errorf("control: %s does not read as %s", uri, registered)
		}
		if oidc.MatchRedirect(strict(registered), uri) {
			t.Errorf("%s passes for %s", uri, registered)
		}
	}
	for registered, uri := range map[string]string{
		"http://localhost*": "http://localhost.evil.test/", "https://*.foo.example/cb": "https://evil.foo.example/cb", "https://foo.example/*": "https://foo.example/x", "*": "https://evil.test/",
		"http://localhost:*/cb": "http://localhost:1/cb",
	} {
		glob := regexp.MustCompile(`\A` + strings.ReplaceAll(regexp.QuoteMeta(registered), `\*`, ".*") + `\z`)
		if !glob.MatchString(uri) {
			t.Errorf("control: %s does not fit %s", uri, registered)
		}
		if oidc.MatchRedirect(strict(registered), uri) {
			t.Errorf("%s passes for %s", uri, registered)
		}
	}
	// A homograph in its ASCII form is another name.
	if oidc.MatchRedirect(strict("https://foo.example/cb"), "https://xn--fo-jbb.example/cb") || !oidc.MatchRedirect(strict("https://xn--fo-jbb.example/cb"), "https://xn--fo-jbb.example/cb") {
		t.Error("homograph")
	}
}

// O-21, T-16: whatever names a document elsewhere, in a request or in the header of a token, nothing is fetched: a
// server at that address, which has what would be believed, hears of nobody.
func TestNothingIsFetched(t *testing.T) {
	w := newWorld(t)
	own, err := keys.Generate("rsa", "attacker", nil, 0, w.clock.Now())
	check(t, err)
	attacker, err := keys.Parse(own)
	check(t, err)
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_ = json.NewEncoder(rw).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: attacker.Public, KeyID: "k", Algorithm: "RS256"}}})
	}))
	defer elsewhere.Close()

	got := w.tokens("openid")
	payload, err := json.Marshal(claims(t, got.Access))
	check(t, err)
	b := w.browser(w.alice)
	b.signIn()
	for _, pairs := range [][]string{{"request_uri", elsewhere.URL + "/request.jwt"}, {"client_id", elsewhere.URL + "/client"}, {"redirect_uri", elsewhere.URL + "/callback"}} {
		if a := b.authorize(pairs...); strings.Contains(a.Header.Get("Location")+a.body, "code=") {
			t.Errorf("%v: %s", pairs, a.Header.Get("Location"))
		}
	}
	for _, name := range []jose.HeaderKey{"jku", "x5u", "kid", "iss"} {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: attacker.Signer}, (&jose.SignerOptions{}).WithHeader("kid", "k").WithHeader(name, elsewhere.URL+"/jwks"))
		check(t, err)
		jws, err := s.Sign(payload)
		check(t, err)
		token, err := jws.CompactSerialize()
		check(t, err)
		if status, _ := w.userinfo(token); status != http.StatusUnauthorized {
			t.Errorf("%s: userinfo: %d", name, status)
		}
		if a := w.post("introspect/", url.Values{"token": {token}}); !strings.Contains(a.body, `"active":false`) {
			t.Errorf("%s: introspection: %s", name, a.body)
		}
		b.endSession("id_token_hint", token)
		if got := w.token(url.Values{"grant_type": {"authorization_code"}, "client_id": {"app"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {token}}); got.Access != "" {
			t.Errorf("%s: an assertion: %v", name, got)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d documents were fetched", n)
	}
	res, err := http.Get(elsewhere.URL + "/jwks") // control: it is there, and counts
	check(t, err)
	check(t, res.Body.Close())
	if asked.Load() != 1 {
		t.Error("control: the server elsewhere does not count")
	}
}
