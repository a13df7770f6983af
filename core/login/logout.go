package login

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-sso/postern/core"
)

// serveLogout asks whether to log out here, and does so. Its form also stands
// on "My applications".
func (h *Handler) serveLogout(w http.ResponseWriter, r *http.Request) {
	if !h.allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	s, u, err := h.current(r)
	if errors.Is(err, core.ErrNotFound) {
		h.loggedOut(w, r)
		return
	}
	if err != nil {
		h.fail(w, r, "find the session", err)
		return
	}
	status, message := http.StatusOK, ""
	if r.Method == http.MethodPost {
		_, err := h.readForm(w, r, formLogout, s.ID)
		if err == nil {
			if err := h.Sessions.End(w, r); err != nil {
				h.fail(w, r, "end the session", err)
				return
			}
			h.loggedOut(w, r)
			return
		}
		if !errors.Is(err, errForm) {
			return
		}
		status, message = http.StatusForbidden, staleForm
	}
	v := h.view(r, "Log out")
	v.Token, v.Alert, v.Data = h.formToken(w, r, formLogout, s.ID), message, u
	h.render(w, r, status, "logout", v)
}

const formLogout = "logout"

// loggedOut sends the browser to where next= says, else to the login form.
func (h *Handler) loggedOut(w http.ResponseWriter, r *http.Request) {
	to := pathFlow + core.FlowAuthentication + "/?left=1"
	if next, ok := localPath(r, r.URL.Query().Get("next")); ok {
		to = next
	}
	h.redirect(w, r, to)
}

// leaveNeed is what the page shows that asks before an application's logout.
type leaveNeed struct {
	Session     core.SessionID
	Place       string
	Application string
	EndLogin    bool
	Expires     time.Time
}

type leavePage struct {
	Application string
	EndLogin    bool
	User        *core.User
}

// Logout ends this browser's login where need.EndLogin, and asks the person
// first where not need.Confirmed. Nil: it is done, no response body is written,
// and the caller answers. core.ErrAnswered: the browser was sent to a page that
// asks, and comes back to need.ReturnTo. core.ErrDenied: the person chose to
// stay. A browser that is not logged in has nothing to confirm: nil.
func (h *Handler) Logout(w http.ResponseWriter, r *http.Request, need core.LogoutNeed) error {
	h.init()
	back, ok := localPath(r, need.ReturnTo)
	if !ok {
		return fmt.Errorf("log out: ReturnTo %q is not a path on this host", need.ReturnTo)
	}
	s, _, err := h.current(r)
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	if !need.Confirmed {
		t := core.Request(r.Context()).Tenant.ID
		place := fmt.Sprintf("%s\x00%s\x00%t", s.ID, need.Request, need.EndLogin)
		var a answer
		if !h.open(t, "logout", place, r.URL.Query().Get("logout"), &a) || !h.now().Before(a.Expires) {
			ask := leaveNeed{Session: s.ID, Place: place, Application: clip(need.Application, 200), EndLogin: need.EndLogin, Expires: h.now().Add(needLife)}
			to := withQuery(pathFlow+core.FlowProviderInvalidation+"/", "next", back)
			h.redirect(w, r, withQuery(to, "need", h.seal(t, "logout-need", back, ask)))
			return core.ErrAnswered
		}
		if !a.Yes {
			return fmt.Errorf("log out: %w", core.ErrDenied)
		}
	}
	if need.EndLogin {
		if err := h.Sessions.End(w, r); err != nil {
			return fmt.Errorf("log out: %w", err)
		}
	}
	return nil
}

// serveLeave asks before an application's logout is carried out.
func (h *Handler) serveLeave(w http.ResponseWriter, r *http.Request) {
	if !h.allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	back, ok := localPath(r, r.URL.Query().Get("next"))
	if !ok {
		h.LoggedOut(w, r, "", "", false)
		return
	}
	s, u, err := h.current(r)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		h.fail(w, r, "find the session", err)
		return
	}
	t := core.Request(r.Context()).Tenant.ID
	var need leaveNeed
	if s == nil || !h.open(t, "logout-need", back, r.URL.Query().Get("need"), &need) || need.Session != s.ID || !h.now().Before(need.Expires) {
		h.redirect(w, r, back)
		return
	}
	const form = "leave"
	status, message := http.StatusOK, ""
	if r.Method == http.MethodPost {
		values, err := h.readForm(w, r, form, s.ID)
		if err == nil {
			a := answer{Yes: values.Get("answer") == "leave" && !values.Has("stay"), Expires: h.now().Add(answerLife)}
			h.redirect(w, r, withQuery(back, "logout", h.seal(t, "logout", need.Place, a)))
			return
		}
		if !errors.Is(err, errForm) {
			return
		}
		status, message = http.StatusForbidden, staleForm
	}
	v := h.view(r, "Log out")
	v.Token, v.Alert = h.formToken(w, r, form, s.ID), message
	v.Data = leavePage{need.Application, need.EndLogin, u}
	h.render(w, r, status, "leave", v)
}

type loggedOutPage struct {
	Application string
	LaunchURL   string
	User        *core.User // still logged in here; nil: not
}

// LoggedOut writes the page that follows a logout which leads back nowhere.
// Where endLogin is false and the browser is still logged in, it has a button
// that ends that too. A launchURL that is no http or https URL is left out.
func (h *Handler) LoggedOut(w http.ResponseWriter, r *http.Request, application, launchURL string, endLogin bool) {
	h.init()
	page := loggedOutPage{Application: application}
	if to, ok := core.LinkTarget(launchURL); ok {
		page.LaunchURL = to
	}
	v := h.view(r, "Logged out")
	if !endLogin {
		if s, u, err := h.current(r); err == nil {
			page.User = u
			v.Token = h.formToken(w, r, formLogout, s.ID)
		}
	}
	v.Data = page
	h.render(w, r, http.StatusOK, "loggedout", v)
}
