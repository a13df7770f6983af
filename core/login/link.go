package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-sso/postern/core"
)

// SetupUser is the user that a new tenant is entered with.
const SetupUser = "akadmin"

// setupLife is how long a set-up link is good for.
const setupLife = time.Hour

// SetupLink returns a new link with which the password of SetupUser is set for
// the first time, good once and for an hour; it replaces an older one. Once
// that user has or had a password, or does not exist, set-up is closed for ever: "".
func (h *Handler) SetupLink(ctx context.Context, t *core.Tenant) (string, error) {
	u, err := h.Users.UserByName(ctx, t.ID, SetupUser)
	open := false
	if err == nil {
		open, err = h.setupOpen(ctx, t.ID, u)
	} else if errors.Is(err, core.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("look whether %s can be set up: %w", SetupUser, err)
	}
	if !open {
		return "", h.Store.CloseSetup(ctx, t.ID)
	}
	if err := h.Store.DeleteLinks(ctx, t.ID, u.ID, LinkSetup); err != nil {
		return "", fmt.Errorf("replace the set-up link: %w", err)
	}
	token, err := h.saveLink(ctx, t.ID, u.ID, LinkSetup, setupLife)
	if err != nil {
		return "", err
	}
	return t.Origin + withQuery(pathFlow+core.FlowInitialSetup+"/", "token", token), nil
}

// setupOpen reports whether a user never had a password, nor anybody who was set up before.
func (h *Handler) setupOpen(ctx context.Context, t core.TenantID, u *core.User) (bool, error) {
	closed, err := h.Store.SetupClosed(ctx, t)
	if err != nil || closed {
		return false, err
	}
	if !u.Active || !u.PasswordChanged.IsZero() || !u.LastLogin.IsZero() {
		return false, nil
	}
	hash, err := h.Store.PasswordHash(ctx, t, u.ID)
	if err != nil {
		return false, fmt.Errorf("find the password of %s: %w", u.UserName, err)
	}
	return hash == "", nil
}

// RecoveryLink returns a link that logs an active user in once, within validity,
// and lets them set a password. It ends when their password changes.
func (h *Handler) RecoveryLink(ctx context.Context, t *core.Tenant, user core.UserID, validity time.Duration) (string, error) {
	if validity <= 0 {
		return "", &core.FieldError{Field: "duration", Message: "A link must be valid for longer than no time."}
	}
	token, err := h.saveLink(ctx, t.ID, user, LinkRecovery, validity)
	if err != nil {
		return "", err
	}
	return t.Origin + pathLink + token + "/", nil
}

func (h *Handler) saveLink(ctx context.Context, t core.TenantID, u core.UserID, purpose string, validity time.Duration) (string, error) {
	token := core.RandomAlphanumeric(60)
	l := &Link{Hash: core.Hash(token), Purpose: purpose, User: u, Expires: h.now().Add(validity)}
	if err := h.Store.SaveLink(ctx, t, l); err != nil {
		return "", fmt.Errorf("save a link: %w", err)
	}
	return token, nil
}

// SetPassword sets a user's password, whoever asked for it, and ends all that
// the old one opened: sessions but keep, and links. A password that may not be
// set is a *core.FieldError; ErrBusy: try again.
func (h *Handler) SetPassword(ctx context.Context, t core.TenantID, u *core.User, password string, keep core.SessionID) error {
	h.init()
	hash, err := h.passwords.Hash(ctx, t, password)
	if err != nil {
		return err
	}
	// What the old password opened ends with it, even if the caller goes away now.
	ctx = context.WithoutCancel(ctx)
	if err := h.Store.SetPasswordHash(ctx, t, u.ID, hash, h.now()); err != nil {
		return fmt.Errorf("set a password: %w", err)
	}
	if u.UserName == SetupUser {
		if err := h.Store.CloseSetup(ctx, t); err != nil {
			return fmt.Errorf("close the set-up: %w", err)
		}
	}
	for _, purpose := range []string{LinkSetup, LinkRecovery} {
		if err := h.Store.DeleteLinks(ctx, t, u.ID, purpose); err != nil {
			return fmt.Errorf("end links after a new password: %w", err)
		}
	}
	if err := h.Sessions.EndUser(ctx, t, u.ID, keep); err != nil {
		return err
	}
	h.recordFor(ctx, t, core.Event{Time: h.now(), Action: core.EventPasswordSet, User: u.ID, UserName: u.UserName})
	return nil
}

func (h *Handler) serveSetup(w http.ResponseWriter, r *http.Request) {
	h.serveLink(w, r, LinkSetup, r.URL.Query().Get("token"))
}

