package oidc_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/oidc"
)

func (w *world) userinfoRequest(method, query, header, body string) answer {
	w.t.Helper()
	r, err := http.NewRequest(method, w.server.URL+"/application/o/userinfo/"+query, strings.NewReader(body))
	check(w.t, err)
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return w.browser(nil).do(r)
}

func TestUserinfo(t *testing.T) {
	w := newWorld(t)
	w.newGroup("team", w.alice)
	got := w.tokens("openid email profile")
	_, info := w.userinfo(got.Access)
	for name, want := range map[string]any{
		"sub": claims(t, got.ID)["sub"], "nonce": "the-nonce", "email": "alice@example.com", "email_verified": false,
		"preferred_username": "alice", "name": "Alice Example",
	} {
		if info[name] != want {
			t.Errorf("%s: %v", name, info[name])
		}
	}
	if groups, ok := info["groups"].([]any); !ok || len(groups) != 1 || groups[0] != "team" {
		t.Errorf("groups: %v", info["groups"])
	}
	if a := w.userinfoRequest(http.MethodPost, "", "", "access_token="+got.Access); a.StatusCode != http.StatusOK {
		t.Errorf("POST: %d", a.StatusCode)
	}
	noOpenID := w.tokens("email")
	for _, row := range []struct {
		name   string
		a      answer
		status int
		header string
	}{
		{"no token", w.userinfoRequest("GET", "", "", ""), 401, `Bearer realm="userinfo"`},
		{"basic", w.userinfoRequest("GET", "", "Basic eDp5", ""), 401, `Bearer realm="userinfo"`},
		{"empty bearer", w.userinfoRequest("GET", "", "Bearer ", ""), 401, "invalid_token"},
		{"garbage", w.userinfoRequest("GET", "", "Bearer x", ""), 401, "invalid_token"},
		{"three parts", w.userinfoRequest("GET", "", "Bearer a.b.c", ""), 401, "invalid_token"},
		{"long", w.userinfoRequest("GET", "", "Bearer "+strings.Repeat("a", 40000), ""), 401, "invalid_token"},
		{"in the query", w.userinfoRequest("GET", "?access_token="+got.Access, "", ""), 400, "invalid_request"},
		{"twice", w.userinfoRequest("POST", "", "Bearer "+got.Access, "access_token="+got.Access), 400, "invalid_request"},
		{"without openid", w.userinfoRequest("GET", "", "Bearer "+noOpenID.Access, ""), 403, "insufficient_scope"},
	} {
		header := row.a.Header.Get("WWW-Authenticate")
		if row.a.StatusCode != row.status || !strings.HasPrefix(header, "Bearer") || !strings.Contains(header, row.header) || row.a.body != "" {
			t.Errorf("%s: %d %s %q", row.name, row.a.StatusCode, header, row.a.body)
		}
	}
	w.clock.Add(10 * time.Minute)
	if status, _ := w.userinfo(got.Access); status != http.StatusUnauthorized {
		t.Errorf("expired: %d", status)
	}
}

