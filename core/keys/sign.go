package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// ErrNoPrivateKey: the key pair holds a certificate only and cannot sign.
var ErrNoPrivateKey = errors.New("the key pair has no private key")

// Sign returns payload as a JWS in compact form (RFC 7515 §7.1), with alg, kid
// and "typ":"JWT" in its header. The library, which verifies, would make the header
// anew for each token, and takes a third of an ECDSA signature's time for it.
func (k *Key) Sign(payload []byte) (string, error) {
	if k.Signer == nil {
		return "", ErrNoPrivateKey
	}
	enc := base64.RawURLEncoding
	text := make([]byte, 0, len(k.header)+1+enc.EncodedLen(len(payload)))
	text = enc.AppendEncode(append(append(text, k.header...), '.'), payload)
	signature, err := k.signature(text)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", k.Algorithm, err)
	}
	return string(text) + "." + enc.EncodeToString(signature), nil
}

// signature is that of RFC 7518 §3.3 and §3.4, and RFC 8037 §3.1.
func (k *Key) signature(text []byte) ([]byte, error) {
	hash := crypto.SHA256
	switch k.Algorithm {
	case jose.EdDSA:
		return k.Signer.Sign(rand.Reader, text, crypto.Hash(0))
	case jose.ES384:
		hash = crypto.SHA384
	case jose.ES512:
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write(text)
	sum := h.Sum(nil)
	private, ok := k.Signer.(*ecdsa.PrivateKey)
	if !ok {
		return k.Signer.Sign(rand.Reader, sum, hash)
	}
	r, s, err := ecdsa.Sign(rand.Reader, private, sum)
	if err != nil {
		return nil, err
	}
	// Each half has the length of the curve's order, zeros in front.
	size := (private.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}
