// Package keys holds a tenant's keys: those that sign what is issued, and the
// symmetric ones that seal what is kept or handed out.
package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // x5t is defined with SHA-1 (RFC 7517 §4.8); nothing trusts it
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-sso/postern/core"
)

// Key is one asymmetric key, ready to sign with. It is safe for concurrent use.
type Key struct {
	// KID names the key in tokens and in the JWKS: the first half of the SHA-256
	// of its public key, in hex, so that it is the same wherever the key is used.
	KID string
	// Algorithm is the one that the key signs with: RS256, ES256, ES384, ES512 or
	// EdDSA.
	Algorithm jose.SignatureAlgorithm
	Public    crypto.PublicKey
	// Signer is nil where only the certificate is known.
	Signer       crypto.Signer
	Certificates []*x509.Certificate // leaf first; may be empty

	header string // of a JWS that the key signs, encoded
}

// newKey works out what follows from a public key.
func newKey(public crypto.PublicKey, signer crypto.Signer, certificates []*x509.Certificate) (*Key, error) {
	algorithm, err := algorithmOf(public)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(spki)
	k := &Key{
		KID: hex.EncodeToString(sum[:16]), Algorithm: algorithm,
		Public: public, Signer: signer, Certificates: certificates,
	}
	// Neither of the two holds what JSON would escape.
	k.header = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"%s","kid":"%s","typ":"JWT"}`, algorithm, k.KID))
	return k, nil
}

// JWK is the public half, as a JWKS publishes it (RFC 7517 §4). It never holds
// a private member.
func (k *Key) JWK() jose.JSONWebKey {
	jwk := jose.JSONWebKey{
		Key: k.Public, KeyID: k.KID, Algorithm: string(k.Algorithm), Use: "sig",
		Certificates: k.Certificates,
	}
	if len(k.Certificates) > 0 {
		thumb1 := sha1.Sum(k.Certificates[0].Raw) //nolint:gosec // as above
		thumb256 := sha256.Sum256(k.Certificates[0].Raw)
		jwk.CertificateThumbprintSHA1 = thumb1[:]
		jwk.CertificateThumbprintSHA256 = thumb256[:]
	}
	return jwk
}

// maxRSA is the most bits that an RSA key may have, as in crypto/tls.
const maxRSA = 8192

// algorithmOf is the one algorithm a key signs with. One key, one algorithm: a
// token that names another is refused without a look at its signature.
func algorithmOf(public crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	switch pub := public.(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < 2048 {
			return "", &core.FieldError{Field: "key_data", Message: fmt.Sprintf("This RSA key has %d bits; it needs at least 2048.", pub.N.BitLen())}
		}
		if pub.N.BitLen() > maxRSA {
			return "", &core.FieldError{Field: "key_data", Message: fmt.Sprintf("This RSA key has %d bits; more than %d make each signature too slow.", pub.N.BitLen(), maxRSA)}
		}
		return jose.RS256, nil
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			return jose.ES256, nil
		case elliptic.P384():
			return jose.ES384, nil
		case elliptic.P521():
			return jose.ES512, nil
		}
		return "", &core.FieldError{Field: "key_data", Message: fmt.Sprintf("The curve %s is not supported; use P-256, P-384 or P-521.", pub.Curve.Params().Name)}
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	}
	return "", &core.FieldError{Field: "key_data", Message: "This kind of key is not supported; use RSA, ECDSA or Ed25519."}
}
