package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"github.com/postern-sso/postern/core"
)

// Renew makes a new key of a pair's kind, and a certificate that it signs itself, with
// the names and the length of validity of the old one. alg, where it is not empty,
// asks for another kind: see Generate.
func Renew(kp *core.KeyPair, alg string, now time.Time) (*core.KeyPair, error) {
	old, err := Parse(kp)
	if err != nil {
		return nil, err
	}
	signer, err := sibling(old.Public)
	if alg != "" {
		signer, err = generateKey(alg)
	}
	if err != nil {
		return nil, err
	}
	template, validity := &x509.Certificate{Subject: pkix.Name{CommonName: kp.Name}}, 365*24*time.Hour
	if len(old.Certificates) > 0 {
		leaf := old.Certificates[0]
		template.RawSubject, template.Subject = leaf.RawSubject, leaf.Subject
		template.DNSNames, template.IPAddresses, template.URIs = leaf.DNSNames, leaf.IPAddresses, leaf.URIs
		validity = leaf.NotAfter.Sub(leaf.NotBefore)
	}
	k, err := selfSign(signer, template, validity, now)
	if err != nil {
		return nil, err
	}
	k.Name = kp.Name
	return k, nil
}

// sibling makes a key of the same kind and size.
func sibling(public crypto.PublicKey) (crypto.Signer, error) {
	var signer crypto.Signer
	var err error
	switch pub := public.(type) {
	case *rsa.PublicKey:
		signer, err = rsa.GenerateKey(rand.Reader, (pub.N.BitLen()+1023)/1024*1024)
	case *ecdsa.PublicKey:
		signer, err = ecdsa.GenerateKey(pub.Curve, rand.Reader)
	default:
		return generateKey("ed25519")
	}
	if err != nil {
		return nil, fmt.Errorf("generate a private key: %w", err)
	}
	return signer, nil
}

// SelfSigned reports whether the key vouches for itself: then a new one is as good.
// What an authority vouches for only that authority can renew.
func (k *Key) SelfSigned() bool {
	if len(k.Certificates) == 0 {
		return true
	}
	leaf := k.Certificates[0]
	return bytes.Equal(leaf.RawIssuer, leaf.RawSubject) &&
		leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil
}

// Expires is when the certificate ends; zero where there is none.
func (k *Key) Expires() time.Time {
	if len(k.Certificates) == 0 {
		return time.Time{}
	}
	return k.Certificates[0].NotAfter
}

// renewBefore is how long before its end a certificate is renewed, or its end warned
// of: 30 days, and not more than a third of its life.
func (k *Key) renewBefore() time.Duration {
	life := k.Expires().Sub(k.Certificates[0].NotBefore)
	return min(30*24*time.Hour, life/3)
}

// Due reports whether it is time to renew the certificate.
func (k *Key) Due(now time.Time) bool {
	return len(k.Certificates) > 0 && !now.Before(k.Expires().Add(-k.renewBefore()))
}
