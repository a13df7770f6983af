package keys

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/postern-sso/postern/core"
)

// maxPEM bounds what Parse reads: a chain of certificates is a few KiB long.
const maxPEM = 256 << 10

// Parse reads a key pair: certificates, a private key in PKCS #8, PKCS #1 or
// SEC 1 form, or both. A private key that does not belong to the first
// certificate is refused. Errors are *core.FieldError with the API's field names,
// certificate_data and key_data.
func Parse(kp *core.KeyPair) (*Key, error) {
	certificates, err := parseCertificates(kp.Certificate)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(kp.PrivateKey)) == "" {
		if len(certificates) == 0 {
			return nil, &core.FieldError{Field: "certificate_data", Message: "There is neither a certificate nor a private key."}
		}
		return newKey(certificates[0].PublicKey, nil, certificates)
	}
	signer, err := parsePrivateKey(string(kp.PrivateKey))
	if err != nil {
		return nil, err
	}
	if len(certificates) > 0 && !samePublicKey(certificates[0].PublicKey, signer.Public()) {
		return nil, &core.FieldError{Field: "key_data", Message: "The private key does not belong to the certificate."}
	}
	return newKey(signer.Public(), signer, certificates)
}

func parseCertificates(text string) ([]*x509.Certificate, error) {
	refuse := func(message string) error {
		return &core.FieldError{Field: "certificate_data", Message: message}
	}
	if len(text) > maxPEM {
		return nil, refuse("This is too long for a chain of certificates.")
	}
	var out []*x509.Certificate
	rest := bytes.TrimSpace([]byte(text))
	for len(rest) > 0 {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			if len(out) > 0 && !bytes.Contains(rest, []byte("-----BEGIN")) {
				break // remarks after the last certificate
			}
			return nil, refuse("This is not PEM: it should begin with -----BEGIN CERTIFICATE-----.")
		}
		if block.Type != "CERTIFICATE" {
			return nil, refuse("A PEM block of type " + block.Type + " stands where a certificate should.")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, refuse("A certificate cannot be read: " + err.Error() + ".")
		}
		if len(out) > 0 && !vouches(cert, out[len(out)-1]) {
			return nil, refuse(fmt.Sprintf("Certificate %d of the chain did not issue the one before it: put the one that belongs to the key first, and after each its issuer.", len(out)+1))
		}
		out = append(out, cert)
		rest = bytes.TrimSpace(rest)
	}
	return out, nil
}

// vouches reports whether issuer signed cert. Whether it may is for whoever trusts the
// chain to say.
func vouches(issuer, cert *x509.Certificate) bool {
	return bytes.Equal(issuer.RawSubject, cert.RawIssuer) &&
		issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

func parsePrivateKey(text string) (crypto.Signer, error) {
	refuse := func(message string) error {
		return &core.FieldError{Field: "key_data", Message: message}
	}
	if len(text) > maxPEM {
		return nil, refuse("This is too long for a private key.")
	}
	rest := []byte(text)
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return nil, refuse("There is no private key in PEM form: it should begin with -----BEGIN PRIVATE KEY-----.")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, refuse("The private key is encrypted; give it without a passphrase.")
			}
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, refuse("The private key is encrypted; give it without a passphrase.")
			}
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "EC PARAMETERS": // openssl ecparam writes it before the key
			continue
		case "ENCRYPTED PRIVATE KEY":
			return nil, refuse("The private key is encrypted; give it without a passphrase.")
		default:
			return nil, refuse("A PEM block of type " + block.Type + " stands where a private key should.")
		}
		if err != nil {
			return nil, refuse("The private key cannot be read.") // never an error text that could quote it
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, refuse("This kind of key cannot sign; use RSA, ECDSA or Ed25519.")
		}
		return signer, nil
	}
}

func samePublicKey(a, b crypto.PublicKey) bool {
	eq, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && eq.Equal(b)
}
