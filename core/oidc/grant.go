package oidc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postern-sso/postern/core"
)

// The lifetimes of a client that leaves one empty, and of a guarded
// application's code.
const (
	defaultCodeLife    = time.Minute
	defaultAccessLife  = time.Hour
	defaultRefreshLife = 30 * 24 * time.Hour
)

// maxCodeLife bounds a code's life, whatever is set (RFC 6749 §4.1.2): it travels in
// URLs, and a client redeems it at once.
const maxCodeLife = 10 * time.Minute

// lifetimes are a client's, with defaults in place of what is empty or not above
// zero.
type lifetimes struct{ code, access, refresh time.Duration }

func lifetimesOf(c *core.Client) lifetimes {
	if c == nil {
		return lifetimes{code: defaultCodeLife, access: defaultCodeLife}
	}
	positive := func(d core.Timedelta, def time.Duration) time.Duration {
		if v := d.Or(def); v > 0 {
			return v
		}
		return def
	}
	return lifetimes{
		code:    min(positive(c.CodeValidity, defaultCodeLife), maxCodeLife),
		access:  positive(c.AccessValidity, defaultAccessLife),
		refresh: positive(c.RefreshValidity, defaultRefreshLife),
	}
}

// grantCode saves a grant with its code, and returns the code.
func (p *Provider) grantCode(ctx context.Context, a *AuthRequest, to *target, session *core.Session, user *core.User) (string, error) {
	t := core.Request(ctx).Tenant.ID
	now := p.Now()
	life := lifetimesOf(to.client)
	g := &Grant{
		ClientID: a.ClientID, User: user.ID, Session: session.ID,
		Scopes: a.Scopes, Nonce: a.Nonce, AuthTime: session.AuthTime, AMR: session.AMR(), ACR: acrDefault,
		Created: now, Expires: now.Add(life.code + life.access),
	}
	if to.client != nil {
		g.Provider = to.client.ID
	}
	if slices.Contains(a.Scopes, scopeOfflineAccess) {
		g.Expires = now.Add(life.code + max(life.access, life.refresh))
	}
	code := core.RandomToken(32)
	c := &Code{
		Hash: core.Hash(code), ClientID: a.ClientID, RedirectURI: a.RedirectURI,
		Challenge: a.Challenge, Expires: now.Add(life.code),
	}
	if c.Challenge != "" {
		c.Method = methodS256
	}
	err := p.Store.SaveCode(ctx, t, c, g, p.event(ctx, core.Event{
		Action: core.EventAuthorize, User: user.ID, UserName: user.UserName, Application: to.app.ID,
		Message: "authorized " + to.app.Name,
		Context: map[string]any{"client_id": a.ClientID, "scopes": a.Scopes},
	}))
	if err != nil {
		return "", fmt.Errorf("save code: %w", err)
	}
	return code, nil
}
