package keys

import (
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// The algorithms of Encrypt, as discovery names them.
const (
	EncryptionAlgorithm = jose.RSA_OAEP_256
	EncryptionContent   = jose.A256CBC_HS512
)

// ErrCannotEncrypt: only RSA keys encrypt.
var ErrCannotEncrypt = errors.New("tokens are encrypted by RSA-OAEP-256: the key must be an RSA key")

// Encrypt wraps a signed token in a JWE in compact form (RFC 7519 §11.2) that only
// the holder of the private key can read. extra goes into the protected header,
// readable to all.
func (k *Key) Encrypt(jwt string, extra map[jose.HeaderKey]any) (string, error) {
	public, ok := k.Public.(*rsa.PublicKey)
	if !ok {
		return "", ErrCannotEncrypt
	}
	options := (&jose.EncrypterOptions{}).WithType("JWT").WithContentType("JWT")
	for name, value := range extra {
		options = options.WithHeader(name, value)
	}
	encrypter, err := jose.NewEncrypter(EncryptionContent, jose.Recipient{Algorithm: EncryptionAlgorithm, Key: public, KeyID: k.KID}, options)
	if err != nil {
		return "", fmt.Errorf("make an encrypter: %w", err)
	}
	jwe, err := encrypter.Encrypt([]byte(jwt))
	if err != nil {
		return "", fmt.Errorf("encrypt: %w", err)
	}
	return jwe.CompactSerialize()
}

// EncryptionJWK is the public half as a JWKS publishes a key to encrypt to.
func (k *Key) EncryptionJWK() jose.JSONWebKey {
	jwk := k.JWK()
	jwk.Use, jwk.Algorithm = "enc", string(EncryptionAlgorithm)
	return jwk
}
