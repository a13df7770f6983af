package oidc_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	m := w.mapping("minio", "", `return {"policy": "readwrite"}`, "", "policy", "iss")
	w.updateClient(func(c *core.Client) { c.Mappings = append(c.Mappings, m.ID) })
	a := w.browser(nil).open("/application/o/app/.well-known/openid-configuration")
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", a.StatusCode, a.Header)
	}
	golden(t, "discovery.json", strings.ReplaceAll(a.body, w.server.URL, "http://auth.example"))
	// T-16: a client of HS256 says so, and any other lists asymmetric ones only.
	w.updateClient(func(c *core.Client) { c.SigningKey = "" })
	var doc struct {
		Algs []string `json:"id_token_signing_alg_values_supported"`
		Auth []string `json:"token_endpoint_auth_methods_supported"`
	}
	check(t, json.Unmarshal([]byte(w.browser(nil).open("/application/o/app/.well-known/openid-configuration").body), &doc))
	if len(doc.Algs) != 1 || doc.Algs[0] != "HS256" {
		t.Errorf("algorithms: %v", doc.Algs)
	}
	w.updateClient(func(c *core.Client) { c.Type, c.SigningKey = core.ClientPublic, w.key.ID })
	check(t, json.Unmarshal([]byte(w.browser(nil).open("/application/o/app/.well-known/openid-configuration").body), &doc))
	if doc.Algs[0] != "ES256" || len(doc.Auth) != 1 || doc.Auth[0] != "none" {
		t.Errorf("public client: %v", doc)
	}
}

func TestDiscoveryCORS(t *testing.T) {
	w := newWorld(t)
	for origin, want := range map[string]string{"https://rp.example": "https://rp.example", "https://evil.test": ""} {
		r, err := http.NewRequest(http.MethodGet, w.server.URL+"/application/o/app/.well-known/openid-configuration", nil)
		check(t, err)
		r.Header.Set("Origin", origin)
		if got := w.browser(nil).do(r).Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s: %q", origin, got)
		}
	}
}

// T-29
func TestJWKS(t *testing.T) {
	w := newWorld(t)
	kp, err := keys.Generate("rsa", "rsa", nil, 0, w.clock.Now())
	check(t, err)
	check(t, w.db.CreateKeyPair(t.Context(), tenantID, kp))
	w.newClient("rsa", func(c *core.Client) { c.SigningKey = kp.ID })
	a := w.browser(nil).open("/application/o/rsa/jwks/")
	if a.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.HasPrefix(a.Header.Get("Cache-Control"), "public, max-age=") {
		t.Errorf("headers: %v", a.Header)
	}
	var set struct{ Keys []map[string]any }
	check(t, json.Unmarshal([]byte(a.body), &set))
	if len(set.Keys) != 1 {
		t.Fatalf("%s", a.body)
	}
	for name := range set.Keys[0] {
		if !strings.Contains(" kty use alg kid n e x5c x5t x5t#S256 ", " "+name+" ") {
			t.Errorf("%s is published", name)
		}
	}
	if set.Keys[0]["alg"] != "RS256" || set.Keys[0]["use"] != "sig" || set.Keys[0]["kid"] == "" {
		t.Errorf("%v", set.Keys[0])
	}
	w.newClient("hs", func(c *core.Client) { c.SigningKey = "" })
	if a := w.browser(nil).open("/application/o/hs/jwks/"); a.body != `{"keys":[]}` {
		t.Errorf("without a key: %s", a.body)
	}
}

// A document is given again for a second while nothing changed, and not after a change.
func TestDocumentsAreKept(t *testing.T) {
	w := newWorld(t)
	generation := uint64(0)
	w.op.Generation = func(core.TenantID) uint64 { return generation }
	scopes := func() int {
		t.Helper()
		var doc struct {
			Scopes []string `json:"scopes_supported"`
		}
		check(t, json.Unmarshal([]byte(w.browser(nil).open("/application/o/app/.well-known/openid-configuration").body), &doc))
		return len(doc.Scopes)
	}
	before := scopes()
	m := w.mapping("extra", "", `return {}`, "")
	w.updateClient(func(c *core.Client) { c.Mappings = append(c.Mappings, m.ID) })
	if got := scopes(); got != before { // control: it is kept, as nobody told of a change
		t.Fatalf("%d scopes", got)
	}
	generation++
	if got := scopes(); got != before+1 {
		t.Errorf("%d scopes after the change was told, want %d", got, before+1)
	}
	w.updateClient(func(c *core.Client) { c.Mappings = c.Mappings[:len(c.Mappings)-1] })
	w.clock.Add(time.Second)
	if got := scopes(); got != before {
		t.Errorf("%d scopes a second later, want %d", got, before)
	}
	// Each origin and client is its own.
	w.newClient("other", nil)
	a, b := w.browser(nil).open("/application/o/app/jwks/"), w.browser(nil).open("/application/o/other/.well-known/openid-configuration")
	if strings.Contains(b.body, "/o/app/") || strings.Contains(a.body, "issuer") {
		t.Errorf("one document for another:\n%s\n%s", a.body, b.body)
	}
}
