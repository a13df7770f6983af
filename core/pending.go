package core

import "time"

// Pending is what an outpost keeps, sealed in a cookie, of a login that it sent
// a browser to: one per attempt, so that several tabs do not disturb each other.
type Pending struct {
	State    string
	Nonce    string
	Verifier string // PKCE code verifier (RFC 7636 §4.1)
	Back     string // the URL that was asked for
	Expires  time.Time
}
