package oidc

import (
	"context"
	"net/http"

	"github.com/postern-sso/postern/core"
)

// tokenRequest is a request of a client that has proved who it is. What a grant
// handler gets cannot have skipped that step.
type tokenRequest struct {
	tenant core.TenantID
	target *target
	in     params
}

// tokenAnswer is RFC 6749 §5.1 and OpenID Connect Core §3.1.3.3.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	IDToken      string `json:"id_token"`
}

// token is the token endpoint (RFC 6749 §3.2).
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if p.preflight(w, r) {
		return
	}
	client, answer, err := p.tokenAnswer(r)
	if client != nil {
		allowOrigins(w, r, client)
	}
	if err != nil {
		p.writeError(w, r, "token", err)
		return
	}
	p.writeBody(w, r, http.StatusOK, answer.json())
}

// tokenAnswer returns the client too, once it is known, whatever comes of the
// request: a browser may read an error only with its CORS headers.
func (p *Provider) tokenAnswer(r *http.Request) (*core.Client, *tokenAnswer, error) {
	in, err := form(r)
	if err != nil {
		return nil, nil, err
	}
	if err := in.err(); err != nil {
		return nil, nil, err
	}
	var handle func(context.Context, *tokenRequest) (*tokenAnswer, error)
	switch in.get("grant_type") {
	case "authorization_code":
		handle = p.exchangeCode
	case "refresh_token":
		handle = p.refresh
	case "":
		return nil, nil, invalidRequest("The parameter grant_type is missing.")
	default:
		return nil, nil, &Error{Code: codeUnsupportedGrantType, Description: "The grant_type must be authorization_code or refresh_token."}
	}
	client, err := p.authenticateClient(r, in)
	if err != nil {
		return nil, nil, err
	}
	ctx := r.Context()
	to, err := p.applicationOf(ctx, client)
	if err != nil {
		return client, nil, err
	}
	answer, err := handle(ctx, &tokenRequest{core.Request(ctx).Tenant.ID, to, in})
	return client, answer, err
}
