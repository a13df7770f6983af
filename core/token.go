package core

import "time"

// TokenIntent is what an API token may be used for.
type TokenIntent string

// The intents of the API. Only IntentAPI opens the REST API.
const (
	IntentVerification TokenIntent = "verification"
	IntentAPI          TokenIntent = "api"
	IntentRecovery     TokenIntent = "recovery"
	IntentAppPassword  TokenIntent = "app_password"
)

// ScopeAPI is the OAuth scope with which an access token opens the REST API as its
// user.
const ScopeAPI = "goauthentik.io/api"

// Token is a long random key that stands for a user: an API token, an app
// password, a recovery or set-up link. The key itself is kept encrypted, because
// the API shows it again, and found by its hash.
type Token struct {
	ID          string // UUIDv7
	Identifier  string // unique in the tenant
	Intent      TokenIntent
	User        UserID
	Managed     string
	Description string
	Expiring    bool
	Expires     time.Time // only where Expiring
	Created     time.Time
	Updated     time.Time
}

// Expired reports whether the token is past its time at now.
func (t *Token) Expired(now time.Time) bool { return t.Expiring && !now.Before(t.Expires) }
