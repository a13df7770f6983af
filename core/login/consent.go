package login

import (
	"errors"
	"net/http"
	"time"

	"github.com/postern-sso/postern/core"
)

// consentNeed is what the consent page shows, and where the answer belongs.
type consentNeed struct {
	Session     core.SessionID
	Place       string
	Application string
	Scopes      []core.ConsentScope
	Expires     time.Time
}

type consentPage struct {
	Application string
	User        *core.User
	Scopes      []core.ConsentScope
	Again       bool // some were agreed to before, the others are marked
}

// serveConsent asks whether an application may know what it asks for.
func (h *Handler) serveConsent(w http.ResponseWriter, r *http.Request) {
	if !h.allow(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	back, ok := localPath(r, r.URL.Query().Get("next"))
	if !ok {
		h.redirect(w, r, pathPortal)
		return
	}
	s, u, ok := h.person(w, r)
	if !ok {
		return
	}
	t := core.Request(r.Context()).Tenant.ID
	var need consentNeed
	if !h.open(t, "consent-need", back, r.URL.Query().Get("need"), &need) || need.Session != s.ID || !h.now().Before(need.Expires) {
		// Asked in another login, or long ago: whoever asked asks again.
		h.redirect(w, r, back)
		return
	}
	const form = "consent"
	page := consentPage{Application: need.Application, User: u, Scopes: need.Scopes}
	for _, scope := range need.Scopes {
		page.Again = page.Again || scope.Granted
	}
	status, message := http.StatusOK, ""
	if r.Method == http.MethodPost {
		values, err := h.readForm(w, r, form, s.ID)
		if err == nil {
			a := answer{Yes: values.Get("answer") == "allow" && !values.Has("deny"), Expires: h.now().Add(answerLife)}
			h.redirect(w, r, withQuery(back, "consent", h.seal(t, "consent", need.Place, a)))
			return
		}
		if !errors.Is(err, errForm) {
			return
		}
		status, message = http.StatusForbidden, staleForm
	}
	v := h.view(r, "Allow access")
	v.Token, v.Alert, v.Data = h.formToken(w, r, form, s.ID), message, page
	h.render(w, r, status, "consent", v)
}

// staleForm is said where a form's token does not fit.
const staleForm = "This page was open for too long, or your browser does not keep cookies. Please try again."
