package core

import "context"

// Delegation marks what is done with delegated rights: by a user who is not a
// superuser. A store refuses, with ErrDenied and within the transaction of the
// write, what By may not do:
//
//   - anything, where By is no longer active or no longer has all of Needs and NeedsOn;
//   - changing a user, group, role or token that has more rights than By, or that
//     would have more afterwards;
//   - changing a mapping that releases ScopeAPI, or a provider that uses one: with
//     it, whoever logs in at that provider lends it their own rights here;
//   - changing a mapping that names ak_create_jwt or ak_create_jwt_raw, or a provider that
//     uses one: it signs in the name of providers that By may have no right to.
//
// So nobody comes to a right that By does not have.
type Delegation struct {
	By      UserID
	Needs   []Permission
	NeedsOn []ObjectRight // each on its object, or on all
}

type delegationKey struct{}

// WithDelegation makes what is done with the context done by d.
func WithDelegation(ctx context.Context, d *Delegation) context.Context {
	return context.WithValue(ctx, delegationKey{}, d)
}

// DelegationOf returns nil where the context carries none: the server's own work, and
// that of superusers.
func DelegationOf(ctx context.Context) *Delegation {
	d, _ := ctx.Value(delegationKey{}).(*Delegation)
	return d
}
