package oidc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/sqldb"
)

func (w *world) rotation() *keys.Rotation {
	return &keys.Rotation{Pairs: w.db, Events: w.db, Now: w.clock.Now, Log: w.op.Log}
}

// stale is a relying party that keeps a JWKS for an hour and never asks sooner, also
// when a token names a key that it does not know: the strictest that there is.
type stale struct {
	w    *world
	set  *jose.JSONWebKeySet
	read time.Time
}

func (s *stale) VerifySignature(_ context.Context, token string) ([]byte, error) {
	if now := s.w.clock.Now(); s.read.IsZero() || now.Sub(s.read) >= time.Hour {
		s.set, s.read = s.w.jwks("app"), now
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		return nil, err
	}
	for _, key := range s.set.Key(jws.Signatures[0].Header.KeyID) {
		return jws.Verify(key)
	}
	return nil, fmt.Errorf("no key %s in what was read at %s", jws.Signatures[0].Header.KeyID, s.read)
}

func (w *world) jwks(slug string) *jose.JSONWebKeySet {
	w.t.Helper()
	set := new(jose.JSONWebKeySet)
	check(w.t, json.Unmarshal([]byte(w.browser(nil).open("/application/o/"+slug+"/jwks/").body), set))
	return set
}

func kid(t testing.TB, token string) string {
	t.Helper()
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA, jose.HS256})
	check(t, err)
	return jws.Signatures[0].Header.KeyID
}

// issued is a token, and by when it ends.
type issued struct {
	access, id string
	expires    time.Time
}

// canary goes on for some hours with a login every few minutes, rotates once, and
// counts what a relying party could not verify and what stopped working here.
func canary(t *testing.T, w *world, rotate func()) (failed []string, kids map[string]bool) {
	t.Helper()
	verifiers := map[string]*gooidc.IDTokenVerifier{}
	// They begin at different times, so that one of them has just read when the key is replaced.
	for i := range 6 {
		verifiers[fmt.Sprint("strict ", i)] = gooidc.NewVerifier(w.server.URL+"/application/o/app/", &stale{w: w},
			&gooidc.Config{ClientID: "app", Now: w.clock.Now, SupportedSigningAlgs: []string{"ES256", "RS256"}})
	}
	verifiers["go-oidc"] = gooidc.NewVerifier(w.server.URL+"/application/o/app/",
		gooidc.NewRemoteKeySet(t.Context(), w.server.URL+"/application/o/app/jwks/"),
		&gooidc.Config{ClientID: "app", Now: w.clock.Now, SupportedSigningAlgs: []string{"ES256", "RS256"}})
	kids = map[string]bool{}
	var live []issued
	refresh := w.tokens(offline).Refresh
	for minute := 0; minute < 5*60; minute += 5 {
		if minute == 65 {
			rotate()
		}
		got := w.tokens(offline)
		kids[kid(t, got.ID)] = true
		live = append(live, issued{got.Access, got.ID, w.clock.Now().Add(10 * time.Minute)})
		next := w.refresh(refresh)
		if next.Error != "" {
			failed = append(failed, fmt.Sprintf("minute %d: refresh: %s", minute, next))
			break
		}
		refresh = next.Refresh
		for _, one := range live {
			if !w.clock.Now().Before(one.expires) {
				continue
			}
			for name, v := range verifiers {
				if name != "go-oidc" && minute < 10*int(name[len(name)-1]-'0') {
					continue
				}
				if _, err := v.Verify(t.Context(), one.id); err != nil {
					failed = append(failed, fmt.Sprintf("minute %d: %s: %v", minute, name, err))
				}
			}
			if status, _ := w.userinfo(one.access); status != http.StatusOK {
				failed = append(failed, fmt.Sprintf("minute %d: userinfo %d", minute, status))
			}
		}
		w.clock.Add(5 * time.Minute)
	}
	return failed, kids
}

