package keys

import (
	"bytes"
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
	var room [512]byte // for the signature of an RSA key of 3072 bits
	return string(text) + "." + string(enc.AppendEncode(room[:0], signature)), nil
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
	// Without a source of chance: what must never repeat nor be guessed then follows from the key and the
	// text (RFC 6979), as RFC 8725 §3.2 wants it. Drawing it as well takes a quarter of the time.
	der, err := private.Sign(nil, sum, hash)
	if err != nil {
		return nil, err
	}
	return halves(der, (private.Params().BitSize+7)/8)
}

var errDER = errors.New("the signature is no pair of numbers of the curve's length")

// halves turns an ECDSA signature from DER, as the standard library gives it, into two numbers of size
// bytes, zeros in front (RFC 7518 §3.4).
func halves(der []byte, size int) ([]byte, error) {
	pair, rest, ok := element(der, 0x30)
	r, pair, isR := element(pair, 0x02)
	s, pair, isS := element(pair, 0x02)
	r, s = bytes.TrimLeft(r, "\x00"), bytes.TrimLeft(s, "\x00")
	if !ok || !isR || !isS || len(rest) > 0 || len(pair) > 0 || len(r) > size || len(s) > size {
		return nil, errDER
	}
	out := make([]byte, 2*size)
	copy(out[size-len(r):], r)
	copy(out[2*size-len(s):], s)
	return out, nil
}

// element cuts what a DER element of this tag holds, of 255 bytes at most, from what follows it.
func element(der []byte, tag byte) (holds, rest []byte, ok bool) {
	if len(der) < 2 || der[0] != tag {
		return nil, nil, false
	}
	n, der := int(der[1]), der[2:]
	if n == 0x81 && len(der) > 0 { // the length has a byte of its own
		n, der = int(der[0]), der[1:]
	} else if n > 0x7f {
		return nil, nil, false
	}
	if n > len(der) {
		return nil, nil, false
	}
	return der[:n], der[n:], true
}
