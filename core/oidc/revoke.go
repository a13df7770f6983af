package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/postern-sso/postern/core"
)

// revoke ends a token of the client's own, and with it the grant that it hangs
// from (RFC 7009 §2.1). A token that is not known, or another client's, is
// answered like one that was ended; nothing of the other client's ends.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	if p.preflight(w, r) {
		return
	}
	client, token, err := p.clientAndToken(r)
	if client != nil {
		allowOrigins(w, r, client)
	}
	if err == nil {
		err = p.revokeToken(r, client, token)
	}
	var known *Error
	switch {
	case err != nil && !errors.As(err, &known):
		// The token may live on: the client must try again (RFC 7009 §2.2.1).
		e := p.protocolError(r.Context(), "revoke", err)
		e.Status = http.StatusServiceUnavailable
		p.writeError(w, r, "revoke", e)
	case err != nil:
		p.writeError(w, r, "revoke", unauthorized(known))
	default:
		p.writeJSON(w, r, http.StatusOK, struct{}{})
	}
}

// unauthorized makes a failed client authentication a 401: revocation answers so
// whichever way was used.
func unauthorized(e *Error) *Error {
	if e.Code == codeInvalidClient && e.Status == 0 {
		e.Status = http.StatusUnauthorized
	}
	return e
}

func (p *Provider) revokeToken(r *http.Request, client *core.Client, token string) error {
	ctx := r.Context()
	t := core.Request(ctx).Tenant.ID
	id, err := p.grantOfToken(ctx, token)
	if err != nil || id == "" {
		return err
	}
	g, err := p.Store.Grant(ctx, t, id)
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if g.ClientID != client.ClientID {
		p.suspicious(ctx, "a client asked to revoke the token of another: nothing was revoked", client.ClientID, g.ID)
		return nil
	}
	if err := p.revokeFor(ctx, t, g.ID, nil); err != nil {
		return err
	}
	p.record(ctx, core.Event{
		Action: core.EventTokenRevoked, User: g.User, Message: "a client revoked its tokens",
		Context: map[string]any{"client_id": client.ClientID, "grant": string(g.ID)},
	})
	return nil
}

// grantOfToken is "" for what is no token of ours. An access token needs a good
// signature and no more: one that has expired still names what to end.
func (p *Provider) grantOfToken(ctx context.Context, token string) (GrantID, error) {
	rt, _, err := p.Store.Refresh(ctx, core.Request(ctx).Tenant.ID, core.Hash(token))
	if err == nil {
		return rt.Grant, nil
	}
	if !errors.Is(err, core.ErrNotFound) {
		return "", err
	}
	_, payload, err := p.contents(ctx, token)
	if errors.Is(err, errToken) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var c tokenClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", nil
	}
	id, ok := grantOfTokenID(c.ID)
	if !ok {
		return "", nil
	}
	return id, nil
}

// RevokeSession ends all that was granted in a login, refresh tokens too, for an
// administrator or the person who ends that login from elsewhere. A logout leaves refresh
// tokens.
func (p *Provider) RevokeSession(ctx context.Context, t core.TenantID, id core.SessionID) error {
	return p.Store.RevokeGrants(ctx, t, GrantMatch{Session: id})
}
