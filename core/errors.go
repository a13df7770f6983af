package core

import "errors"

// Storage and the services return these, wrapped; test with errors.Is. A
// protocol package turns them into its own typed error in one place.
var (
	ErrNotFound = errors.New("not found")
	// ErrExists: a name, slug, client ID or identifier is taken.
	ErrExists = errors.New("already exists")
	// ErrConsumed: something that may be used once was used before.
	ErrConsumed = errors.New("already used")
	// ErrDenied: the person, or a rule, said no.
	ErrDenied = errors.New("denied")
	// ErrStale: what a decision needs is older than it may be.
	ErrStale = errors.New("stale")
	// ErrBusy: too much of the kind is under way. Trying again in some seconds is
	// the remedy.
	ErrBusy = errors.New("busy")
	// ErrUnavailable: a store cannot be asked, or does not take writes, at the moment.
	// Trying again in some seconds is the remedy.
	ErrUnavailable = errors.New("unavailable")
	// ErrInUse: it cannot be deleted while something refers to it.
	ErrInUse = errors.New("in use")

	// ErrAnswered: the HTTP response is already written; write no other.
	ErrAnswered = errors.New("response already written")
	// ErrLoginRequired: only a page could log the person in, and none may be
	// shown (prompt=none, OpenID Connect Core §3.1.2.6).
	ErrLoginRequired = errors.New("login required")
	// ErrConsentRequired: only a page could ask for consent, and none may be
	// shown.
	ErrConsentRequired = errors.New("consent required")
)

// Absent is an ErrNotFound for people: it says what is not there, and needs no more.
type Absent string

func (e Absent) Error() string { return string(e) }

// Is makes it an ErrNotFound.
func (Absent) Is(target error) bool { return target == ErrNotFound }

// FieldError refuses one field of an input. Field is the name the caller used
// ("slug", "redirect_uris"); Message says in a sentence what would be right.
type FieldError struct {
	Field   string
	Message string
	Err     error // a sentinel above, or nil
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Message }
func (e *FieldError) Unwrap() error { return e.Err }
