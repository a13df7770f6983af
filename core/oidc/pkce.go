package oidc

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

const methodS256 = "S256"

// isChallenge reports whether s can be a code challenge of method S256: the
// base64url of 32 bytes without padding (RFC 7636 §4.2).
func isChallenge(s string) bool {
	sum, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(sum) == sha256.Size
}

// isVerifier reports whether s can be a code verifier: 43 to 128 unreserved
// characters (RFC 7636 §4.1).
func isVerifier(s string) bool {
	if len(s) < 43 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' && c != '~' {
			return false
		}
	}
	return true
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// checkVerifier compares the verifier of a token request with the challenge of
// the authorization request. A verifier without a challenge means that somebody
// took the challenge out of the client's request (RFC 9700 §4.8.2), so it is as
// wrong as a challenge without a verifier.
func checkVerifier(c *Code, verifier string) error {
	switch {
	case c.Challenge == "" && verifier == "":
		return nil
	case c.Challenge == "":
		return invalidGrant("A code_verifier was sent, but the authorization request had no code_challenge.")
	case c.Method != methodS256:
		return invalidGrant("The code was issued with a code_challenge_method that is not supported.")
	case !isVerifier(verifier):
		return invalidGrant("The code_verifier is missing, or is not 43 to 128 characters of those allowed.")
	case subtle.ConstantTimeCompare([]byte(challengeOf(verifier)), []byte(c.Challenge)) != 1:
		return invalidGrant("The code_verifier does not match the code_challenge.")
	}
	return nil
}
