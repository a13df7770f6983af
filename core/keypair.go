package core

import "time"

// KeyPairID is a UUIDv7 in text form.
type KeyPairID string

// SelfSignedKeyPair is the name of the key pair that every tenant starts with:
// RSA 2048, so that RS256 works with every client.
const SelfSignedKeyPair = "authentik Self-signed Certificate"

// KeyPair is a certificate and, where we hold it, its private key. It keeps its ID
// while its key is replaced: what refers to it need not change.
type KeyPair struct {
	ID          KeyPairID
	Name        string // unique in the tenant
	Managed     string
	Certificate string // PEM, one or more certificates, leaf first
	// PrivateKey is PEM (PKCS #8), encrypted at rest; empty where only the
	// certificate is known.
	PrivateKey Secret
	// Generated: key and certificate were made here, and are renewed here before the
	// certificate expires.
	Generated bool
	// SignsFrom is when a key that replaced another begins to sign: until then it is
	// only published, and the newest of Former signs. Zero: it signs.
	SignsFrom time.Time
	// TokenLife is the longest validity of a token that may have been signed.
	TokenLife time.Duration
	// Former are the keys that it replaced and whose tokens may still be valid, newest
	// first. Lists leave it out.
	Former  []FormerKey
	Created time.Time
	Updated time.Time
}

// FormerKey is a key that was replaced: it goes on being published and verifies what
// it signed.
type FormerKey struct {
	ID          string // UUIDv7; set when it is saved
	Certificate string
	PrivateKey  Secret // empty once it signs no more
	// SignsUntil is when the key that replaced it begins to sign.
	SignsUntil time.Time
	// VerifiesUntil is when the last token that it signed has expired.
	VerifiesUntil time.Time
}
