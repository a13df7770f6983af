package oidc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// refreshGrace is how long a refresh token that was rotated gets the same answer
// again: two tabs that refresh at once, or an answer that was lost on its way,
// are no theft. It ends sooner, as soon as the successor is used. The family
// never forks: the answer is the one that was given, not a new one.
const refreshGrace = 3 * time.Second

// PurposeRefresh is what the answer kept with a refresh token is sealed for; its place is
// the token's hash in hex.
const PurposeRefresh = "refresh-answer"

// refresh is the refresh token grant (RFC 6749 §6) with rotation (RFC 9700
// §4.14.2).
func (p *Provider) refresh(ctx context.Context, req *tokenRequest) (*tokenAnswer, error) {
	token := req.in.get("refresh_token")
	if token == "" {
		return nil, invalidRequest("The parameter refresh_token is missing.")
	}
	hash := core.Hash(token)
	defer p.exchanges.lock(hash)()
	rt, g, err := p.refreshGrant(ctx, req, hash)
	if err != nil {
		return nil, err
	}
	scopes, err := narrowed(req.in.get("scope"), g.Scopes)
	if err != nil {
		return nil, err
	}
	user, groups, decision, err := p.mayUse(ctx, req.target, g, "refresh_token")
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
	// No nonce: it belongs to the authorization request (OpenID Connect Core §12.2).
	answer, err := p.issue(ctx, req.target, issuance{grant: g, user: user, groups: groups, scopes: scopes, bound: bound})
	if err != nil {
		return nil, err
	}
	now := p.Now()
	if threshold := req.target.client.RefreshThreshold.Or(0); threshold > 0 && rt.Used.IsZero() && rt.Expires.Sub(now) > threshold {
		answer.RefreshToken = token
		return answer, p.extend(ctx, req.tenant, g, now.Add(lifetimesOf(req.target.client).access))
	}
	return p.rotate(ctx, req, hash, g, answer)
}

// refreshGrant finds the token and the grant it belongs to, and checks that they
// are this client's and still good.
func (p *Provider) refreshGrant(ctx context.Context, req *tokenRequest, hash [32]byte) (*RefreshToken, *Grant, error) {
	rt, g, err := p.Store.Refresh(ctx, req.tenant, hash)
	if errors.Is(err, core.ErrNotFound) {
		return nil, nil, invalidGrant("The refresh token is not known, or was revoked.")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read refresh token: %w", err)
	}
	if g == nil {
		return nil, nil, invalidGrant("What the refresh token stands for was revoked.")
	}
	if g.ClientID != req.target.client.ClientID {
		p.suspicious(ctx, "a client sent the refresh token of another: it is revoked", req.target.client.ClientID, g.ID)
		return nil, nil, p.revokeFor(ctx, req.tenant, g.ID, invalidGrant("The refresh token was not issued to this client."))
	}
	if !p.Now().Before(rt.Expires) {
		return nil, nil, invalidGrant("The refresh token has expired.")
	}
	return rt, g, nil
}

// rotate replaces the token, and makes the grant last as long as the successor.
func (p *Provider) rotate(ctx context.Context, req *tokenRequest, old [32]byte, g *Grant, answer *tokenAnswer) (*tokenAnswer, error) {
	now := p.Now()
	life := lifetimesOf(req.target.client)
	answer.RefreshToken = core.RandomAlphanumeric(128)
	next := &RefreshToken{Hash: core.Hash(answer.RefreshToken), Grant: g.ID, Issued: now, Expires: now.Add(life.refresh)}
	sealed := p.Master.Seal(req.tenant, PurposeRefresh, hex.EncodeToString(old[:]), answer.json())
	kept, err := p.Store.RotateRefresh(ctx, req.tenant, &Rotation{
		Old: old, Next: next, Sealed: sealed, Grace: refreshGrace, Until: now.Add(max(life.refresh, life.access)),
	})
	switch {
	case errors.Is(err, core.ErrConsumed):
		return p.replayedRefresh(ctx, req, old, g, kept)
	case errors.Is(err, core.ErrNotFound):
		return nil, invalidGrant("The refresh token was revoked.")
	case err != nil:
		return nil, fmt.Errorf("rotate refresh token: %w", err)
	}
	return answer, nil
}

// replayedRefresh answers for a token that was rotated before: with the answer
// of then, within the grace; after it, by revoking the family.
func (p *Provider) replayedRefresh(ctx context.Context, req *tokenRequest, old [32]byte, g *Grant, kept []byte) (*tokenAnswer, error) {
	if kept != nil {
		answer, err := p.sameAnswer(ctx, req.tenant, old, kept)
		if err != nil || answer != nil {
			return answer, err
		}
	}
	p.suspicious(ctx, "a refresh token was used a second time: its family is revoked", g.ClientID, g.ID)
	return nil, p.revokeFor(ctx, req.tenant, g.ID, invalidGrant("The refresh token was used before."))
}

// sameAnswer opens a kept answer. It is nil where the successor was used: then
// whoever sends the old token is not the one who got the answer.
func (p *Provider) sameAnswer(ctx context.Context, t core.TenantID, old [32]byte, kept []byte) (*tokenAnswer, error) {
	plain, err := p.Master.Open(t, PurposeRefresh, hex.EncodeToString(old[:]), kept)
	if err != nil {
		return nil, fmt.Errorf("open the kept answer: %w", err)
	}
	var answer tokenAnswer
	if err := json.Unmarshal(plain, &answer); err != nil {
		return nil, fmt.Errorf("decode the kept answer: %w", err)
	}
	next, _, err := p.Store.Refresh(ctx, t, core.Hash(answer.RefreshToken))
	if errors.Is(err, core.ErrNotFound) || err == nil && !next.Used.IsZero() {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the successor: %w", err)
	}
	return &answer, nil
}

func (p *Provider) extend(ctx context.Context, t core.TenantID, g *Grant, expires time.Time) error {
	err := p.Store.ExtendGrant(ctx, t, g.ID, expires)
	if errors.Is(err, core.ErrNotFound) {
		return invalidGrant("What the refresh token stands for was revoked.")
	}
	if err != nil {
		return fmt.Errorf("extend grant: %w", err)
	}
	return nil
}

// narrowed are the scopes of a refresh: those of the grant, or fewer. They must
// keep offline_access, without which there is nothing to refresh.
func narrowed(asked string, granted []string) ([]string, error) {
	want := strings.Fields(asked)
	if len(want) == 0 {
		return granted, nil
	}
	if !covers(granted, want) || !slices.Contains(want, scopeOfflineAccess) {
		return nil, &Error{Code: codeInvalidScope, Description: "The scope must be a part of what was granted, and hold offline_access."}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	return want, nil
}