// T-19: other things of ours where an access token should be.
func TestTokenTypes(t *testing.T) {
	w := newWorld(t)
	got := w.tokens(offline)
	for name, token := range map[string]string{"ID token": got.ID, "refresh token": got.Refresh, "code": w.browser(w.alice).code()} {
		if status, _ := w.userinfo(token); status != http.StatusUnauthorized {
			t.Errorf("%s at userinfo: %d", name, status)
		}
		if a := w.post("introspect/", url.Values{"token": {token}}); name != "refresh token" && a.body != `{"active":false}` {
			t.Errorf("%s at introspection: %s", name, a.body)
		}
		if _, err := w.op.UserOfToken(w.ctx(), token, "openid"); !errors.Is(err, core.ErrDenied) {
			t.Errorf("%s as a bearer: %v", name, err)
		}
	}
	if user, err := w.op.UserOfToken(w.ctx(), got.Access, "email"); err != nil || user.ID != w.alice.ID { // control
		t.Errorf("access token: %v, %v", user, err)
	}
	if _, err := w.op.UserOfToken(w.ctx(), got.Access, "goauthentik.io/api"); !errors.Is(err, core.ErrDenied) {
		t.Errorf("a scope that it has not: %v", err)
	}
	// T-20, F-26: a guard takes what a client of the named providers got, and no other's.
	id := w.client.ID
	if user, expires, err := w.op.UserOfProviders(w.ctx(), got.Access, []core.ProviderID{id + 1, id}); err != nil || user != w.alice.ID || !expires.After(w.clock.Now()) {
		t.Errorf("at a guard: %q until %s, %v", user, expires, err)
	}
	for name, of := range map[string][]core.ProviderID{"another provider's": {id + 1}, "no provider's": nil} {
		if user, _, err := w.op.UserOfProviders(w.ctx(), got.Access, of); user != "" || !errors.Is(err, core.ErrDenied) {
			t.Errorf("%s at a guard: %q %v", name, user, err)
		}
	}
	if _, _, err := w.op.UserOfProviders(w.ctx(), got.ID, []core.ProviderID{id}); !errors.Is(err, core.ErrDenied) {
		t.Errorf("an ID token at a guard: %v", err)
	}
	// An ID token in which the admin's mapping forges what makes an access token.
	w.addMapping("openid", `return {"azp": "app", "jti": "`+grantOf(t, got)+`.x", "scope": "openid", "uid": "x"}`)
	forged := w.tokens(offline)
	if status, _ := w.userinfo(forged.ID); status != http.StatusUnauthorized {
		t.Errorf("ID token with forged claims: %d", status)
	}
	if status, _ := w.userinfo(forged.Access); status != http.StatusOK {
		t.Errorf("its access token: %d", status)
	}
}

func grantOf(t testing.TB, got tokens) string {
	t.Helper()
	grant, _, _ := strings.Cut(claims(t, got.Access)["jti"].(string), ".")
	return grant
}

