package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// Another key over the API is a rotation: the answer shows the new certificate, so that
// a second plan of Terraform is empty, and the old key signs on.
func TestReplacedKeyMaterialIsARotation(t *testing.T) {
	e := open(t)
	pair := func(alg string) *core.KeyPair {
		k, err := keys.Generate(alg, "x", nil, 0, e.now)
		e.must(err)
		return k
	}
	first, second := pair("ecdsa"), pair("ecdsa")
	made := e.want(201, "POST", "crypto/certificatekeypairs/", map[string]any{
		"name": "mine", "certificate_data": first.Certificate, "key_data": string(first.PrivateKey)})
	path := fmt.Sprintf("crypto/certificatekeypairs/%v/", made["pk"])
	provider := fmt.Sprintf("providers/oauth2/%v/", e.want(201, "POST", "providers/oauth2/",
		e.flows().with(map[string]any{"name": "signed", "redirect_uris": []any{}, "signing_key": made["pk"]}))["pk"])

	e.want(200, "PATCH", path, map[string]any{"name": "still mine"})
	ring := &keys.Ring{Store: e.db, Now: func() time.Time { return e.now }}
	id := core.KeyPairID(fmt.Sprint(made["pk"]))
	set := func() *keys.Set {
		ring.Drop(e.tenant.ID, id)
		s, err := ring.Set(context.Background(), e.tenant.ID, id)
		e.must(err)
		return s
	}
	kid := func(k *core.KeyPair) string {
		parsed, err := keys.Parse(k)
		e.must(err)
		return parsed.KID
	}
	if got := set(); len(got.Published) != 1 || got.Signer.KID != kid(first) {
		t.Errorf("after another name: %d keys", len(got.Published))
	}
	changed := e.want(200, "PATCH", path, map[string]any{"certificate_data": second.Certificate, "key_data": string(second.PrivateKey)})
	if changed["pk"] != made["pk"] || changed["fingerprint_sha256"] == made["fingerprint_sha256"] {
		t.Errorf("shown: %v", changed)
	}
	if got := e.want(200, "GET", path+"view_certificate/", nil)["data"]; got != strings.TrimSpace(second.Certificate) && got != second.Certificate {
		t.Error("the new certificate is not shown")
	}
	if got := e.want(200, "GET", provider, nil)["signing_key"]; got != made["pk"] {
		t.Errorf("the provider signs with %v", got)
	}
	if got := set(); len(got.Published) != 2 || got.Signer.KID != kid(first) {
		t.Errorf("during the rotation: %d keys, %s signs", len(got.Published), got.Signer.KID)
	}
	e.now = e.now.Add(2 * time.Hour)
	if got := set(); got.Signer.KID != kid(second) {
		t.Error("the new key does not sign after two hours")
	}
	// Without its private key the provider could sign nothing.
	if a := e.send(e.root, "PATCH", path, map[string]any{"key_data": nil}); a.status != 400 || !strings.Contains(string(a.body), `The provider \"signed\" signs with this key pair`) {
		t.Errorf("without a private key: %d %s", a.status, a.body)
	}
	// Deleted, it would leave the provider with HS256.
	if a := e.send(e.root, "DELETE", path, nil); a.status != 409 {
		t.Errorf("deleted: %d %s", a.status, a.body)
	}
}

// A key that was revoked is not taken again, neither here nor under another name.
func TestRevokedKeyIsRefused(t *testing.T) {
	e := open(t)
	k, err := keys.Generate("ecdsa", "x", nil, 0, e.now)
	e.must(err)
	body := map[string]any{"name": "mine", "certificate_data": k.Certificate, "key_data": string(k.PrivateKey)}
	made := e.want(201, "POST", "crypto/certificatekeypairs/", body)
	r := &keys.Rotation{Pairs: e.db, Events: e.db, Now: func() time.Time { return e.now }}
	_, err = r.Revoke(t.Context(), e.tenant.ID, "mine", keys.Material{}, false)
	e.must(err)
	path := fmt.Sprintf("crypto/certificatekeypairs/%v/", made["pk"])
	for name, send := range map[string]func() answer{
		"back": func() answer { return e.send(e.root, "PUT", path, body) },
		"another name": func() answer {
			body["name"] = "other"
			return e.send(e.root, "POST", "crypto/certificatekeypairs/", body)
		},
	} {
		if a := send(); a.status != 400 || !strings.Contains(string(a.body), "This key was revoked on 2026-11-22: make a new one.") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	body["name"], body["key_data"] = "public", ""
	if a := e.send(e.root, "POST", "crypto/certificatekeypairs/", body); a.status != 400 || !strings.Contains(string(a.body), "certificate_data") {
		t.Errorf("its certificate alone: %d %s", a.status, a.body)
	}
}
