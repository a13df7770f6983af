package keys_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// Every curve, until both halves of a signature have begun with a zero once: their length is the
// curve's and not the number's. The library is the judge.
func TestSignaturesVerify(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	signers := map[jose.SignatureAlgorithm]crypto.Signer{jose.RS256: rsaKey}
	halves := map[jose.SignatureAlgorithm]int{jose.ES256: 32, jose.ES384: 48, jose.ES512: 66}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signers[map[int]jose.SignatureAlgorithm{256: jose.ES256, 384: jose.ES384, 521: jose.ES512}[curve.Params().BitSize]] = key
	}
	for alg, signer := range signers {
		key, err := keys.Parse(&core.KeyPair{PrivateKey: core.Secret(pkcs8(t, signer))})
		if err != nil {
			t.Fatal(err)
		}
		half := halves[alg]
		first, second := half == 0, half == 0
		for n := 0; n == 0 || !first || !second; n++ {
			if n == 20_000 {
				t.Fatalf("%s: no half of so many began with a zero", alg)
			}
			payload := fmt.Sprintf(`{"sub":"alice","n":%d}`, n)
			token, err := key.Sign([]byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := base64.RawURLEncoding.DecodeString(token[strings.LastIndexByte(token, '.')+1:])
			if err != nil || half > 0 && len(raw) != 2*half {
				t.Fatalf("%s: a signature of %d bytes, %v", alg, len(raw), err)
			}
			short := half > 0 && (raw[0] == 0 || raw[half] == 0)
			if n > 0 && !short {
				continue
			}
			if short {
				first, second = first || raw[0] == 0, second || raw[half] == 0
			}
			jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{alg})
			if err != nil {
				t.Fatalf("%s: %v\n%s", alg, err, token)
			}
			if got, err := jws.Verify(key.Public); err != nil || string(got) != payload {
				t.Fatalf("%s: %q, %v\n%s", alg, got, err, token)
			}
			if got := jws.Signatures[0].Header; got.KeyID != key.KID || got.ExtraHeaders["typ"] != "JWT" || got.Algorithm != string(alg) {
				t.Errorf("%s: header %+v", alg, got)
			}
		}
	}
}

// An ECDSA signature takes no chance (RFC 6979, RFC 8725 §3.2): signed again, a text has the same one, and
// a broken source of chance gives no key away.
func TestECDSATakesNoChance(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := keys.Parse(&core.KeyPair{PrivateKey: core.Secret(pkcs8(t, private))})
		if err != nil {
			t.Fatal(err)
		}
		of := func(payload string) string {
			token, err := key.Sign([]byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			return token[strings.LastIndexByte(token, '.'):]
		}
		if a, b := of("a"), of("a"); a != b {
			t.Errorf("%s: one text has the signatures %s and %s", curve.Params().Name, a, b)
		}
		if of("a")[:20] == of("b")[:20] { // the number that must not repeat would be the same
			t.Errorf("%s: two texts share the first half of their signatures", curve.Params().Name)
		}
	}
}

// What is no pair of numbers of the curve's length is refused, and none is cut.
func TestHalves(t *testing.T) {
	for der, want := range map[string]string{
		"300602010102 0102":              "0000000100000002",
		"30080203 00ff01 020102":         "0000ff0100000002",
		"300c0205 00ffeeddcc 020300bbaa": "ffeeddcc0000bbaa",
		"308106 020101 020102":           "0000000100000002",
		"300602010102010200":             "", // something after it
		"3009020101020102020103":         "", // three numbers
		"30080205 0102030405 020101":     "", // too long
		"3003020101":                     "",
		"310602010102 0102":              "",
		"3006020101020202":               "",
		"3082000602010102 0102":          "",
		"3080":                           "",
		"30":                             "",
		"":                               "",
	} {
		raw, err := hex.DecodeString(strings.ReplaceAll(der, " ", ""))
		if err != nil {
			t.Fatal(der, err)
		}
		got, err := keys.Halves(raw, 4)
		if hex.EncodeToString(got) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %x, %v", der, got, err)
		}
	}
}