// L-13: a signing key is replaced under relying parties that keep the JWKS for an hour,
// and nobody notices.
func TestRotationUnderLoad(t *testing.T) {
	w := newWorld(t)
	failed, kids := canary(t, w, func() {
		_, err := w.rotation().Rotate(t.Context(), tenantID, "signing", keys.Material{}, 0)
		check(t, err)
	})
	for _, f := range failed {
		t.Error(f)
	}
	if len(kids) != 2 {
		t.Errorf("signed with %d keys: the rotation did not happen", len(kids))
	}
	set := w.jwks("app")
	if len(set.Keys) != 1 || !kids[set.Keys[0].KeyID] {
		t.Errorf("in the end %d keys are published", len(set.Keys))
	}
	if got := w.events(core.EventSecretRotate); len(got) != 1 {
		t.Errorf("events: %q", got)
	}
}

// Control: the same canary sees a key that signs as soon as it is there.
func TestCanarySeesAKeyThatWasNotPublishedBefore(t *testing.T) {
	w := newWorld(t)
	failed, _ := canary(t, w, func() {
		next, err := keys.Generate("ecdsa", "next", nil, 0, w.clock.Now())
		check(t, err)
		_, err = w.db.UpdateKeyPair(t.Context(), tenantID, w.key.ID, func(k *core.KeyPair) error {
			k.Certificate, k.PrivateKey = next.Certificate, next.PrivateKey
			return nil
		})
		check(t, err)
	})
	if len(failed) == 0 {
		t.Error("nothing failed")
	}
}

// What a retired key signed is good for as long as it says, and the key vanishes then:
// also where the validity was longer before, or is lengthened while the rotation runs.
func TestRetiredKeyOutlivesItsTokens(t *testing.T) {
	for name, row := range map[string]struct{ before, during, after core.Timedelta }{
		"shortened before":   {"hours=10", "hours=10", "minutes=5"},
		"lengthened between": {"minutes=5", "hours=10", "hours=10"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.updateClient(func(c *core.Client) { c.AccessValidity = row.before })
			old := w.tokens(offline)
			if row.before == row.during {
				w.updateClient(func(c *core.Client) { c.AccessValidity = row.after })
			}
			_, err := w.rotation().Rotate(t.Context(), tenantID, "signing", keys.Material{}, 0)
			check(t, err)
			w.clock.Add(30 * time.Minute) // published, and the old one signs
			if row.before != row.during {
				w.updateClient(func(c *core.Client) { c.AccessValidity = row.during })
				old = w.tokens(offline)
			}
			if n := len(w.jwks("app").Keys); n != 2 {
				t.Fatalf("%d keys are published while the next one waits", n)
			}
			ends := time.Unix(int64(claims(t, old.Access)["exp"].(float64)), 0)
			w.clock.Add(ends.Sub(w.clock.Now()) - time.Minute)
			if now := w.tokens("openid"); kid(t, now.ID) == kid(t, old.ID) {
				t.Error("the old key still signs")
			}
			if status, _ := w.userinfo(old.Access); status != http.StatusOK {
				t.Errorf("userinfo %d a minute before the token ends", status)
			}
			if len(w.jwks("app").Key(kid(t, old.ID))) != 1 {
				t.Error("the retired key is not published")
			}
			// An ID token of the retired key is still a good hint.
			session, err := w.op.SessionOfHint(w.ctx(), old.ID, "app")
			check(t, err)
			if session == "" || session != claims(t, old.ID)["sid"] {
				t.Errorf("id_token_hint: session %q", session)
			}
			w.clock.Add(2 * time.Hour)
			if set := w.jwks("app"); len(set.Keys) != 1 || len(set.Key(kid(t, old.ID))) != 0 {
				t.Errorf("%d keys are published when all has ended", len(set.Keys))
			}
			check(t, w.rotation().Tend(t.Context(), tenantID))
			pair, err := w.db.KeyPair(t.Context(), tenantID, w.key.ID)
			check(t, err)
			if len(pair.Former) != 0 {
				t.Errorf("%d former keys are kept", len(pair.Former))
			}
		})
	}
}

