package keys_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

func clock() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 500, time.UTC) }

func pkcs8(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestGenerateParseSignVerify(t *testing.T) {
	for alg, want := range map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "ecdsa": jose.ES256, "ed25519": jose.EdDSA} {
		t.Run(alg, func(t *testing.T) {
			kp, err := keys.Generate(alg, core.SelfSignedKeyPair, []string{"auth.example.com", "*.example.com", "127.0.0.1", "https://x.example/"}, 24*time.Hour, clock())
			if err != nil {
				t.Fatal(err)
			}
			key, err := keys.Parse(kp)
			if err != nil {
				t.Fatal(err)
			}
			if key.Algorithm != want || len(key.KID) != 32 || len(key.Certificates) != 1 {
				t.Errorf("alg %s, kid %q, %d certificates", key.Algorithm, key.KID, len(key.Certificates))
			}
			cert := key.Certificates[0]
			if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
				t.Errorf("the certificate does not verify with its own key: %v", err)
			}
			if got := cert.NotAfter.Sub(cert.NotBefore); got != 24*time.Hour {
				t.Errorf("valid for %s", got)
			}
			if fmt.Sprint(cert.DNSNames, cert.IPAddresses, cert.URIs) != "[auth.example.com *.example.com] [127.0.0.1] [https://x.example/]" {
				t.Errorf("names: %v %v %v", cert.DNSNames, cert.IPAddresses, cert.URIs)
			}
			token, err := key.Sign([]byte(`{"a":1}`))
			if err != nil {
				t.Fatal(err)
			}
			jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{want})
			if err != nil {
				t.Fatal(err)
			}
			if h := jws.Signatures[0].Header; h.KeyID != key.KID || h.ExtraHeaders["typ"] != "JWT" {
				t.Errorf("header: %+v", h)
			}
			if got, err := jws.Verify(key.Public); err != nil || string(got) != `{"a":1}` {
				t.Errorf("verify: %q, %v", got, err)
			}
			again, err := keys.Parse(kp)
			if err != nil || again.KID != key.KID {
				t.Errorf("the kid changed from %s to %s, %v", key.KID, again.KID, err)
			}
		})
	}
}

