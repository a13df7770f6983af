package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// target is whom an authorization request is for. client is nil for an
// application that an outpost of this process guards.
type target struct {
	client *core.Client
	app    *core.Application
}

// authorize is the authorization endpoint (RFC 6749 §3.1), for GET and POST.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		p.refuse(w, r, "authorize", &refusal{http.StatusBadRequest, "Malformed request", "The address cannot be read: its query is not well formed. Go back to the application and start again from there."})
		return
	}
	if resume, ok := query["resume"]; ok {
		// Whatever stands beside resume is ignored: the request was checked and sealed.
		a, err := p.openRequest(ctx, resume[0])
		if err != nil {
			p.refuse(w, r, "resume an authorization request", err)
			return
		}
		to, err := p.targetOf(ctx, a)
		if err != nil {
			p.refuse(w, r, "resume an authorization request", err)
			return
		}
		p.decide(w, r, a, to)
		return
	}
	in := newParams(query)
	if r.Method == http.MethodPost {
		if in, err = form(r); err != nil {
			p.refuse(w, r, "authorize", &refusal{http.StatusBadRequest, "Malformed request", err.Error()})
			return
		}
	}
	a, to, err := p.checkAuthRequest(ctx, in)
	var e *Error
	switch {
	case a != nil && errors.As(err, &e): // the redirect URI is sound: tell the client
		p.redirectError(w, r, a, to, e)
		return
	case err != nil:
		p.refuse(w, r, "check an authorization request", err)
		return
	}
	if r.Method == http.MethodPost {
		// A browser sends no SameSite=Lax cookie with a form of another site, so that
		// the person would look logged out. The same request by GET has them.
		resume, err := p.sealRequest(ctx, a)
		if err != nil {
			p.refuse(w, r, "seal an authorization request", err)
			return
		}
		http.Redirect(w, r, resume, http.StatusSeeOther) //nolint:gosec // a path of our own; only the sealed value comes from the request
		return
	}
	p.decide(w, r, a, to)
}

// targetOf finds the client and application of a sealed request again: they
// may have changed since, and a redirect URI that was taken away is not used.
func (p *Provider) targetOf(ctx context.Context, a *AuthRequest) (*target, error) {
	if a.Guarded != "" {
		app, err := p.Applications.Application(ctx, core.Request(ctx).Tenant.ID, a.Guarded)
		if errors.Is(err, core.ErrNotFound) {
			return nil, &refusal{http.StatusBadRequest, "Unknown application", "The application that sent you here is not known any more."}
		}
		if err != nil {
			return nil, fmt.Errorf("find application: %w", err)
		}
		return &target{app: app}, nil
	}
	to, err := p.clientTarget(ctx, a.ClientID)
	if err != nil {
		return nil, err
	}
	if !matchRedirect(to.client.RedirectURIs, a.RedirectURI) {
		return nil, redirectRefusal(to.client, a.RedirectURI)
	}
	return to, nil
}

func (p *Provider) clientTarget(ctx context.Context, clientID string) (*target, error) {
	t := core.Request(ctx).Tenant.ID
	if clientID == "" {
		return nil, &refusal{http.StatusBadRequest, "Malformed request", "The application sent no client_id, or one that is too long, or more than one."}
	}
	client, err := p.Store.Client(ctx, t, clientID)
	if errors.Is(err, core.ErrNotFound) {
		return nil, &refusal{http.StatusBadRequest, "Unknown application", "No application has the client ID " + strconv.Quote(clientID) + ". Check the client ID in the application's settings."}
	}
	if err != nil {
		return nil, fmt.Errorf("find client: %w", err)
	}
	app, err := p.Applications.ApplicationByProvider(ctx, t, client.ID)
	if errors.Is(err, core.ErrNotFound) {
		return nil, &refusal{http.StatusBadRequest, "No application", "The provider " + strconv.Quote(client.Name) + " is not assigned to an application. Your administrator can assign it to one."}
	}
	if err != nil {
		return nil, fmt.Errorf("find application: %w", err)
	}
	return &target{client: client, app: app}, nil
}

func redirectRefusal(client *core.Client, uri string) *refusal {
	if len(client.RedirectURIs) == 0 {
		return &refusal{http.StatusBadRequest, "No redirect URI is configured",
			"The provider " + strconv.Quote(client.Name) + " has no redirect URI, so there is nowhere to send you. If " + strconv.Quote(uri) + " is the application's, your administrator can add it to the provider."}
	}
	if uri == "" {
		return &refusal{http.StatusBadRequest, "Malformed request", "The application sent no redirect_uri, or one that is too long, or more than one."}
	}
	return &refusal{http.StatusBadRequest, "Redirect URI does not match",
		"The application asked to send you to " + strconv.Quote(uri) + ", which is not one of the redirect URIs of the provider " + strconv.Quote(client.Name) + ". They are compared letter by letter. If the address is the application's, your administrator can add it to the provider."}
}

