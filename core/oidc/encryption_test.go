package oidc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// A client with an encryption key gets nested tokens (RFC 7519 §11.2), which only
// it can read, and which are known here again without its private key.
func TestEncryptedTokens(t *testing.T) {
	w := newWorld(t)
	pair, err := keys.Generate("rsa", "the client's", nil, 0, w.clock.Now())
	check(t, err)
	private, err := keys.Parse(pair)
	check(t, err)
	public := &core.KeyPair{Name: "encryption", Certificate: pair.Certificate} // the private key stays with the client
	check(t, w.db.CreateKeyPair(t.Context(), tenantID, public))
	w.updateClient(func(c *core.Client) { c.EncryptionKey = public.ID })

	got := w.tokens(offline)
	signing, err := keys.Parse(w.key)
	check(t, err)
	open := func(token string) map[string]any {
		t.Helper()
		jwe, err := jose.ParseEncryptedCompact(token, []jose.KeyAlgorithm{jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A256CBC_HS512})
		check(t, err)
		if jwe.Header.KeyID != private.KID || jwe.Header.ExtraHeaders["cty"] != "JWT" {
			t.Errorf("header: %+v", jwe.Header)
		}
		inner, err := jwe.Decrypt(private.Signer)
		check(t, err)
		jws, err := jose.ParseSignedCompact(string(inner), []jose.SignatureAlgorithm{jose.ES256})
		check(t, err)
		_, err = jws.Verify(signing.Public)
		check(t, err)
		return claims(t, string(inner))
	}
	id, access := open(got.ID), open(got.Access)
	if id["sub"] != access["sub"] || id["email"] != "alice@example.com" || access["azp"] != "app" {
		t.Errorf("ID token %v, access token %v", id, access)
	}
	if strings.Contains(fmt.Sprint(got), "alice") {
		t.Error("readable")
	}
	status, info := w.userinfo(got.Access)
	if status != http.StatusOK || info["email"] != "alice@example.com" {
		t.Errorf("userinfo: %d %v", status, info)
	}
	var introspected map[string]any
	check(t, json.Unmarshal([]byte(w.post("introspect/", url.Values{"token": {got.Access}}).body), &introspected))
	if introspected["active"] != true || introspected["email"] != "alice@example.com" {
		t.Errorf("introspection: %v", introspected)
	}
	// What is not an access token of ours, in a wrapping.
	header, rest, _ := strings.Cut(got.Access, ".")
	jwe, err := jose.ParseEncryptedCompact(got.Access, []jose.KeyAlgorithm{jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A256CBC_HS512})
	check(t, err)
	inner, err := jwe.Decrypt(private.Signer)
	check(t, err)
	for name, token := range map[string]string{
		"ID token": got.ID, "inner token": string(inner), "header changed": header[:len(header)-20] + "AAAAAAAAAAAAAAAAAAAA." + rest,
		"no sealed header": enc(`{"alg":"RSA-OAEP-256"}`) + "." + rest, "garbage": "a.b.c.d.e", "garbage in the header": enc(`{"sealed":"AAAA"}`) + "." + rest,
	} {
		if status, _ := w.userinfo(token); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	var set jose.JSONWebKeySet
	check(t, json.Unmarshal([]byte(w.browser(nil).open("/application/o/app/jwks/").body), &set))
	if len(set.Keys) != 2 || set.Keys[0].Use != "sig" || set.Keys[1].Use != "enc" || set.Keys[1].Algorithm != "RSA-OAEP-256" {
		t.Errorf("JWKS: %+v", set.Keys)
	}
	doc := w.browser(nil).open("/application/o/app/.well-known/openid-configuration").body
	if !strings.Contains(doc, `"id_token_encryption_alg_values_supported"`) || !strings.Contains(doc, `"A256CBC-HS512"`) {
		t.Errorf("discovery: %s", doc)
	}
	if a := w.post("revoke/", url.Values{"token": {got.Access}}); a.StatusCode != http.StatusOK {
		t.Errorf("revoke: %d", a.StatusCode)
	}
	if status, _ := w.userinfo(got.Access); status != http.StatusUnauthorized {
		t.Errorf("revoked: %d", status)
	}
}

func TestPreview(t *testing.T) {
	w := newWorld(t)
	w.addMapping("minio", `return {"policy": "readwrite", "iss": "x"}`)
	got, _, err := w.op.Preview(w.ctx(), w.client, w.app, w.alice, nil)
	check(t, err)
	if got["policy"] != "readwrite" || got["email"] != "alice@example.com" || got["iss"] == "x" || got["iss"] == nil || got["aud"] != "app" {
		t.Errorf("%v", got)
	}
	if got, _, err = w.op.Preview(w.ctx(), w.client, nil, w.alice, nil); err != nil || got["iss"] != nil {
		t.Errorf("without an application: %v, %v", got["iss"], err)
	}
}

func TestClaimsOfAMapping(t *testing.T) {
	w := newWorld(t)
	for source, want := range map[string][]string{
		`return {"b": 1, "a": None, "iss": "x"}`: {"a", "b"},
		`return {"email": request.user.email}`:   {"email"},
		`return None`:                            nil,
		`return "x"`:                             nil,
		`return {"name": user.name}`:             {"name"}, // a user of whom nothing is known
		`return {"name": 1 / 0}`:                 nil,
		`return {`:                               nil,
	} {
		if got := w.op.Claims(w.ctx(), tenantID, &core.PropertyMapping{Expression: source}); !slices.Equal(got, want) {
			t.Errorf("%s: %v", source, got)
		}
	}
}