// T-16: algorithm confusion and headers that name other keys.
func TestAlgorithmConfusion(t *testing.T) {
	w := newWorld(t)
	key, err := keys.Generate("rsa", "rsa", nil, 0, w.clock.Now())
	check(t, err)
	check(t, w.db.CreateKeyPair(t.Context(), tenantID, key))
	w.updateClient(func(c *core.Client) { c.SigningKey = key.ID })
	got := w.tokens("openid")
	payload, err := json.Marshal(claims(t, got.Access))
	check(t, err)
	parsed, err := keys.Parse(key)
	check(t, err)
	spki, err := x509.MarshalPKIXPublicKey(parsed.Public)
	check(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	own, err := keys.Generate("rsa", "attacker", nil, 0, w.clock.Now())
	check(t, err)
	attacker, err := keys.Parse(own)
	check(t, err)

	sign := func(alg jose.SignatureAlgorithm, key any, opts *jose.SignerOptions) string {
		t.Helper()
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
		check(t, err)
		jws, err := s.Sign(payload)
		check(t, err)
		out, err := jws.CompactSerialize()
		check(t, err)
		return out
	}
	header := func(extra ...string) *jose.SignerOptions {
		opts := (&jose.SignerOptions{}).WithHeader("kid", parsed.KID)
		for i := 0; i < len(extra); i += 2 {
			opts = opts.WithHeader(jose.HeaderKey(extra[i]), extra[i+1])
		}
		return opts
	}
	none := func(alg string) string {
		h := enc(`{"alg":"` + alg + `","typ":"JWT","kid":"` + parsed.KID + `"}`)
		return h + "." + enc(string(payload)) + "."
	}
	for name, token := range map[string]string{
		"HS256 with the client secret": sign(jose.HS256, []byte(secret), header()),
		"HS256 with the public key":    sign(jose.HS256, publicPEM, header()),
		"alg none":                     none("none"),
		"alg NONE":                     none("NONE"),
		"no alg":                       none(""),
		"another key under our kid":    sign(jose.RS256, attacker.Signer, header()),
		"another alg of our key":       sign(jose.RS512, parsed.Signer, header()),
		"PS256 of our key":             sign(jose.PS256, parsed.Signer, header()),
		"embedded jwk":                 sign(jose.RS256, attacker.Signer, &jose.SignerOptions{EmbedJWK: true}),
		"jku":                          sign(jose.RS256, attacker.Signer, header("jku", "http://169.254.169.254/")),
		"x5u":                          sign(jose.RS256, attacker.Signer, header("x5u", "http://169.254.169.254/")),
		"kid path":                     sign(jose.RS256, parsed.Signer, (&jose.SignerOptions{}).WithHeader("kid", "../../x")),
		"kid SQL":                      sign(jose.RS256, parsed.Signer, (&jose.SignerOptions{}).WithHeader("kid", "' OR 1=1 --")),
		"no kid":                       sign(jose.RS256, parsed.Signer, nil),
		"payload changed":              strings.Join([]string{strings.Split(got.Access, ".")[0], enc(strings.Replace(string(payload), `"openid"`, `"openid email"`, 1)), strings.Split(got.Access, ".")[2]}, "."),
		"signature cut":                got.Access[:len(got.Access)-8],
	} {
		if status, _ := w.userinfo(token); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _ := w.userinfo(sign(jose.RS256, parsed.Signer, header())); status != http.StatusOK { // control
		t.Errorf("our key, our way: %d", status)
	}
}

// T-20: claims that do not fit together, signed with our own key.
func TestForgedAudience(t *testing.T) {
	w := newWorld(t)
	other, _ := w.newClient("other", nil)
	got := w.tokens("openid")
	key, err := keys.Parse(w.key)
	check(t, err)
	for name, change := range map[string]func(map[string]any){
		"control":                 func(map[string]any) {},
		"aud missing":             func(c map[string]any) { delete(c, "aud") },
		"aud of another":          func(c map[string]any) { c["aud"] = other.ClientID },
		"azp of another":          func(c map[string]any) { c["azp"] = other.ClientID },
		"both of another":         func(c map[string]any) { c["azp"], c["aud"] = other.ClientID, other.ClientID },
		"azp missing":             func(c map[string]any) { delete(c, "azp") },
		"jti missing":             func(c map[string]any) { delete(c, "jti") },
		"jti of no grant":         func(c map[string]any) { c["jti"] = "0190a000-0000-7000-8000-000000000000.x" },
		"more scope than granted": func(c map[string]any) { c["scope"] = "openid goauthentik.io/api" },
		"another session":         func(c map[string]any) { c["sid"] = "0000" },
		"expired":                 func(c map[string]any) { c["exp"] = 1 },
		"exp missing":             func(c map[string]any) { delete(c, "exp") },
	} {
		c := claims(t, got.Access)
		c["exp"] = w.clock.Now().Add(time.Minute).Unix()
		change(c)
		payload, err := json.Marshal(c)
		check(t, err)
		token, err := key.Sign(payload)
		check(t, err)
		want := http.StatusUnauthorized
		if name == "control" {
			want = http.StatusOK
		}
		if status, _ := w.userinfo(token); status != want {
			t.Errorf("%s: %d", name, status)
		}
	}
}

// another tenant of the same process, with the same client ID and
// secret and the same person's name.
func TestTokensOfAnotherTenant(t *testing.T) {
	w := newWorld(t)
	w.updateClient(func(c *core.Client) { c.SigningKey = "" }) // HS256: the same key in both
	ctx := t.Context()
	_, err := w.db.CreateTenant(ctx, "t_b", "B")
	check(t, err)
	other := *w.client
	other.ID, other.Mappings, other.SigningKey = 0, nil, ""
	check(t, w.db.CreateClient(ctx, "t_b", &other))
	check(t, w.db.CreateApplication(ctx, "t_b", &core.Application{Slug: "app", Name: "App", Provider: other.ID, PolicyMode: "any"}))

	got := w.tokens(offline)
	at := func(path string, form url.Values, bearer string) answer {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/application/o/"+path, strings.NewReader(form.Encode()))
		check(t, err)
		r.Host = "b.test"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("app", secret)
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		return w.browser(nil).do(r)
	}
	if a := at("userinfo/", nil, got.Access); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("userinfo: %d %s", a.StatusCode, a.body)
	}
	if a := at("introspect/", url.Values{"token": {got.Access}}, ""); a.body != `{"active":false}` {
		t.Errorf("introspect: %s", a.body)
	}
	if a := at("token/", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}, ""); errorOf(a.body) != "invalid_grant" {
		t.Errorf("refresh: %s", a.body)
	}
	code := w.browser(w.alice).code()
	if a := at("token/", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}}, ""); errorOf(a.body) != "invalid_grant" {
		t.Errorf("X-03 code: %s", a.body)
	}
	if a := at("revoke/", url.Values{"token": {got.Refresh}}, ""); a.StatusCode != http.StatusOK {
		t.Errorf("revoke: %d", a.StatusCode)
	}
	// Nothing of A was touched by it.
	if got := w.exchange(code); got.Error != "" {
		t.Errorf("the code: %v", got)
	}
	if status, _ := w.userinfo(got.Access); status != http.StatusOK {
		t.Errorf("the access token: %d", status)
	}
	// a login begun at A is not gone on with at B.
	r, err := http.NewRequest(http.MethodGet, w.server.URL+"/application/o/authorize/?"+query().Encode(), nil)
	check(t, err)
	u, err := url.Parse(w.browser(nil).do(r).Header.Get("Location"))
	check(t, err)
	r, err = http.NewRequest(http.MethodGet, w.server.URL+u.Query().Get("next"), nil)
	check(t, err)
	r.Host = "b.test"
	if a := w.browser(nil).do(r); a.StatusCode != http.StatusBadRequest {
		t.Errorf("resume at B: %d", a.StatusCode)
	}
}

