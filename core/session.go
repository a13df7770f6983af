package core

import (
	"slices"
	"time"
)

// SessionID is public: it names a session in lists and events and is the input
// of the sid claim. It is not what the cookie holds.
type SessionID string

// Factor is one way in which a person proved who they are, and when.
type Factor struct {
	Method string // an Authentication Method Reference (RFC 8176): "pwd", "otp", "hwk", …
	At     time.Time
}

// Session is a browser's login at the tenant. One made for a guarded application
// is the child of the login it came from and ends with it.
type Session struct {
	ID       SessionID
	User     UserID
	AuthTime time.Time // of the last full login
	Factors  []Factor
	ACR      string

	Parent      SessionID     // empty: a login itself
	Application ApplicationID // of a child: the application it is good for, and no other

	Address   string // client address at login
	UserAgent string // at most 256 bytes
	Created   time.Time
	LastSeen  time.Time // within a minute or so
	// Expires is the absolute end. Idle is how long it may rest before it ends
	// sooner; zero: no such limit.
	Expires time.Time
	Idle    time.Duration
}

// Alive reports whether the session may be used at now. A clock that jumps back
// does not revive one: the store drops a session at its end.
func (s *Session) Alive(now time.Time) bool {
	return now.Before(s.Expires) && (s.Idle == 0 || now.Before(s.LastSeen.Add(s.Idle)))
}

// AMR is the amr claim (OpenID Connect Core §2): each method once.
func (s *Session) AMR() []string {
	var out []string
	for _, f := range s.Factors {
		if !slices.Contains(out, f.Method) {
			out = append(out, f.Method)
		}
	}
	return out
}

// Need says how fresh and how strong a login must be, and what must have been
// agreed to. Its zero value asks for any live session.
type Need struct {
	// ReturnTo is a path and query on this origin to which the browser comes
	// back for the same request. Required.
	ReturnTo string
	// MaxAge: the login must not be older (max_age). Negative: no such limit.
	// Zero means a login now, so LoggedInSince must be set with it.
	MaxAge time.Duration
	// LoggedInSince: the login must not be before it (prompt=login: the time the
	// request was first seen). Zero: no such limit.
	LoggedInSince time.Time
	// Silent: no page may be shown (prompt=none). What is missing is then
	// ErrLoginRequired or ErrConsentRequired.
	Silent bool
	// LoginHint prefills the name.
	LoginHint string
	// Application is shown on the login page: what the person is logging in to.
	Application string
	// Consent asks for agreement. Nil: none is needed.
	Consent *ConsentNeed
}

// ConsentNeed names what a person is asked to agree to.
type ConsentNeed struct {
	ClientID    string
	Application string         // name shown
	Scopes      []ConsentScope // all that the client asks for
	// Request binds an answer to one authorization request: an answer given
	// to another is not taken.
	Request string
}

// ConsentScope is one line of the consent page.
type ConsentScope struct {
	Name        string
	Description string // empty: not shown
	Granted     bool   // agreed to before
}

// LogoutNeed is what a relying party asked for at its end-session endpoint
// (OpenID Connect RP-Initiated Logout 1.0), checked.
type LogoutNeed struct {
	// ReturnTo is a path and query on this origin to which the browser comes
	// back for the same request once the person has answered. Required.
	ReturnTo string
	// Request binds an answer to one logout request: an answer given to another
	// is not taken.
	Request string
	// Confirmed: an ID token of this very login was shown with the request, so
	// that no other site can have made it up. The person is not asked.
	Confirmed bool
	// EndLogin: the login at the tenant ends, with everything that hangs from
	// it. Otherwise only the application is left, and the login stays.
	EndLogin bool
	// Application is the name shown of what is being left.
	Application string
}
