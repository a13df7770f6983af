package login

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-sso/postern/core"
)

// needLife is how long a page of Require may stay open; after that it is shown
// without what it was for, and Require asks again.
const needLife = 24 * time.Hour

// loginNeed is what the login form must know of a core.Need. Whether it is met
// is judged by Require alone, when the browser comes back.
type loginNeed struct {
	Application string    `json:",omitempty"`
	Hint        string    `json:",omitempty"`
	Since       time.Time `json:",omitzero"` // an older login does not do
	Expires     time.Time
}

// Require returns a session that meets need. An error of core.ErrAnswered: the
// browser was sent to a page, and comes back to need.ReturnTo. core.ErrDenied: the
// person refused consent. core.ErrLoginRequired and core.ErrConsentRequired
// come only where need.Silent. Any other error: the store could not be asked.
func (h *Handler) Require(w http.ResponseWriter, r *http.Request, need core.Need) (*core.Session, error) {
	h.init()
	back, ok := localPath(r, need.ReturnTo)
	if !ok {
		return nil, fmt.Errorf("require a login: ReturnTo %q is not a path on this host", need.ReturnTo)
	}
	s, u, err := h.current(r)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return nil, fmt.Errorf("require a login: %w", err)
	}
	now := h.now()
	if s == nil || !fresh(s, need, now) {
		if need.Silent {
			return nil, core.ErrLoginRequired
		}
		page := loginNeed{Application: clip(need.Application, 200), Hint: clip(need.LoginHint, 200), Expires: now.Add(needLife)}
		if s != nil {
			page.Since = need.LoggedInSince
			if limit := now.Add(-need.MaxAge); need.MaxAge > 0 && limit.After(page.Since) {
				page.Since = limit
			}
			if page.Hint == "" {
				page.Hint = u.UserName
			}
		}
		to := withQuery(pathFlow+core.FlowAuthentication+"/", "next", back)
		h.redirect(w, r, withQuery(to, "need", h.seal(core.Request(r.Context()).Tenant.ID, "need", back, page)))
		return nil, core.ErrAnswered
	}
	if need.Consent != nil {
		return h.requireConsent(w, r, s, need, back)
	}
	return s, nil
}

// fresh reports whether the login is recent enough.
func fresh(s *core.Session, need core.Need, now time.Time) bool {
	if s.AuthTime.Before(need.LoggedInSince) {
		return false
	}
	return need.MaxAge <= 0 || now.Sub(s.AuthTime) <= need.MaxAge
}

// answer is what a person said on a page, on its way back to the request that
// asked.
type answer struct {
	Yes     bool
	Expires time.Time
}

// answerLife is how long the way back may take.
const answerLife = 10 * time.Minute

func (h *Handler) requireConsent(w http.ResponseWriter, r *http.Request, s *core.Session, need core.Need, back string) (*core.Session, error) {
	t := core.Request(r.Context()).Tenant.ID
	place := consentPlace(s.ID, need.Consent)
	var a answer
	if h.open(t, "consent", place, r.URL.Query().Get("consent"), &a) && h.now().Before(a.Expires) {
		if !a.Yes {
			return nil, fmt.Errorf("consent: %w", core.ErrDenied)
		}
		return s, nil
	}
	if need.Silent {
		return nil, core.ErrConsentRequired
	}
	ask := consentNeed{Session: s.ID, Place: place, Application: clip(need.Consent.Application, 200), Expires: h.now().Add(needLife)}
	for i, scope := range need.Consent.Scopes {
		if scope.Description == "" {
			continue
		}
		if i >= 100 {
			break
		}
		ask.Scopes = append(ask.Scopes, core.ConsentScope{Name: clip(scope.Name, 100), Description: clip(scope.Description, 200), Granted: scope.Granted})
	}
	to := withQuery(pathFlow+core.FlowExplicitConsent+"/", "next", back)
	h.redirect(w, r, withQuery(to, "need", h.seal(t, "consent-need", back, ask)))
	return nil, core.ErrAnswered
}

// consentPlace names what an answer is good for: this session, client and
// request, and these scopes.
func consentPlace(s core.SessionID, c *core.ConsentNeed) string {
	hash := sha256.New()
	part := func(text string) { fmt.Fprintf(hash, "%d:%s,", len(text), text) }
	part(string(s))
	part(c.ClientID)
	part(c.Request)
	for _, scope := range c.Scopes {
		part(scope.Name)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// clip cuts text to at most n bytes of whole characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
