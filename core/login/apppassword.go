package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-sso/postern/core"
)

// AppPassword is whose name and app password these are: a program's way in, at a guard. Anything that is
// not good is core.ErrDenied. It is counted with the attempts at the login page, by
// account however it is named and by address; a wait above zero says that it was not even
// tried. The context carries core.RequestInfo.
func (h *Handler) AppPassword(ctx context.Context, name, password string) (core.UserID, time.Duration, error) {
	info := core.Request(ctx)
	t := info.Tenant.ID
	name = clip(name, 512)
	u, err := h.Users.UserByLogin(ctx, t, name)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return "", 0, err
	}
	if err != nil {
		u = nil
	}
	a, wait, err := h.begin(ctx, t, rulesFor(accountKey(u, name), info.ClientIP, "", h.now()))
	if err != nil || wait > 0 {
		return "", wait, err
	}
	// By the hash of a long random key: a table finds it, or does not, in the same time for all.
	token, err := h.Store.TokenByKey(ctx, t, core.Hash(password))
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return "", 0, errors.Join(err, a.refund(context.WithoutCancel(ctx)))
	}
	if err != nil || u == nil || !u.Active || token.User != u.ID || token.Intent != core.IntentAppPassword || token.Expired(h.now()) {
		h.record(ctx, core.Event{Action: core.EventLoginFailed, UserName: clip(name, 64), Message: "with an app password"})
		return "", 0, errors.Join(fmt.Errorf("app password: %w", core.ErrDenied), a.failed(context.WithoutCancel(ctx)))
	}
	// Taken back, and what was counted before is not forgotten: a program that logs in all day
	// would clear the way for who tries passwords.
	if err := a.refund(ctx); err != nil {
		return "", 0, err
	}
	return u.ID, 0, nil
}