// checkAuthRequest checks in the order that decides where an error may go: first
// the client and the redirect URI, whose errors are pages, then everything else,
// whose errors are sent to the redirect URI. With such an error the returned
// request holds what is needed to send it.
func (p *Provider) checkAuthRequest(ctx context.Context, in params) (*AuthRequest, *target, error) {
	to, err := p.clientTarget(ctx, in.get("client_id"))
	if err != nil {
		return nil, nil, err
	}
	now := p.Now()
	a := newAuthRequest(now)
	a.ClientID, a.RedirectURI = to.client.ClientID, in.get("redirect_uri")
	if !matchRedirect(to.client.RedirectURIs, a.RedirectURI) {
		p.recordStranger(ctx, core.Event{
			Action: core.EventConfigurationError, Application: to.app.ID,
			Message: "an authorization request named a redirect URI that is not registered",
			Context: map[string]any{"client_id": a.ClientID, "redirect_uri": a.RedirectURI},
		})
		return nil, nil, redirectRefusal(to.client, a.RedirectURI)
	}
	responseType := strings.Fields(in.get("response_type"))
	a.State = in.get("state")
	a.ResponseMode = responseMode(in.get("response_mode"), responseType, a.RedirectURI)
	if err := in.err(); err != nil {
		return a, to, err
	}
	switch {
	case len(responseType) == 0:
		return a, to, invalidRequest("The parameter response_type is missing; it should be code.")
	case !slices.Equal(responseType, []string{"code"}):
		return a, to, &Error{Code: codeUnsupportedResponseType, Description: "Only the response type code is supported."}
	case in.get("request") != "":
		return a, to, &Error{Code: codeRequestNotSupported, Description: "The parameter request is not supported."}
	case in.get("request_uri") != "":
		return a, to, &Error{Code: codeRequestURINotSupported, Description: "The parameter request_uri is not supported."}
	}
	mappings, err := p.scopeMappings(ctx, to.client)
	if err != nil {
		return nil, nil, err
	}
	a.Scopes = grantable(in.get("scope"), mappings)
	a.Nonce = in.get("nonce")
	a.LoginHint = in.get("login_hint")
	if err := checkChallenge(a, in, to.client); err != nil {
		return a, to, err
	}
	if err := checkPrompt(a, in, now); err != nil {
		return a, to, err
	}
	return a, to, nil
}

// checkChallenge checks the PKCE parameters (RFC 7636 §4.3). Only S256 is taken:
// a plain challenge is the verifier itself, and guards nothing. A client that
// has no secret must send one (RFC 9700 §2.1.1).
func checkChallenge(a *AuthRequest, in params, client *core.Client) error {
	challenge, method := in.get("code_challenge"), in.get("code_challenge_method")
	switch {
	case challenge == "" && method != "":
		return invalidRequest("The parameter code_challenge is missing.")
	case challenge == "" && client.Type == core.ClientPublic:
		return invalidRequest("This is a public client: it must use PKCE with code_challenge_method=S256.")
	case challenge == "":
		return nil
	case method != "S256":
		return invalidRequest("The code_challenge_method must be S256.")
	case !isChallenge(challenge):
		return invalidRequest("The code_challenge must be the base64url of a SHA-256: 43 characters.")
	}
	a.Challenge = challenge
	return nil
}

// checkPrompt reads prompt and max_age. Values of prompt that are not known are
// ignored.
func checkPrompt(a *AuthRequest, in params, now time.Time) error {
	prompts := strings.Fields(in.get("prompt"))
	a.None = slices.Contains(prompts, "none")
	a.Consent = slices.Contains(prompts, "consent")
	if a.None && a.Consent {
		// It cannot be asked for without a page, and OIDC Core 3.1.2.1 wants an error: authentik's.
		return &Error{Code: codeConsentRequired, Description: "The prompt none may not stand beside consent, which needs a page."}
	}
	if a.None && len(prompts) > 1 {
		return invalidRequest("The prompt none may not stand beside another.")
	}
	var since time.Time
	if slices.Contains(prompts, "login") {
		since = now
	}
	if text := in.get("max_age"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 32)
		if err != nil || seconds < 0 {
			return invalidRequest("The parameter max_age must be a number of seconds.")
		}
		a.MaxAge = &seconds
		if oldest := now.Add(-time.Duration(seconds) * time.Second); oldest.After(since) {
			since = oldest
		}
	}
	if !since.IsZero() {
		a.LoggedInSince = since.UnixMicro()
	}
	return nil
}