// A provider that is given another key pair has tokens of the first one: they are good
// until they end, also when that key pair is deleted.
func TestProviderChangesItsKeyPair(t *testing.T) {
	w := newWorld(t)
	old := w.tokens("openid")
	other, err := keys.Generate("rsa", "other", nil, 0, w.clock.Now())
	check(t, err)
	check(t, w.db.CreateKeyPair(t.Context(), tenantID, other))
	w.updateClient(func(c *core.Client) { c.SigningKey = other.ID })
	w.op.Keys.DropLeft(tenantID, w.client.ID) // as a change of the outbox does
	check(t, w.db.DeleteKeyPair(t.Context(), tenantID, w.key.ID))
	w.op.Keys.Drop(tenantID, w.key.ID)

	fresh := w.tokens("openid")
	for name, tok := range map[string]tokens{"old": old, "new": fresh} {
		if status, _ := w.userinfo(tok.Access); status != http.StatusOK {
			t.Errorf("%s: userinfo %d", name, status)
		}
	}
	if set := w.jwks("app"); len(set.Keys) != 2 || set.Keys[0].KeyID != kid(t, fresh.ID) {
		t.Errorf("published: %d keys, the first %s", len(set.Keys), set.Keys[0].KeyID)
	}
	var doc struct {
		Algs []string `json:"id_token_signing_alg_values_supported"`
	}
	check(t, json.Unmarshal([]byte(w.browser(nil).open("/application/o/app/.well-known/openid-configuration").body), &doc))
	if fmt.Sprint(doc.Algs) != "[RS256 ES256]" {
		t.Errorf("algorithms: %v", doc.Algs)
	}
	w.clock.Add(15 * time.Minute)
	if n := len(w.jwks("app").Keys); n != 1 {
		t.Errorf("%d keys when the old tokens have ended", n)
	}
}

// Two nodes of one database: what one begins the other knows before it is used, and a
// clock that is a minute ahead does no harm.
func TestNodesAgreeOnKeys(t *testing.T) {
	w := newWorld(t)
	ahead := func() time.Time { return w.clock.Now().Add(time.Minute) }
	second := &keys.Ring{Store: w.db, Now: ahead}
	first := w.op.Keys
	both := func() (a, b *keys.Set) {
		a, err := first.Set(t.Context(), tenantID, w.key.ID)
		check(t, err)
		b, err = second.Set(t.Context(), tenantID, w.key.ID)
		check(t, err)
		return a, b
	}
	_, b := both() // both have read
	started := w.clock.Now()
	_, err := w.rotation().Rotate(t.Context(), tenantID, "signing", keys.Material{}, 0)
	check(t, err)
	signed := b.Signer.KID
	for range 90 {
		w.clock.Add(time.Minute)
		a, b := both()
		if a.ByID(b.Signer.KID) == nil || b.ByID(a.Signer.KID) == nil {
			t.Fatalf("a node signs with a key that the other does not publish")
		}
		if b.Signer.KID != signed {
			if early := w.clock.Now().Sub(started); early < time.Hour {
				t.Errorf("a node signed %s after the key was published", early)
			}
			return
		}
	}
	t.Error("the new key never signed")
}

