package core

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
)

// Secret is text that must not reach a log line, an error, an event or an
// answer by accident: it prints, logs and marshals as "[redacted]". string(s) is
// the way to the text, and easy to search for.
type Secret string

const redacted = "[redacted]"

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// RandomToken returns n bytes of crypto/rand in URL-safe base64 without padding.
func RandomToken(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// RandomAlphanumeric returns n characters of [A-Za-z0-9], each chosen evenly
// by crypto/rand: the alphabet of authentik's client secrets and token keys.
func RandomAlphanumeric(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, n)
	buf := make([]byte, n+n/4+8)
	for {
		rand.Read(buf) // never fails: it ends the program instead
		for _, b := range buf {
			if b >= 248 { // 4*62: a larger byte would favour the first letters
				continue
			}
			if out = append(out, alphabet[b%62]); len(out) == n {
				return string(out)
			}
		}
	}
}

// Hash is how a random token is kept: SHA-256 is right for what is random and
// long; a password is not, and goes through argon2id.
func Hash(token string) [32]byte {
	var room [128]byte // most fit, so that nothing is allocated for each request
	return sha256.Sum256(append(room[:0], token...))
}
