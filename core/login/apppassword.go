package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-sso/postern/core"
)

// unguessable is how many bytes a key has that nobody comes upon by trying. Those that are made
// here have 60; whoever sets one may choose a shorter one.
const unguessable = 24

// AppPassword is whose name and app password these are, and when it expires (zero: never): a program's
// way in, at a guard. Anything that is not good is core.ErrDenied, and counted with
// the attempts at the login page, by account however it is named and by address; a wait above zero says
// that it may be right and is not taken now. A right key that nobody could guess is
// always taken: programs ask often, many at once, and whoever fails in their name must not
// keep them out. The context carries core.RequestInfo.
func (h *Handler) AppPassword(ctx context.Context, name, password string) (core.UserID, time.Time, time.Duration, error) {
	info := core.Request(ctx)
	t := info.Tenant.ID
	name = clip(name, 512)
	u, err := h.Users.UserByLogin(ctx, t, name)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return "", time.Time{}, 0, err
	}
	if err != nil {
		u = nil
	}
	// By the hash of a long random key: a table finds it, or does not, in the same time for all.
	token, err := h.Store.TokenByKey(ctx, t, core.Hash(password))
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return "", time.Time{}, 0, fmt.Errorf("find an app password: %w", err)
	}
	right := err == nil && u != nil && u.Active && token.User == u.ID && token.Intent == core.IntentAppPassword && !token.Expired(h.now())
	var expires time.Time
	if right && token.Expiring {
		expires = token.Expires
	}
	if right && len(password) >= unguessable {
		return u.ID, expires, 0, nil
	}
	a, wait, err := h.begin(ctx, t, rulesFor(accountKey(u, name), info.ClientIP, "", h.now()))
	if err != nil || wait > 0 {
		return "", time.Time{}, wait, err
	}
	defer a.land()
	if !right {
		h.record(ctx, core.Event{Action: core.EventLoginFailed, UserName: clip(name, 64), Message: "with an app password"})
		return "", time.Time{}, 0, errors.Join(fmt.Errorf("app password: %w", core.ErrDenied), a.failed(context.WithoutCancel(ctx)))
	}
	// Taken back, and what was counted before is not forgotten: a program that logs in all day
	// would clear the way for who tries passwords.
	if err := a.refund(ctx); err != nil {
		return "", time.Time{}, 0, err
	}
	return u.ID, expires, 0, nil
}