// Every algorithm, verified by what discovery and JWKS say.
func TestSigningAlgorithms(t *testing.T) {
	w := newWorld(t)
	for _, alg := range []string{"rsa", "ecdsa", "ed25519", ""} {
		var id core.KeyPairID
		want := jose.HS256
		if alg != "" {
			kp, err := keys.Generate(alg, "key of "+alg, nil, 0, w.clock.Now())
			check(t, err)
			check(t, w.db.CreateKeyPair(t.Context(), tenantID, kp))
			id = kp.ID
			want = map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "ecdsa": jose.ES256, "ed25519": jose.EdDSA}[alg]
		}
		w.updateClient(func(c *core.Client) { c.SigningKey = id })
		got := w.tokens("openid")
		var set jose.JSONWebKeySet
		check(t, json.Unmarshal([]byte(w.browser(nil).open("/application/o/app/jwks/").body), &set))
		var key any = []byte(secret)
		if alg != "" {
			key = set.Keys[0] // those that the client signed with before follow
		}
		for _, token := range []string{got.Access, got.ID} {
			jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{want})
			check(t, err)
			if _, err := jws.Verify(key); err != nil {
				t.Errorf("%s: %v", want, err)
			}
			if (jws.Signatures[0].Header.KeyID == "") != (alg == "") {
				t.Errorf("%s: kid %q", want, jws.Signatures[0].Header.KeyID)
			}
		}
		if status, _ := w.userinfo(got.Access); status != http.StatusOK {
			t.Errorf("%s: userinfo %d", want, status)
		}
	}
}

// A key that cannot be used is an error of the server, with an ID and no cause.
func TestUnusableKey(t *testing.T) {
	w := newWorld(t)
	kp := &core.KeyPair{Name: "certificate only", Certificate: w.key.Certificate}
	check(t, w.db.CreateKeyPair(t.Context(), tenantID, kp))
	b := w.browser(w.alice)
	code := b.code()
	w.updateClient(func(c *core.Client) { c.SigningKey = kp.ID })
	got := w.exchange(code)
	if got.Status != http.StatusInternalServerError || got.Error != "server_error" || !strings.Contains(got.Description, "req-1") || strings.Contains(got.Description, "private") {
		t.Errorf("%v", got)
	}
}