// T-16, X-12: a kid finds a key, and never says by what algorithm or where from. A key
// of the pair that is not this token's, of another pair or tenant verifies nothing.
func TestKIDTricks(t *testing.T) {
	w := newWorld(t)
	_, err := w.rotation().Rotate(t.Context(), tenantID, "signing", keys.Material{Alg: "rsa"}, 0)
	check(t, err)
	good := w.tokens("openid")
	own := claims(t, good.Access)
	pair, err := w.db.KeyPair(t.Context(), tenantID, w.key.ID)
	check(t, err)
	next, err := keys.Parse(pair) // the RSA key that waits
	check(t, err)
	current, err := keys.Parse(&core.KeyPair{Certificate: pair.Former[0].Certificate, PrivateKey: pair.Former[0].PrivateKey})
	check(t, err)
	foreign, err := keys.Generate("ecdsa", "foreign", nil, 0, w.clock.Now())
	check(t, err)
	check(t, w.db.CreateKeyPair(t.Context(), tenantID, foreign)) // of the tenant, and not of the client
	stranger, err := keys.Parse(foreign)
	check(t, err)
	forge := func(key any, alg jose.SignatureAlgorithm, kid string, headers map[jose.HeaderKey]any) string {
		t.Helper()
		opts := (&jose.SignerOptions{}).WithType("JWT")
		for name, value := range headers {
			opts = opts.WithHeader(name, value)
		}
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, opts)
		check(t, err)
		payload, err := json.Marshal(own)
		check(t, err)
		jws, err := s.Sign(payload)
		check(t, err)
		out, err := jws.CompactSerialize()
		check(t, err)
		return out
	}
	// Control: what is rightly signed passes, by either key.
	for _, token := range []string{forge(current.Signer, jose.ES256, current.KID, nil), forge(next.Signer, jose.RS256, next.KID, nil)} {
		if status, _ := w.userinfo(token); status != http.StatusOK {
			t.Errorf("control: userinfo %d", status)
		}
	}
	for name, token := range map[string]string{
		"HS256 by the client secret":     forge([]byte(secret), jose.HS256, "", nil),
		"HS256 with the kid of a key":    forge([]byte(secret), jose.HS256, current.KID, nil),
		"HS256 by the public PEM":        forge([]byte(pair.Certificate), jose.HS256, next.KID, nil),
		"another kid of the pair":        forge(current.Signer, jose.ES256, next.KID, nil),
		"another algorithm of the key":   forge(next.Signer, jose.PS256, next.KID, nil),
		"a key of the tenant's":          forge(stranger.Signer, jose.ES256, stranger.KID, nil),
		"a stranger's key, our kid":      forge(stranger.Signer, jose.ES256, current.KID, nil),
		"a path for a kid":               forge(stranger.Signer, jose.ES256, "../../"+current.KID, nil),
		"a URL for a kid":                forge(stranger.Signer, jose.ES256, w.server.URL+"/jwks", nil),
		"SQL for a kid":                  forge(stranger.Signer, jose.ES256, "' OR 1=1 --", nil),
		"a long kid":                     forge(stranger.Signer, jose.ES256, strings.Repeat("a", 1000), nil),
		"no kid":                         forge(current.Signer, jose.ES256, "", nil),
		"jku":                            forge(stranger.Signer, jose.ES256, stranger.KID, map[jose.HeaderKey]any{"jku": w.server.URL + "/jwks"}),
		"x5u":                            forge(stranger.Signer, jose.ES256, stranger.KID, map[jose.HeaderKey]any{"x5u": w.server.URL + "/cert"}),
		"an embedded jwk":                forge(stranger.Signer, jose.ES256, stranger.KID, map[jose.HeaderKey]any{"jwk": stranger.JWK()}),
		"a token of ours, its kid other": forge(next.Signer, jose.RS256, current.KID, nil),
	} {
		if status, _ := w.userinfo(token); status != http.StatusUnauthorized {
			t.Errorf("%s: userinfo %d", name, status)
		}
		a := w.post("introspect/", url.Values{"token": {token}})
		if a.StatusCode != http.StatusOK || a.body != `{"active":false}` && a.body != "{\"active\":false}\n" {
			t.Errorf("%s: introspection %d %s", name, a.StatusCode, a.body)
		}
	}
}

// A stranger who makes up kids does not make the keys be read each time.
func TestUnknownKIDsReadSeldom(t *testing.T) {
	w := newWorld(t)
	good := w.tokens("openid")
	counting := &counted{DB: w.db}
	w.op.Keys.Store = counting
	foreign, err := keys.Generate("ecdsa", "foreign", nil, 0, w.clock.Now())
	check(t, err)
	key, err := keys.Parse(foreign)
	check(t, err)
	payload, err := json.Marshal(claims(t, good.Access))
	check(t, err)
	token, err := key.Sign(payload)
	check(t, err)
	w.clock.Add(2 * time.Second)
	for range 50 {
		if status, _ := w.userinfo(token); status != http.StatusUnauthorized {
			t.Fatalf("userinfo %d", status)
		}
	}
	if counting.reads == 0 || counting.reads > 2 {
		t.Errorf("%d reads for 50 tokens", counting.reads)
	}
}

