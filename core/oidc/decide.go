package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
)

// errStopped: what there was to answer has been written.
var errStopped = errors.New("answered")

// decide takes a checked request to its end: a login, a decision, a consent, and
// a code. Each step either lets the next one run or has answered.
func (p *Provider) decide(w http.ResponseWriter, r *http.Request, a *AuthRequest, to *target) {
	code, err := p.steps(w, r, a, to)
	var e *Error
	switch {
	case errors.Is(err, errStopped):
	case errors.As(err, &e):
		p.redirectError(w, r, a, to, e)
	case err != nil:
		p.redirectError(w, r, a, to, p.protocolError(r.Context(), "authorize", err))
	default:
		p.redirectCode(w, r, a, to, code)
	}
}

func (p *Provider) steps(w http.ResponseWriter, r *http.Request, a *AuthRequest, to *target) (code string, err error) {
	ctx := r.Context()
	returnTo, err := p.sealRequest(ctx, a)
	if err != nil {
		return "", err
	}
	need := core.Need{
		ReturnTo: returnTo, MaxAge: -1, LoggedInSince: a.loggedInSince(), Silent: a.None,
		LoginHint: a.LoginHint, Application: to.app.Name,
	}
	session, err := p.require(w, r, need)
	if err != nil {
		return "", err
	}
	user, err := p.allowed(w, r, a, to, session)
	if err != nil {
		return "", err
	}
	if to.client != nil {
		if err := p.consent(w, r, a, to, need, session); err != nil {
			return "", err
		}
	}
	return p.grantCode(ctx, a, to, session, user)
}

// require asks core/login, and checks again what this request cannot do
// without: a login that is too old must not pass whatever a page believed.
func (p *Provider) require(w http.ResponseWriter, r *http.Request, need core.Need) (*core.Session, error) {
	session, err := p.Login.Require(w, r, need)
	switch {
	case errors.Is(err, core.ErrAnswered):
		return nil, errStopped
	case errors.Is(err, core.ErrLoginRequired):
		return nil, &Error{Code: codeLoginRequired, Description: "The person is not logged in, or must log in again."}
	case errors.Is(err, core.ErrConsentRequired):
		return nil, &Error{Code: codeConsentRequired, Description: "The person has not agreed to this yet."}
	case errors.Is(err, core.ErrDenied):
		return nil, &Error{Code: codeAccessDenied, Description: "The person did not agree."}
	case err != nil:
		return nil, fmt.Errorf("require a login: %w", err)
	case session.AuthTime.Before(need.LoggedInSince):
		return nil, fmt.Errorf("require a login: the session is older than was asked for: %w", core.ErrStale)
	}
	return session, nil
}

// allowed loads the user and asks whether they may open the application. A
// denial is a page that names it: the client could do nothing about it, and the
// person needs to know whom to ask.
func (p *Provider) allowed(w http.ResponseWriter, r *http.Request, a *AuthRequest, to *target, session *core.Session) (*core.User, error) {
	ctx := r.Context()
	t := core.Request(ctx).Tenant.ID
	user, err := p.Users.User(ctx, t, session.User)
	if err != nil {
		return nil, fmt.Errorf("find the user of the session: %w", err)
	}
	groups, err := p.Users.UserGroups(ctx, t, user.ID)
	if err != nil {
		return nil, fmt.Errorf("find the user's groups: %w", err)
	}
	decision, err := p.Policy.Decide(ctx, t, policy.Request{Application: to.app, User: user, Groups: groups, Context: a.policyContext()})
	if err != nil {
		return nil, fmt.Errorf("decide: %w", err)
	}
	if decision.Allowed {
		return user, nil
	}
	p.Policy.Refuse(ctx, t, decision, "authorize")
	if a.None {
		return nil, &Error{Code: codeAccessDenied, Description: "The person may not open this application. The decision is " + decision.ID + "."}
	}
	p.Login.Deny(w, r, core.Denial{
		Application: to.app.Name, UserName: user.UserName, Messages: decision.Notice(), Decision: decision.ID, ReturnTo: a.path,
	})
	return nil, errStopped
}

// policyContext is what policies see of an authorization request, by authentik's names.
func (a *AuthRequest) policyContext() map[string]any {
	method := ""
	if a.Challenge != "" {
		method = "S256"
	}
	out := map[string]any{
		"oauth_scopes": a.Scopes, "oauth_grant_type": "authorization_code", "oauth_response_type": "code",
		"oauth_code_challenge": a.Challenge, "oauth_code_challenge_method": method,
		"oauth_redirect_uri": a.RedirectURI, "oauth_max_age": nil,
	}
	if a.MaxAge != nil {
		out["oauth_max_age"] = *a.MaxAge
	}
	return out
}

// mayUse is allowed without a browser: at the token endpoint and after it. grantType is
// what policies see as oauth_grant_type. A denial is no error of the server.
func (p *Provider) mayUse(ctx context.Context, to *target, g *Grant, grantType string) (*core.User, []core.Group, *policy.Decision, error) {
	t := core.Request(ctx).Tenant.ID
	user, err := p.Users.User(ctx, t, g.User)
	if errors.Is(err, core.ErrNotFound) {
		return nil, nil, &policy.Decision{Reason: "the user is gone"}, nil
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("find user: %w", err)
	}
	groups, err := p.Users.UserGroups(ctx, t, g.User)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("find the user's groups: %w", err)
	}
	ctx, err = p.onBehalf(ctx, to, g)
	if err != nil {
		return nil, nil, nil, err
	}
	d, err := p.Policy.Decide(ctx, t, policy.Request{
		Application: to.app, User: user, Groups: groups,
		Context: map[string]any{"oauth_scopes": g.Scopes, "oauth_grant_type": grantType},
	})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("decide: %w", err)
	}
	if !d.Allowed {
		p.Policy.Refuse(ctx, t, d, "token")
	}
	return user, groups, d, nil
}

// onBehalf states the request as policies see it where no browser is at hand. A public client is
// at the person's own device. A confidential one is a server: its address says
// nothing of the person, and that of the login stands in its place, or none.
func (p *Provider) onBehalf(ctx context.Context, to *target, g *Grant) (context.Context, error) {
	if to.client != nil && to.client.Type == core.ClientPublic {
		return ctx, nil
	}
	info := *core.Request(ctx)
	info.ClientIP = netip.Addr{}
	if g.Session != "" {
		s, err := p.Sessions.SessionByID(ctx, info.Tenant.ID, g.Session)
		switch {
		case err == nil:
			info.ClientIP, _ = netip.ParseAddr(s.Address) // none where it is none
		case !errors.Is(err, core.ErrNotFound):
			return nil, fmt.Errorf("find session: %w", err)
		}
	}
	return core.WithRequest(ctx, &info), nil
}

// lostAccess refuses to exchange what the person may no longer use, and revokes the grant. Where
// only a policy failed, the grant is left for when it is repaired.
func (p *Provider) lostAccess(ctx context.Context, t core.TenantID, g *Grant, d *policy.Decision) error {
	why := "The person may not use this application any more."
	if d.ID != "" {
		why += " The decision is " + d.ID + "."
	}
	if d.Doubtful {
		return invalidGrant(why)
	}
	return p.revokeFor(ctx, t, g.ID, invalidGrant(why))
}