// T-29
func TestJWKIsPublicOnly(t *testing.T) {
	kp, err := keys.Generate("rsa", "x", nil, 0, clock())
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Parse(kp)
	if err != nil {
		t.Fatal(err)
	}
	members := func(jwk jose.JSONWebKey) map[string]any {
		out, err := json.Marshal(jwk)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(out, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	allowed := "kty use alg kid n e x y crv x5c x5t x5t#S256"
	private := func(m map[string]any) (found []string) {
		for name := range m {
			if !strings.Contains(" "+allowed+" ", " "+name+" ") {
				found = append(found, name)
			}
		}
		return found
	}
	m := members(key.JWK())
	if found := private(m); found != nil {
		t.Errorf("the JWK holds %v", found)
	}
	for _, want := range []string{"kty", "use", "alg", "kid", "n", "e", "x5c", "x5t", "x5t#S256"} {
		if m[want] == nil {
			t.Errorf("the JWK has no %s: %v", want, m)
		}
	}
	// Control: this test sees a private member where there is one.
	if private(members(jose.JSONWebKey{Key: key.Signer})) == nil {
		t.Error("a private JWK passed for a public one")
	}
}

func TestParseTakesEveryForm(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	forms := map[string]jose.SignatureAlgorithm{
		pkcs8(t, rsaKey): jose.RS256,
		block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)): jose.RS256,
	}
	for curve, alg := range map[elliptic.Curve]jose.SignatureAlgorithm{elliptic.P256(): jose.ES256, elliptic.P384(): jose.ES384, elliptic.P521(): jose.ES512} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		forms[pkcs8(t, key)] = alg
		forms[block("EC PARAMETERS", []byte{6})+block("EC PRIVATE KEY", der)] = alg
	}
	for form, alg := range forms {
		key, err := keys.Parse(&core.KeyPair{PrivateKey: core.Secret(form)})
		if err != nil || key.Algorithm != alg {
			t.Errorf("%s: %v", form[:40], err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good, err := keys.Generate("ecdsa", "x", nil, 0, clock())
	if err != nil {
		t.Fatal(err)
	}
	other, err := keys.Generate("ecdsa", "x", nil, 0, clock())
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		certificate, private, field string
	}{
		"nothing":              {"", "", "certificate_data"},
		"not PEM":              {"hello", "", "certificate_data"},
		"a key as certificate": {string(good.PrivateKey), "", "certificate_data"},
		"broken certificate":   {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "", "certificate_data"},
		"broken second":        {good.Certificate + "-----BEGIN CERTIFICATE-----\nAA", "", "certificate_data"},
		"certificate as key":   {good.Certificate, good.Certificate, "key_data"},
		"chain of strangers":   {good.Certificate + other.Certificate, "", "certificate_data"},
		"someone else's key":   {good.Certificate, string(other.PrivateKey), "key_data"},
		"not a key":            {"", "hello", "key_data"},
		"curve":                {"", pkcs8(t, p224), "key_data"},
		"encrypted":            {"", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----", "key_data"},
		"too long":             {strings.Repeat("a", 300<<10), "", "certificate_data"},
	} {
		_, err := keys.Parse(&core.KeyPair{Certificate: row.certificate, PrivateKey: core.Secret(row.private)})
		var field *core.FieldError
		if !errors.As(err, &field) || field.Field != row.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := keys.Generate("dsa", "x", nil, 0, clock()); err == nil {
		t.Error("dsa was generated")
	}
	if _, err := keys.Generate("ecdsa", "x", []string{"a b"}, 0, clock()); err == nil {
		t.Error("a name with a space was taken")
	}
}

func TestCertificateOnlyCannotSign(t *testing.T) {
	kp, err := keys.Generate("ecdsa", "x", nil, 0, clock())
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Parse(&core.KeyPair{Certificate: kp.Certificate})
	if err != nil || key.Signer != nil {
		t.Fatalf("%v, %v", key, err)
	}
	if _, err := key.Sign([]byte("{}")); !errors.Is(err, keys.ErrNoPrivateKey) {
		t.Errorf("sign: %v", err)
	}
}

type store struct {
	mu    sync.Mutex
	pairs map[core.TenantID]*core.KeyPair
	reads int
}

func (s *store) KeyPair(_ context.Context, t core.TenantID, _ core.KeyPairID) (*core.KeyPair, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if kp := s.pairs[t]; kp != nil {
		cp := *kp
		return &cp, nil
	}
	return nil, fmt.Errorf("key pair: %w", core.ErrNotFound)
}

func (s *store) FormerKeys(context.Context, core.TenantID, core.ProviderID) ([]core.FormerKey, error) {
	return nil, nil
}

func TestRing(t *testing.T) {
	now := clock()
	a, err := keys.Generate("ecdsa", "a", nil, 0, now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := keys.Generate("ecdsa", "b", nil, 0, now)
	if err != nil {
		t.Fatal(err)
	}
	s := &store{pairs: map[core.TenantID]*core.KeyPair{"t_a": a, "t_b": b}}
	ring := &keys.Ring{Store: s, Now: func() time.Time { return now }}
	get := func(tenant core.TenantID) *keys.Key {
		t.Helper()
		key, err := ring.Key(t.Context(), tenant, "same-id")
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	first := get("t_a")
	if get("t_a") != first || s.reads != 1 {
		t.Errorf("not cached: %d reads", s.reads)
	}
	// the same ID in another tenant is another key.
	if get("t_b").KID == first.KID {
		t.Error("a key crossed tenants")
	}
	// A change is seen at once after Drop, and without it once recheck is over.
	s.pairs["t_a"] = b
	if get("t_a") != first {
		t.Error("read again too early")
	}
	ring.Drop("t_a", "same-id")
	if get("t_a").KID == first.KID {
		t.Error("Drop did not drop")
	}
	s.pairs["t_a"] = a
	now = now.Add(time.Minute)
	if get("t_a").KID != first.KID {
		t.Error("not read again after a minute")
	}
	// The same text again is not parsed again.
	again := get("t_a")
	now = now.Add(time.Minute)
	if get("t_a") != again {
		t.Error("parsed again without need")
	}
	delete(s.pairs, "t_a")
	ring.Drop("t_a", "")
	if _, err := ring.Key(t.Context(), "t_a", "same-id"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func TestMaster(t *testing.T) {
	if _, err := keys.NewMaster(bytes.Repeat([]byte("x"), 31)); err == nil {
		t.Error("a short secret was taken")
	}
	m, err := keys.NewMaster(bytes.Repeat([]byte("x"), 32))
	if err != nil {
		t.Fatal(err)
	}
	other, err := keys.NewMaster(bytes.Repeat([]byte("y"), 32))
	if err != nil {
		t.Fatal(err)
	}
	sealed := m.Seal("t_a", "p", "place", []byte("hello"))
	if got, err := m.Open("t_a", "p", "place", sealed); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := m.Open("t_a", "p", "place", bad); !errors.Is(err, keys.ErrSealed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for name, open := range map[string]func() ([]byte, error){
		"tenant":    func() ([]byte, error) { return m.Open("t_b", "p", "place", sealed) },
		"purpose":   func() ([]byte, error) { return m.Open("t_a", "q", "place", sealed) },
		"place":     func() ([]byte, error) { return m.Open("t_a", "p", "other", sealed) },
		"secret":    func() ([]byte, error) { return other.Open("t_a", "p", "place", sealed) },
		"truncated": func() ([]byte, error) { return m.Open("t_a", "p", "place", sealed[:10]) },
		"empty":     func() ([]byte, error) { return m.Open("t_a", "p", "place", nil) },
	} {
		if _, err := open(); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m.Fingerprint() == other.Fingerprint() {
		t.Error("two secrets have one fingerprint")
	}
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range []string{"rsa", "ecdsa", "ed25519"} {
		b.Run(alg, func(b *testing.B) {
			kp, err := keys.Generate(alg, "x", nil, 0, clock())
			if err != nil {
				b.Fatal(err)
			}
			key, err := keys.Parse(kp)
			if err != nil {
				b.Fatal(err)
			}
			payload := bytes.Repeat([]byte("x"), 600)
			for b.Loop() {
				if _, err := key.Sign(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
