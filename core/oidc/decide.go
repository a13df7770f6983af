package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/postern-sso/postern/core"
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
	decision := p.Policy.Decide(ctx, t, to.app, user, groups)
	if decision.Allowed {
		return user, nil
	}
	p.record(ctx, core.Event{
		Action: core.EventDenied, User: user.ID, UserName: user.UserName, Application: to.app.ID,
		Message: strings.Join(decision.Trace, "; "),
		Context: map[string]any{"decision": decision.ID, "client_id": a.ClientID, "trace": decision.Trace},
	})
	if a.None {
		return nil, &Error{Code: codeAccessDenied, Description: "The person may not open this application. The decision is " + decision.ID + "."}
	}
	p.Login.Refuse(w, r, http.StatusForbidden, "You may not open "+to.app.Name,
		"You are logged in as "+user.UserName+", who has no access to this application. If you need it, ask your administrator, and give them the number of this decision: "+decision.ID+".")
	return nil, errStopped
}

// mayUse is allowed without a browser: at the token endpoint and after it. A
// false is no error of the server.
func (p *Provider) mayUse(ctx context.Context, app *core.Application, id core.UserID) (*core.User, []core.Group, bool, error) {
	t := core.Request(ctx).Tenant.ID
	user, err := p.Users.User(ctx, t, id)
	if errors.Is(err, core.ErrNotFound) {
		return nil, nil, false, nil
	}
	if err != nil {
		return nil, nil, false, fmt.Errorf("find user: %w", err)
	}
	groups, err := p.Users.UserGroups(ctx, t, id)
	if err != nil {
		return nil, nil, false, fmt.Errorf("find the user's groups: %w", err)
	}
	return user, groups, p.Policy.Decide(ctx, t, app, user, groups).Allowed, nil
}
