package core

import "time"

// KeyPairID is a UUIDv7 in text form.
type KeyPairID string

// SelfSignedKeyPair is the name of the key pair that every tenant starts with:
// RSA 2048, so that RS256 works with every client.
const SelfSignedKeyPair = "authentik Self-signed Certificate"

// KeyPair is a certificate and, where we hold it, its private key.
type KeyPair struct {
	ID          KeyPairID
	Name        string // unique in the tenant
	Managed     string
	Certificate string // PEM, one or more certificates, leaf first
	// PrivateKey is PEM (PKCS #8), encrypted at rest; empty where only the
	// certificate is known.
	PrivateKey Secret
	Created    time.Time
	Updated    time.Time
}
