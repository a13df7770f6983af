package policy

import (
	"time"

	"github.com/postern-sso/postern/core"
)

// BindingID is a UUIDv7 in text form.
type BindingID string

// TargetID is the ID of what a binding guards: an application's or an
// entitlement's.
type TargetID string

// DefaultTimeout is what a binding gets that names none.
const DefaultTimeout = 30 * time.Second

// Binding ties one user, one group or one expression policy to a target. Exactly
// one of Policy, Group and User is set. What they name may have been deleted since:
// the binding stays, so that a deleted group does not open an application to
// everybody, and does not pass.
type Binding struct {
	ID     BindingID
	Target TargetID
	Policy core.PolicyID
	Group  core.GroupID // passes for members of the group and of those below it
	User   core.UserID
	// Negate turns a result around. It does not touch FailureResult.
	Negate  bool
	Enabled bool
	Order   int64
	// Timeout bounds a run of Policy, in whole seconds. Zero: the bounds that every
	// expression has are the only ones.
	Timeout time.Duration
	// FailureResult is the result where Policy cannot be run to its end: an
	// exception, a limit, a timeout. Default false: it does not pass.
	FailureResult bool
	Created       time.Time
	Updated       time.Time
}

// Rule is an enabled binding with what it names, as a decision needs it.
type Rule struct {
	Binding
	// Name is the policy's, the group's or the user's. Empty where Gone.
	Name string
	// Gone: what the binding names was deleted.
	Gone bool
	// Source and Logging are the expression policy's.
	Source  string
	Logging bool
}