// T-08, and what an active token says.
func TestIntrospection(t *testing.T) {
	w := newWorld(t)
	w.newClient("other", nil)
	got := w.tokens(offline)
	introspect := func(token string, pairs ...string) (int, map[string]any) {
		t.Helper()
		form := url.Values{"token": {token}}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		a := w.post("introspect/", form)
		var out map[string]any
		check(t, json.Unmarshal([]byte(a.body), &out))
		return a.StatusCode, out
	}
	for _, token := range []string{got.Access, got.Refresh} {
		_, own := introspect(token)
		if own["active"] != true || own["client_id"] != "app" || own["scope"] != offline || own["sub"] != claims(t, got.ID)["sub"] || own["exp"] == nil {
			t.Errorf("own: %v", own)
		}
		_, foreign := introspect(token, "client_id", "other", "client_secret", secret)
		if len(foreign) != 1 || foreign["active"] != false { // T-08
			t.Errorf("foreign: %v", foreign)
		}
	}
	if status, out := introspect(got.Access, "client_id", "app", "client_secret", "wrong"); status != http.StatusBadRequest || out["error"] != "invalid_client" {
		t.Errorf("wrong secret: %d %v", status, out)
	}
	if _, out := introspect("garbage"); out["active"] != false {
		t.Errorf("garbage: %v", out)
	}
	if status, _ := introspect(""); status != http.StatusBadRequest {
		t.Errorf("no token: %d", status)
	}
	next := w.refresh(got.Refresh)
	if _, out := introspect(got.Refresh); out["active"] != false {
		t.Errorf("used refresh token: %v", out)
	}
	w.guard("staff")
	for _, token := range []string{next.Access, next.Refresh} {
		if _, out := introspect(token); len(out) != 1 || out["active"] != false {
			t.Errorf("of one who may not use the application: %v", out)
		}
	}
	w.updateClient(func(c *core.Client) { c.Type = core.ClientPublic })
	if status, out := introspect(next.Access, "client_id", "app"); status != http.StatusBadRequest || out["error"] != "invalid_client" {
		t.Errorf("public client: %d %v", status, out)
	}
}

func TestRevocation(t *testing.T) {
	w := newWorld(t)
	w.newClient("other", nil)
	alive := func(got tokens) bool {
		status, _ := w.userinfo(got.Access)
		return status == http.StatusOK
	}
	for name, pick := range map[string]func(tokens) string{
		"access token": func(g tokens) string { return g.Access }, "refresh token": func(g tokens) string { return g.Refresh },
	} {
		got := w.tokens(offline)
		if a := w.post("revoke/", url.Values{"token": {pick(got)}, "client_id": {"other"}, "client_secret": {secret}}); a.StatusCode != http.StatusOK || a.body != "{}" {
			t.Errorf("%s, foreign: %d %s", name, a.StatusCode, a.body)
		}
		if !alive(got) {
			t.Errorf("%s: another client revoked it", name)
		}
		if a := w.post("revoke/", url.Values{"token": {pick(got)}, "client_id": {"app"}, "client_secret": {"wrong"}}); a.StatusCode != http.StatusUnauthorized || errorOf(a.body) != "invalid_client" || !alive(got) {
			t.Errorf("%s, wrong secret: %d %s", name, a.StatusCode, a.body)
		}
		if a := w.post("revoke/", url.Values{"token": {pick(got)}}); a.StatusCode != http.StatusOK || a.body != "{}" || alive(got) {
			t.Errorf("%s, own: %d %s, alive: %t", name, a.StatusCode, a.body, alive(got))
		}
		if got := w.refresh(got.Refresh); got.Error != "invalid_grant" {
			t.Errorf("%s: refresh: %v", name, got)
		}
	}
	for _, token := range []string{"unknown", w.tokens("openid").ID} {
		if a := w.post("revoke/", url.Values{"token": {token}}); a.StatusCode != http.StatusOK || a.body != "{}" {
			t.Errorf("unknown: %d %s", a.StatusCode, a.body)
		}
	}
	got := w.tokens(offline)
	w.updateClient(func(c *core.Client) { c.Type = core.ClientPublic })
	if a := w.post("revoke/", url.Values{"token": {got.Refresh}, "client_id": {"app"}}); a.StatusCode != http.StatusOK || alive(got) {
		t.Errorf("public client: %d", a.StatusCode)
	}
}

// failing is a store whose writes fail, as when a disk is full.
type failing struct {
	oidc.Store
	on string
}

var errDisk = errors.New("disk full at /secret/path")

// T-09: a revocation that did not happen is never a 200.
func TestRevocationThatFails(t *testing.T) {
	w := newWorld(t)
	got := w.tokens(offline)
	w.op.Store = &failing{Store: w.db, on: "revoke"}
	for _, token := range []string{got.Access, got.Refresh} {
		a := w.post("revoke/", url.Values{"token": {token}})
		if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || strings.Contains(a.body, "secret") {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
	// And a replay whose grant could not be revoked is not told that it was.
	code := w.browser(w.alice).code()
	w.exchange(code)
	if got := w.exchange(code); got.Status != http.StatusInternalServerError {
		t.Errorf("replay: %v", got)
	}
	w.op.Store = w.db
	if a := w.post("revoke/", url.Values{"token": {got.Refresh}}); a.StatusCode != http.StatusOK { // control
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}
