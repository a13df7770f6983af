package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// exchangeCode is the authorization code grant (RFC 6749 §4.1.3).
func (p *Provider) exchangeCode(ctx context.Context, req *tokenRequest) (*tokenAnswer, error) {
	code := req.in.get("code")
	if code == "" {
		return nil, invalidRequest("The parameter code is missing.")
	}
	hash := core.Hash(code)
	defer p.exchanges.lock(hash)()
	g, err := p.codeGrant(ctx, req.tenant, hash, req.target.client.ClientID, req.in.get("redirect_uri"), req.in.get("code_verifier"))
	if err != nil {
		return nil, err
	}
	user, groups, decision, err := p.mayUse(ctx, req.target, g, "authorization_code")
	if err != nil {
		return nil, err
	}
	if !decision.Allowed {
		return nil, p.lostAccess(ctx, req.tenant, g, decision)
	}
	bound, err := p.sessionLives(ctx, req.tenant, g)
	if err != nil {
		return nil, err
	}
	if !bound && g.Session != "" {
		return nil, p.revokeFor(ctx, req.tenant, g.ID, invalidGrant("The login that the code comes from has ended."))
	}
	answer, err := p.issue(ctx, req.target, issuance{grant: g, user: user, groups: groups, scopes: g.Scopes, nonce: g.Nonce, bound: bound})
	if err != nil {
		return nil, err
	}
	var first *RefreshToken
	if slices.Contains(g.Scopes, scopeOfflineAccess) {
		now := p.Now()
		answer.RefreshToken = core.RandomAlphanumeric(128)
		first = &RefreshToken{
			Hash: core.Hash(answer.RefreshToken), Grant: g.ID,
			Issued: now, Expires: now.Add(lifetimesOf(req.target.client).refresh),
		}
	}
	// No event: the log has who let which client in, as SaveCode wrote it with the code.
	if err := p.consumeCode(ctx, req.tenant, hash, g, first); err != nil {
		return nil, err
	}
	return answer, nil
}

// codeGrant finds what a code stands for and checks it: whoever holds it and gets one
// thing wrong has burned it. A second use revokes all that came of the first
// (RFC 6749 §4.1.2).
func (p *Provider) codeGrant(ctx context.Context, t core.TenantID, hash [32]byte, clientID, redirectURI, verifier string) (*Grant, error) {
	c, g, err := p.Store.Code(ctx, t, hash)
	switch {
	case errors.Is(err, core.ErrNotFound):
		return nil, invalidGrant("The code is not known, was used, or was revoked.")
	case errors.Is(err, core.ErrConsumed):
		return nil, p.usedBefore(ctx, t, clientID, c.Grant)
	case err != nil:
		return nil, fmt.Errorf("read code: %w", err)
	}
	if err := p.checkCode(c, clientID, redirectURI, verifier); err != nil {
		if c.ClientID != clientID {
			p.suspicious(ctx, "a client sent the authorization code of another: it is revoked", clientID, c.Grant)
		}
		return nil, p.revokeFor(ctx, t, c.Grant, err)
	}
	if g == nil {
		return nil, invalidGrant("What the code stands for was revoked.")
	}
	return g, nil
}

// consumeCode is the last step, and the one that decides: of two that came this far with
// one code, on whatever nodes, one gets an answer.
func (p *Provider) consumeCode(ctx context.Context, t core.TenantID, hash [32]byte, g *Grant, first *RefreshToken) error {
	err := p.Store.ConsumeCode(ctx, t, hash, first)
	switch {
	case errors.Is(err, core.ErrConsumed):
		return p.usedBefore(ctx, t, g.ClientID, g.ID)
	case errors.Is(err, core.ErrNotFound):
		return invalidGrant("What the code stands for was revoked.")
	case err != nil:
		return fmt.Errorf("consume code: %w", err)
	}
	return nil
}

func (p *Provider) usedBefore(ctx context.Context, t core.TenantID, clientID string, g GrantID) error {
	p.suspicious(ctx, "an authorization code was used a second time: what came of it is revoked", clientID, g)
	return p.revokeFor(ctx, t, g, invalidGrant("The code was used before."))
}

func (p *Provider) checkCode(c *Code, clientID, redirectURI, verifier string) error {
	switch {
	case c.ClientID != clientID:
		return invalidGrant("The code was not issued to this client.")
	case !p.Now().Before(c.Expires):
		return invalidGrant("The code has expired.")
	case c.RedirectURI != redirectURI:
		return invalidGrant("The redirect_uri is not the one of the authorization request.")
	}
	return checkVerifier(c, verifier)
}

// revokeFor revokes a grant and returns why, or the error of revoking: a client
// must not be told that something ended when it did not. A caller that goes away
// does not stop it.
func (p *Provider) revokeFor(ctx context.Context, t core.TenantID, id GrantID, why error) error {
	if err := p.Store.RevokeGrant(context.WithoutCancel(ctx), t, id); err != nil {
		return fmt.Errorf("revoke grant: %w", err)
	}
	return why
}

// sessionLives reports whether the login that a grant comes from goes on.
func (p *Provider) sessionLives(ctx context.Context, t core.TenantID, g *Grant) (bool, error) {
	if g.Session == "" {
		return false, nil
	}
	_, err := p.Sessions.SessionByID(ctx, t, g.Session)
	if errors.Is(err, core.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find the session of the grant: %w", err)
	}
	return true, nil
}

func (p *Provider) suspicious(ctx context.Context, message, clientID string, g GrantID) {
	p.record(ctx, core.Event{
		Action: core.EventSuspicious, Message: message,
		Context: map[string]any{"client_id": strings.ToValidUTF8(clientID, "?"), "grant": string(g)},
	})
}
