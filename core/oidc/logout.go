package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

const purposeLogout = "logout-request"

// logoutRequest is a request of the end-session endpoint (OpenID Connect
// RP-Initiated Logout 1.0 §2), checked once and sealed like an AuthRequest.
type logoutRequest struct {
	ID       string `json:"id"`
	ClientID string `json:"client"`
	// Session is the sid of a good ID token that came with the request.
	Session  string `json:"sid,omitempty"`
	Redirect string `json:"redirect,omitempty"` // registered; empty: none
	State    string `json:"state,omitempty"`
	Expires  int64  `json:"exp"` // Unix microseconds
}

// endSession logs the person out. Whether the login at the tenant ends, or only
// this application is left, is the provider's invalidation flow to say.
func (p *Provider) endSession(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	to, err := p.targetBySlug(ctx, r.PathValue("slug"))
	if errors.Is(err, core.ErrNotFound) {
		err = &refusal{http.StatusNotFound, "Not found", "There is no such application."}
	}
	if err != nil {
		p.refuse(w, r, "end session", err)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		p.refuse(w, r, "end session", &refusal{http.StatusBadRequest, "Malformed request", "The address cannot be read: its query is not well formed."})
		return
	}
	if resume, ok := query["resume"]; ok {
		var l logoutRequest
		if err := p.unseal(ctx, purposeLogout, resume[0], &l); err != nil {
			p.refuse(w, r, "resume a logout", err)
			return
		}
		if l.ClientID != to.client.ClientID || p.Now().UnixMicro() >= l.Expires {
			p.refuse(w, r, "resume a logout", errResume)
			return
		}
		p.finishLogout(w, r, &l, to)
		return
	}
	in := newParams(query)
	if r.Method == http.MethodPost {
		in, err = form(r)
	}
	if err == nil {
		err = in.err()
	}
	if err != nil {
		p.refuse(w, r, "end session", &refusal{http.StatusBadRequest, "Malformed request", err.Error()})
		return
	}
	l, err := p.checkLogout(ctx, in, to)
	if err != nil {
		p.refuse(w, r, "end session", err)
		return
	}
	if r.Method == http.MethodPost { // as in authorize: the cookies come with a GET
		resume, err := p.sealLogout(ctx, l, to)
		if err != nil {
			p.refuse(w, r, "end session", err)
			return
		}
		http.Redirect(w, r, resume, http.StatusSeeOther) //nolint:gosec // a path of our own; only the sealed value comes from the request
		return
	}
	p.finishLogout(w, r, l, to)
}

// checkLogout reads the parameters. A redirect URI that is not registered and an
// ID token that is not good are dropped, not errors: the person wants to log out.
// Then they are asked, and led nowhere.
func (p *Provider) checkLogout(ctx context.Context, in params, to *target) (*logoutRequest, error) {
	if id := in.get("client_id"); id != "" && id != to.client.ClientID {
		return nil, &refusal{http.StatusBadRequest, "Malformed request", "The client_id is not that of this application."}
	}
	l := &logoutRequest{
		ID: core.RandomToken(16), ClientID: to.client.ClientID, Expires: p.Now().Add(requestLife).UnixMicro(),
	}
	if hint := in.get("id_token_hint"); hint != "" {
		session, err := p.sessionOfHint(ctx, hint, to)
		if err != nil {
			return nil, err
		}
		l.Session = session
	}
	if uri := in.get("post_logout_redirect_uri"); uri != "" && matchLogoutRedirect(to.client.RedirectURIs, uri) {
		l.Redirect, l.State = uri, in.get("state")
	}
	return l, nil
}

// matchLogoutRedirect takes the client's redirect URIs that are compared
// strictly: an expression made for logins says nothing about where one may end.
func matchLogoutRedirect(registered []core.RedirectURI, uri string) bool {
	return safeRedirect(uri) && slices.Contains(registered, core.RedirectURI{Mode: core.MatchStrict, URL: uri})
}

// sessionOfHint is the sid of an ID token of this client that has not expired,
// or "". It proves that the request comes from one who was given a token of that
// very login, not from another site.
func (p *Provider) sessionOfHint(ctx context.Context, hint string, to *target) (string, error) {
	sign, err := p.signer(ctx, to.client)
	if err != nil {
		return "", err
	}
	payload, err := p.verify(ctx, to.client, sign, hint)
	if errors.Is(err, errToken) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var c tokenClaims
	if json.Unmarshal(payload, &c) != nil || c.Audience != to.client.ClientID || c.ID != "" ||
		c.Issuer != issuer(core.Request(ctx), to) || p.expired(&c) {
		return "", nil
	}
	return c.Session, nil
}

func (p *Provider) sealLogout(ctx context.Context, l *logoutRequest, to *target) (string, error) {
	token, err := p.seal(ctx, purposeLogout, l, time.UnixMicro(l.Expires))
	if err != nil {
		return "", fmt.Errorf("seal a logout request: %w", err)
	}
	return prefix + to.app.Slug + "/end-session/?resume=" + token, nil
}

func (p *Provider) finishLogout(w http.ResponseWriter, r *http.Request, l *logoutRequest, to *target) {
	ctx := r.Context()
	t := core.Request(ctx).Tenant
	resume, err := p.sealLogout(ctx, l, to)
	if err != nil {
		p.refuse(w, r, "end session", err)
		return
	}
	session, err := p.Login.Require(w, r, core.Need{ReturnTo: resume, MaxAge: -1, Silent: true})
	if errors.Is(err, core.ErrAnswered) {
		return
	}
	if err != nil && !errors.Is(err, core.ErrLoginRequired) {
		p.refuse(w, r, "end session", err)
		return
	}
	need := core.LogoutNeed{
		ReturnTo: resume, Request: l.ID, EndLogin: endsLogin(t, to.client), Application: to.app.Name,
		Confirmed: session != nil && l.Session != "" && l.Session == sessionClaim(session.ID),
	}
	err = p.Login.Logout(w, r, need)
	switch {
	case errors.Is(err, core.ErrAnswered):
		return
	case errors.Is(err, core.ErrDenied):
		http.Redirect(w, r, "/if/user/", http.StatusFound)
		return
	case err != nil:
		p.refuse(w, r, "end session", err)
		return
	}
	if session != nil {
		if err := p.Store.RevokeGrants(ctx, t.ID, GrantMatch{Session: session.ID, ClientID: l.ClientID}); err != nil {
			p.refuse(w, r, "end session: revoke grants", err)
			return
		}
	}
	if l.Redirect == "" {
		p.Login.LoggedOut(w, r, to.app.Name, to.app.LaunchURL, need.EndLogin)
		return
	}
	target := l.Redirect
	if l.State != "" {
		sep := "?"
		if strings.Contains(target, "?") {
			sep = "&"
		}
		target += sep + "state=" + url.QueryEscape(l.State)
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusFound)
}

// endsLogin reports whether leaving the application ends the login at the tenant.
// The built-in flow made for providers does not; no flow means that one.
func endsLogin(tenant *core.Tenant, client *core.Client) bool {
	flow, ok := core.FlowByID(tenant.UUID, client.InvalidationFlow)
	return ok && flow.Slug == core.FlowInvalidation
}
