package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/postern-sso/postern/core"
)

// Begin and Redeem serve an outpost of the same process: the same authorization
// request, steps and code as any client's, without a client in the directory.
// What vouches for the request is the seal, which only this process can make.

// Begin seals an authorization request for an application that an outpost guards.
// loginURL is at the tenant's own origin; the answer comes to redirectURI, with
// p.State as its state. p is the outpost's to keep, in a cookie of the browser.
func (p *Provider) Begin(ctx context.Context, app *core.Application, clientID, redirectURI string) (loginURL string, pending core.Pending, err error) {
	u, err := url.Parse(redirectURI)
	if err != nil || !safeRedirect(redirectURI) || u.Scheme != "http" && u.Scheme != "https" {
		return "", core.Pending{}, &core.FieldError{Field: "redirect_uri", Message: "The way back must be an absolute http or https URL without a fragment or user name."}
	}
	if clientID == "" || app.ID == "" {
		return "", core.Pending{}, &core.FieldError{Field: "client_id", Message: "A guarded application needs a client ID and an application ID."}
	}
	origin := core.Request(ctx).Tenant.Origin
	if origin == "" {
		return "", core.Pending{}, fmt.Errorf("begin a login: the tenant %s has no domain to log in at: %w", core.Request(ctx).Tenant.ID, core.ErrUnavailable)
	}
	a := newAuthRequest(p.Now())
	pending = core.Pending{
		State: core.RandomToken(24), Nonce: core.RandomToken(24), Verifier: core.RandomToken(32),
		Expires: p.Now().Add(requestLife),
	}
	a.ClientID, a.Guarded, a.RedirectURI, a.ResponseMode = clientID, app.ID, redirectURI, modeQuery
	a.State, a.Nonce, a.Challenge = pending.State, pending.Nonce, challengeOf(pending.Verifier)
	path, err := p.sealRequest(ctx, a)
	if err != nil {
		return "", core.Pending{}, fmt.Errorf("begin a login: %w", err)
	}
	return strings.TrimSuffix(origin, "/") + path, pending, nil
}

// Redeem uses a code up and returns whose login it stands for. A code that is
// unknown, expired, used before, another client's, for another redirect URI, or
// not the answer to pending is core.ErrDenied.
func (p *Provider) Redeem(ctx context.Context, t core.TenantID, clientID, redirectURI, code string, pending core.Pending) (core.SessionID, core.UserID, error) {
	if pending.Verifier == "" || !p.Now().Before(pending.Expires) {
		return "", "", fmt.Errorf("redeem code: the login took too long: %w", core.ErrDenied)
	}
	hash := core.Hash(code)
	defer p.exchanges.lock(hash)()
	g, err := p.codeGrant(ctx, t, hash, clientID, redirectURI, pending.Verifier)
	if err == nil {
		err = p.consumeCode(ctx, t, hash, g, nil)
	}
	var e *Error
	if errors.As(err, &e) {
		return "", "", fmt.Errorf("redeem code: %s: %w", e.Description, core.ErrDenied)
	}
	if err != nil {
		return "", "", err
	}
	return g.Session, g.User, nil
}
