package oidc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/policy"
)

// accessToken is one of ours that is good now: its signature holds, it has not
// expired, its grant was not revoked, the login that it names goes on, and the
// user may still use the application.
type accessToken struct {
	target *target
	grant  *Grant
	user   *core.User
	groups []core.Group
	scopes []string
	claims map[string]any
	// expires is its end by our own clock.
	expires time.Time
}

// tokenClaims are those claims of a token that decide what it is.
type tokenClaims struct {
	Audience string `json:"aud"`
	Client   string `json:"azp"`
	Expires  int64  `json:"exp"`
	Ends     int64  `json:"postern_exp"` // see claimEnds
	ID       string `json:"jti"`
	Scope    string `json:"scope"`
	Session  string `json:"sid"`
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
}

// readAccessToken checks an access token. What is wrong with one that is not
// good is not told apart: errToken. Other errors are the server's.
func (p *Provider) readAccessToken(ctx context.Context, token string) (*accessToken, error) {
	t := core.Request(ctx).Tenant.ID
	client, payload, err := p.contents(ctx, token)
	if err != nil {
		return nil, err
	}
	var c tokenClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, errToken
	}
	out := &accessToken{scopes: strings.Fields(c.Scope), claims: map[string]any{}, expires: c.end()}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	if err := decoder.Decode(&out.claims); err != nil {
		return nil, errToken
	}
	id, ok := grantOfTokenID(c.ID)
	switch {
	case !ok, c.Client != client.ClientID, c.Audience != client.ClientID: // an ID token has no jti and no azp
		return nil, errToken
	case p.expired(&c):
		return nil, errToken
	}
	if out.grant, err = p.Store.Grant(ctx, t, id); errors.Is(err, core.ErrNotFound) {
		return nil, errToken
	} else if err != nil {
		return nil, fmt.Errorf("read grant: %w", err)
	}
	if out.grant.ClientID != client.ClientID || !covers(out.grant.Scopes, out.scopes) {
		return nil, errToken
	}
	if c.Session != "" {
		lives, err := p.sessionLives(ctx, t, out.grant)
		if err != nil {
			return nil, err
		}
		if !lives || c.Session != sessionClaim(out.grant.Session) {
			return nil, errToken
		}
	}
	if out.target, err = p.applicationOf(ctx, client); err != nil {
		var e *Error
		if errors.As(err, &e) {
			return nil, errToken
		}
		return nil, err
	}
	var decision *policy.Decision
	out.user, out.groups, decision, err = p.mayUse(ctx, out.target, out.grant, "authorization_code")
	if err != nil {
		return nil, err
	}
	if !decision.Allowed {
		return nil, errToken
	}
	return out, nil
}

// contents finds whose token it is and returns its claims, once they are known
// to be ours. Whether they make an access token that is good now is for the
// caller to say.
func (p *Provider) contents(ctx context.Context, token string) (*core.Client, []byte, error) {
	parts := strings.Split(token, ".")
	if len(token) > maxToken || len(parts) != 3 && len(parts) != 5 {
		return nil, nil, errToken
	}
	if len(parts) == 5 {
		payload, err := p.openSealed(ctx, parts[0])
		if err != nil {
			return nil, nil, err
		}
		client, err := p.clientOfClaims(ctx, payload)
		return client, payload, err
	}
	// Not verified, and used for nothing but to find the client whose key must fit.
	unverified, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, nil, errToken
	}
	client, err := p.clientOfClaims(ctx, unverified)
	if err != nil {
		return nil, nil, err
	}
	sign, err := p.signer(ctx, client)
	if err != nil {
		return nil, nil, err
	}
	if sign.encryption != nil { // its tokens are encrypted: this one was taken out of its wrapping
		return nil, nil, errToken
	}
	payload, err := p.verify(ctx, client, sign, token)
	return client, payload, err
}

// clientOfClaims finds the client that a token's azp names. An ID token has none.
func (p *Provider) clientOfClaims(ctx context.Context, payload []byte) (*core.Client, error) {
	var c tokenClaims
	if err := json.Unmarshal(payload, &c); err != nil || c.Client == "" || len(c.Client) > maxClientID {
		return nil, errToken
	}
	client, err := p.Store.Client(ctx, core.Request(ctx).Tenant.ID, c.Client)
	if errors.Is(err, core.ErrNotFound) {
		return nil, errToken
	}
	if err != nil {
		return nil, fmt.Errorf("find client: %w", err)
	}
	return client, nil
}

// openSealed reads what encryptAccess put into the header.
func (p *Provider) openSealed(ctx context.Context, encoded string) ([]byte, error) {
	var header struct {
		Sealed string `json:"sealed"`
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || json.Unmarshal(text, &header) != nil {
		return nil, errToken
	}
	sealed, err := base64.RawURLEncoding.DecodeString(header.Sealed)
	if err != nil {
		return nil, errToken
	}
	payload, err := p.Master.Open(core.Request(ctx).Tenant.ID, purposeAccess, sealedHeader, sealed)
	if err != nil {
		return nil, errToken
	}
	return payload, nil
}

// UserOfProviders returns whose access token it is, and when it is over, for a guard that takes those
// which a client of one of the providers got. Anything else is core.ErrDenied: a token
// for one application opens no other.
func (p *Provider) UserOfProviders(ctx context.Context, token string, of []core.ProviderID) (core.UserID, time.Time, error) {
	at, err := p.readAccessToken(ctx, token)
	if errors.Is(err, errToken) || err == nil && !slices.Contains(of, at.target.client.ID) {
		return "", time.Time{}, fmt.Errorf("access token: %w", core.ErrDenied)
	}
	if err != nil {
		return "", time.Time{}, err
	}
	return at.user.ID, at.expires, nil
}

// UserOfToken returns whose access token it is, for other packages that take
// one as a bearer (the REST API). The token must be good and hold the scope:
// otherwise core.ErrDenied.
func (p *Provider) UserOfToken(ctx context.Context, token, scope string) (*core.User, error) {
	at, err := p.readAccessToken(ctx, token)
	if errors.Is(err, errToken) {
		return nil, fmt.Errorf("access token: %w", core.ErrDenied)
	}
	if err != nil {
		return nil, err
	}
	if !slices.Contains(at.scopes, scope) {
		return nil, fmt.Errorf("the access token has no scope %s: %w", scope, core.ErrDenied)
	}
	return at.user, nil
}
