package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// Generate makes a private key and a certificate that it signs itself. alg is
// "rsa" (2048 bits), "ecdsa" (P-256) or "ed25519"; sans are host names, IP
// addresses or URIs; validity is 365 days where it is zero. The key pair's Name is
// commonName.
func Generate(alg, commonName string, sans []string, validity time.Duration, now time.Time) (*core.KeyPair, error) {
	return certify(func() (crypto.Signer, error) { return generateKey(alg) }, commonName, sans, validity, now)
}

func certify(key func() (crypto.Signer, error), commonName string, sans []string, validity time.Duration, now time.Time) (*core.KeyPair, error) {
	if commonName == "" || len(commonName) > 255 {
		return nil, &core.FieldError{Field: "common_name", Message: "The common name needs between 1 and 255 bytes."}
	}
	if validity == 0 {
		validity = 365 * 24 * time.Hour
	}
	if validity < 0 || validity > 100*365*24*time.Hour {
		return nil, &core.FieldError{Field: "validity_days", Message: "The validity must lie between 1 day and 100 years."}
	}
	signer, err := key()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{Subject: pkix.Name{
		CommonName: commonName, Organization: []string{"authentik"}, OrganizationalUnit: []string{"Self-signed"},
	}}
	if err := addNames(template, sans); err != nil {
		return nil, err
	}
	k, err := selfSign(signer, template, validity, now)
	if err != nil {
		return nil, err
	}
	k.Name = commonName
	return k, nil
}

// selfSign makes the certificate of a new key, with the names of template.
func selfSign(signer crypto.Signer, template *x509.Certificate, validity time.Duration, now time.Time) (*core.KeyPair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1)) // RFC 5280 §4.1.2.2: positive
	template.NotBefore = now.UTC().Truncate(time.Second)
	template.NotAfter = template.NotBefore.Add(validity)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if _, isRSA := signer.(*rsa.PrivateKey); isRSA { // SAML encrypts to it too
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, fmt.Errorf("encode the private key: %w", err)
	}
	return &core.KeyPair{
		Generated:   true,
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})),
		PrivateKey:  core.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}, nil
}

func generateKey(alg string) (crypto.Signer, error) {
	var signer crypto.Signer
	var err error
	switch alg {
	case "rsa":
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ecdsa":
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ed25519":
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, &core.FieldError{Field: "alg", Message: fmt.Sprintf("%q is not a valid choice; use rsa, ecdsa or ed25519.", alg)}
	}
	if err != nil {
		return nil, fmt.Errorf("generate a private key: %w", err)
	}
	return signer, nil
}

func addNames(template *x509.Certificate, sans []string) error {
	if len(sans) > 100 {
		return &core.FieldError{Field: "subject_alt_name", Message: "At most 100 names are taken."}
	}
	for _, san := range sans {
		san = strings.TrimSpace(san)
		if san == "" {
			continue
		}
		if ip := net.ParseIP(san); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		if strings.Contains(san, "://") {
			uri, err := url.Parse(san)
			if err != nil || uri.Host == "" {
				return &core.FieldError{Field: "subject_alt_name", Message: fmt.Sprintf("%q is not a URI.", san)}
			}
			template.URIs = append(template.URIs, uri)
			continue
		}
		// A wildcard is a name like another but for its first label.
		name, port, err := core.NormalizeHost(strings.TrimPrefix(san, "*."))
		if err != nil || port != "" {
			return &core.FieldError{Field: "subject_alt_name", Message: fmt.Sprintf("%q is not a host name, an IP address or a URI.", san)}
		}
		if strings.HasPrefix(san, "*.") {
			name = "*." + name
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	return nil
}