func (h *Handler) serveRecovery(w http.ResponseWriter, r *http.Request, token string) {
	h.serveLink(w, r, LinkRecovery, token)
}

type linkPage struct {
	Setup    bool
	User     *core.User
	MinChars int
}

// serveLink shows the one form of a link; only its POST uses the link up, for
// mail scanners open links.
func (h *Handler) serveLink(w http.ResponseWriter, r *http.Request, purpose, token string) {
	if !h.allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	ctx, t := r.Context(), core.Request(r.Context()).Tenant.ID
	hash := core.Hash(token)
	u, err := h.linkUser(ctx, t, purpose, hash)
	if errors.Is(err, core.ErrNotFound) || errors.Is(err, core.ErrConsumed) {
		h.refuseLink(w, r)
		return
	}
	if err != nil {
		h.fail(w, r, "find a link", err)
		return
	}
	form := "link:" + token
	status, message := http.StatusOK, ""
	if r.Method == http.MethodPost {
		values, err := h.readForm(w, r, form, "")
		if err != nil && !errors.Is(err, errForm) {
			return
		}
		if err == nil {
			status, message = h.useLink(w, r, purpose, hash, u, values.Get("password"))
			if status == 0 {
				return
			}
		} else {
			status, message = http.StatusForbidden, staleForm
		}
	}
	v := h.view(r, "Set your password")
	v.Token, v.Alert = h.formToken(w, r, form, ""), message
	v.Data = linkPage{Setup: purpose == LinkSetup, User: u, MinChars: MinPassword}
	h.render(w, r, status, "link", v)
}

// useLink uses the link up and logs its user in. A status other than zero: the
// form is to be shown again, with the message.
func (h *Handler) useLink(w http.ResponseWriter, r *http.Request, purpose string, hash [32]byte, u *core.User, password string) (int, string) {
	ctx, t := r.Context(), core.Request(r.Context()).Tenant.ID
	// Set-up needs a password; who recovers may keep the one they have.
	if purpose == LinkSetup || password != "" {
		var field *core.FieldError
		if err := h.passwords.CheckNew(password); errors.As(err, &field) {
			return http.StatusUnprocessableEntity, field.Message
		}
	}
	l, err := h.Store.ConsumeLink(ctx, t, hash, h.now())
	switch {
	case errors.Is(err, core.ErrConsumed), errors.Is(err, core.ErrNotFound),
		err == nil && (l.Purpose != purpose || l.User != u.ID):
		h.refuseLink(w, r)
		return 0, ""
	case err != nil:
		h.fail(w, r, "use a link", err)
		return 0, ""
	}
	method := "otp"
	if password != "" {
		// The link is used up: whoever goes away now must not leave it so for nothing.
		if err := h.SetPassword(context.WithoutCancel(ctx), t, u, password, ""); err != nil {
			h.fail(w, r, "set a password", err)
			return 0, ""
		}
		if u, err = h.Users.User(ctx, t, u.ID); err != nil {
			h.fail(w, r, "find the user again", err)
			return 0, ""
		}
		method = "pwd"
	}
	h.record(ctx, core.Event{Action: core.EventRecoveryUsed, User: u.ID, UserName: u.UserName, Message: purpose})
	err = h.enter(w, r, u, method)
	if errors.Is(err, core.ErrStale) {
		h.refuseLink(w, r)
		return 0, ""
	}
	if err != nil {
		h.fail(w, r, "start a session", err)
		return 0, ""
	}
	h.redirect(w, r, pathPortal)
	return 0, ""
}

// linkUser finds whose unused link of the purpose this is. Whatever else it may
// be is core.ErrNotFound: one answer for all.
func (h *Handler) linkUser(ctx context.Context, t core.TenantID, purpose string, hash [32]byte) (*core.User, error) {
	l, err := h.Store.Link(ctx, t, hash)
	if err != nil {
		return nil, err
	}
	if l.Purpose != purpose || !h.now().Before(l.Expires) {
		return nil, core.ErrNotFound
	}
	u, err := h.Users.User(ctx, t, l.User)
	if err != nil {
		return nil, err
	}
	if !u.Active {
		return nil, core.ErrNotFound
	}
	if purpose == LinkSetup {
		open, err := h.setupOpen(ctx, t, u)
		if err != nil {
			return nil, err
		}
		if !open {
			return nil, core.ErrNotFound
		}
	}
	return u, nil
}

func (h *Handler) refuseLink(w http.ResponseWriter, r *http.Request) {
	h.Refuse(w, r, http.StatusNotFound, "This link does not work", "It may have been used already, or it is too old, or a part of it is missing. Ask for a new one.")
}
