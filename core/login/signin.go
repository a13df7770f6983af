package login

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-sso/postern/core"
)

// nobody stands for a user who does not exist where a store is asked in the same
// way for all.
const nobody core.UserID = "00000000-0000-7000-8000-000000000000"

type loginPage struct {
	Application string
	Name        string // what the name input holds
	Again       bool   // logged in, but not recently enough
	Left        bool   // just logged out
}

// serveLogin is the login form. Name and password are on one page, and the
// answer to a wrong one does not tell which was wrong.
func (h *Handler) serveLogin(w http.ResponseWriter, r *http.Request) {
	if !h.allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	next, _ := localPath(r, r.URL.Query().Get("next"))
	var need loginNeed
	if !h.open(core.Request(r.Context()).Tenant.ID, "need", next, r.URL.Query().Get("need"), &need) || !h.now().Before(need.Expires) {
		need = loginNeed{}
	}
	s, _, err := h.current(r)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		h.fail(w, r, "find the session", err)
		return
	}
	page := loginPage{Application: need.Application, Name: need.Hint, Again: s != nil, Left: r.URL.Query().Get("left") == "1"}
	if r.Method == http.MethodPost {
		h.signIn(w, r, page)
		return
	}
	if s != nil && !s.AuthTime.Before(need.Since) {
		h.redirect(w, r, h.next(r))
		return
	}
	h.loginForm(w, r, http.StatusOK, page, "")
}

func (h *Handler) loginForm(w http.ResponseWriter, r *http.Request, status int, page loginPage, alert string) {
	v := h.view(r, "Log in")
	v.Token, v.Alert, v.Data = h.formToken(w, r, "login", ""), alert, page
	h.render(w, r, status, "login", v)
}

func (h *Handler) signIn(w http.ResponseWriter, r *http.Request, page loginPage) {
	values, err := h.readForm(w, r, "login", "")
	if err != nil && !errors.Is(err, errForm) {
		return
	}
	name, password := values.Get("username"), values.Get("password")
	page.Name, page.Left = clip(name, 256), false
	if err != nil {
		h.loginForm(w, r, http.StatusForbidden, page, staleForm)
		return
	}
	if name == "" || password == "" {
		h.loginForm(w, r, http.StatusUnprocessableEntity, page, "Type your name and your password.")
		return
	}
	u, wait, err := h.authenticate(r, name, password)
	switch {
	case errors.Is(err, ErrBusy):
		w.Header().Set("Retry-After", "5")
		h.loginForm(w, r, http.StatusServiceUnavailable, page, "Many people are logging in right now. Please try again in some seconds.")
	case err != nil:
		h.fail(w, r, "log in", err)
	case wait > 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		h.loginForm(w, r, http.StatusTooManyRequests, page, "Too many attempts failed. Try again in "+waitText(wait)+".")
	case u == nil:
		h.record(r.Context(), core.Event{Action: core.EventLoginFailed, UserName: clip(name, 64)})
		h.loginForm(w, r, http.StatusUnprocessableEntity, page, "The name or the password is wrong.")
	default:
		err := h.enter(w, r, u, "pwd")
		if errors.Is(err, core.ErrStale) {
			h.loginForm(w, r, http.StatusUnprocessableEntity, page, "The name or the password is wrong.")
			return
		}
		if err != nil {
			h.fail(w, r, "start a session", err)
			return
		}
		h.redirect(w, r, h.next(r))
	}
}

// authenticate returns the active user whose name and password these are, or
// nil: for an unknown, an inactive and a password-less user after the same work as
// for a wrong password. A wait above zero: it was not even tried.
func (h *Handler) authenticate(r *http.Request, name, password string) (*core.User, time.Duration, error) {
	ctx, info := r.Context(), core.Request(r.Context())
	t := info.Tenant.ID
	name = clip(name, 512)
	u, err := h.Users.UserByLogin(ctx, t, name)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return nil, 0, err
	}
	id := nobody
	if err != nil {
		u = nil
	} else {
		id = u.ID
	}
	d := h.device(r)
	a, wait, err := h.begin(ctx, t, rulesFor(accountKey(u, name), info.ClientIP, d.knows(u), h.now()))
	if err != nil || wait > 0 {
		return nil, wait, err
	}
	defer a.land()
	hash, err := h.Store.PasswordHash(ctx, t, id)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return nil, 0, errors.Join(err, a.refund(ctx))
	}
	ok, rehash, err := h.passwords.Verify(ctx, t, hash, password)
	if errors.Is(err, ErrHash) {
		h.log().ErrorContext(ctx, "a password hash cannot be read", "tenant", t, "user", id, "request", info.ID)
		err = nil
	}
	if err != nil {
		return nil, 0, errors.Join(err, a.refund(context.WithoutCancel(ctx)))
	}
	if !ok || u == nil || !u.Active {
		return nil, 0, a.failed(context.WithoutCancel(ctx))
	}
	if err := a.succeeded(ctx); err != nil {
		return nil, 0, err
	}
	if rehash {
		h.rehash(ctx, t, id, hash, password)
	}
	return u, 0, nil
}

// rehash keeps the password under today's parameters. It can wait for another
// login, so that it fails is logged only.
func (h *Handler) rehash(ctx context.Context, t core.TenantID, id core.UserID, old, password string) {
	hash, err := h.passwords.hash(ctx, t, password)
	if err == nil {
		err = h.Store.RehashPassword(ctx, t, id, old, hash)
	}
	if err != nil {
		h.log().WarnContext(ctx, "hash a password anew", "tenant", t, "user", id, "error", err)
	}
}

// enter starts the session of a user who proved who they are. u is the user as
// known when the proof was looked at: with a password that was set since then the
// proof is core.ErrStale.
func (h *Handler) enter(w http.ResponseWriter, r *http.Request, u *core.User, method string) error {
	ctx, t := r.Context(), core.Request(r.Context()).Tenant.ID
	now := h.now()
	s, err := h.Sessions.Start(w, r, u, []core.Factor{{Method: method, At: now}})
	if err != nil {
		return err
	}
	// Asked after the session was saved: a new password is kept first and then ends
	// sessions, so either it meets this one or this meets it.
	after, err := h.Users.User(ctx, t, u.ID)
	if err == nil && !after.PasswordChanged.Equal(u.PasswordChanged) {
		err = fmt.Errorf("the password was changed meanwhile: %w", core.ErrStale)
	}
	if err != nil {
		return errors.Join(err, h.Sessions.EndSession(context.WithoutCancel(ctx), t, s.ID))
	}
	h.rememberDevice(w, r, u)
	e := h.event(ctx, core.Event{Action: core.EventLogin, User: u.ID, UserName: u.UserName})
	if err := h.Store.SetLastLogin(ctx, t, u.ID, now, &e); err != nil {
		h.log().ErrorContext(ctx, "record the login", "tenant", t, "user", u.ID, "request", requestID(ctx), "error", err)
	}
	return nil
}

// waitText rounds up, so that who waits as told gets in.
func waitText(d time.Duration) string {
	if d <= time.Minute {
		return count(int(math.Ceil(d.Seconds())), "second")
	}
	return count(int(math.Ceil(d.Minutes())), "minute")
}

func count(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}