// counted counts what is read of keys.
type counted struct {
	*sqldb.DB
	reads int
}

func (c *counted) KeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID) (*core.KeyPair, error) {
	c.reads++
	return c.DB.KeyPair(ctx, t, id)
}

// A key that has become known leaves at once, and with it all that it signed or that was
// granted beside it; another client's grants stay.
func TestRevokedKey(t *testing.T) {
	w := newWorld(t)
	otherPair, err := keys.Generate("ecdsa", "other", nil, 0, w.clock.Now())
	check(t, err)
	check(t, w.db.CreateKeyPair(t.Context(), tenantID, otherPair))
	w.newClient("other", func(c *core.Client) { c.SigningKey = otherPair.ID })
	otherCode := w.browser(w.alice).code("client_id", "other", "scope", offline)
	other := w.token(url.Values{"grant_type": {"authorization_code"}, "code": {otherCode}, "redirect_uri": {redirectURI},
		"code_verifier": {verifier}, "client_id": {"other"}, "client_secret": {secret}})

	_, err = w.rotation().Rotate(t.Context(), tenantID, "signing", keys.Material{}, 0)
	check(t, err)
	w.clock.Add(time.Minute) // the middle of a rotation: both of its keys go
	got := w.tokens(offline)
	code := w.browser(w.alice).code("scope", offline)
	if status, _ := w.userinfo(got.Access); status != http.StatusOK {
		t.Fatalf("control: userinfo %d before", status)
	}
	before := w.jwks("app")
	out, err := w.rotation().Revoke(t.Context(), tenantID, "signing", keys.Material{}, false)
	check(t, err)
	w.op.Keys.Drop(tenantID, w.key.ID) // as a change of the outbox does
	if out.Grants != 2 || fmt.Sprint(out.Clients) != "[app]" || out.Sessions != 0 {
		t.Errorf("%d grants of %v, %d sessions", out.Grants, out.Clients, out.Sessions)
	}
	after := w.jwks("app")
	if len(before.Keys) != 2 || len(after.Keys) != 1 {
		t.Errorf("%d keys published before, %d after", len(before.Keys), len(after.Keys))
	}
	for _, k := range before.Keys {
		if len(after.Key(k.KeyID)) != 0 {
			t.Errorf("%s is still published", k.KeyID)
		}
	}
	if status, _ := w.userinfo(got.Access); status != http.StatusUnauthorized {
		t.Errorf("userinfo %d with a token of the revoked key", status)
	}
	for name, a := range map[string]tokens{"refresh": w.refresh(got.Refresh), "code": w.exchange(code)} {
		if a.Error != "invalid_grant" {
			t.Errorf("%s: %s", name, a)
		}
	}
	if other.Error != "" {
		t.Fatalf("other: %s", other)
	}
	if status, _ := w.userinfo(other.Access); status != http.StatusOK {
		t.Errorf("another key's client: userinfo %d", status)
	}
	fresh := w.tokens("openid") // at once, without a wait
	if status, _ := w.userinfo(fresh.Access); status != http.StatusOK || kid(t, fresh.ID) != after.Keys[0].KeyID {
		t.Errorf("new tokens: userinfo %d, kid %s", status, kid(t, fresh.ID))
	}
	// It does not come back.
	_, err = w.rotation().Rotate(t.Context(), tenantID, "signing", keys.Material{Certificate: w.key.Certificate, PrivateKey: w.key.PrivateKey}, 0)
	if err == nil || !strings.Contains(err.Error(), "This key was revoked on 2026-11-22") {
		t.Errorf("the revoked key again: %v", err)
	}
	if got := w.events(core.EventSecretRotate); len(got) != 2 || !strings.Contains(fmt.Sprint(got), "signing key revoked: signing") {
		t.Errorf("events: %q", got)
	}
}
