package storagetest

import (
	"reflect"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

// TestCodes are those of TestTokens that are about codes, for what remembers them before a store that
// passes all.
func TestCodes(t *testing.T, open Open) {
	run(t, open, map[string]func(*bench){
		"code/once":           codeOnce,
		"code/with its grant": codeWithGrant,
		"grant/round trip":    grantRoundTrip,
	})
}

// codeWithGrant keeps a code with its new grant and an event: all of them, or none. What is then found of it is
// what is there, also where memory has the code.
func codeWithGrant(b *bench) {
	u, client, now := b.user("alice"), b.client("c"), b.clock.Now()
	save := func(plain string) (*oidc.Code, *oidc.Grant, error) {
		g := &oidc.Grant{ClientID: client.ClientID, Provider: client.ID, User: u.ID, Session: "s1", Scopes: []string{"openid"}, Nonce: "n",
			AuthTime: now, AMR: []string{"pwd"}, ACR: "1", Created: now, Expires: now.Add(time.Hour)}
		c := &oidc.Code{Hash: core.Hash(plain), ClientID: client.ClientID, RedirectURI: "https://app.test/cb", Challenge: "c", Method: "S256", Expires: now.Add(time.Minute)}
		err := b.SaveCode(b.ctx, b.t, c, g, &core.Event{Time: now, Action: core.EventAuthorize, Context: map[string]any{"client_id": "c"}})
		return c, g, err
	}
	c, g, err := save("code")
	b.ok(err)
	b.ok(second(b.Grant(b.ctx, b.t, g.ID)))
	events, err := b.RecentEvents(b.ctx, b.t, 10)
	b.ok(err)
	if len(events) != 1 || events[0].Context["grant"] != string(g.ID) || events[0].Context["client_id"] != "c" {
		b.Errorf("events: %+v", events)
	}
	for range 2 {
		got, of, err := b.Code(b.ctx, b.t, c.Hash)
		b.ok(err)
		if !reflect.DeepEqual(got, c) || !reflect.DeepEqual(of, g) {
			b.Errorf("got %#v of %#v\nwant %#v of %#v", got, of, c, g)
		}
	}
	used, _, err := save("used")
	b.ok(err)
	b.ok(b.ConsumeCode(b.ctx, b.t, used.Hash, nil))
	_, _, err = b.Code(b.ctx, b.t, used.Hash)
	b.is(err, core.ErrConsumed)

	revoked, of, err := save("revoked")
	b.ok(err)
	b.ok(b.RevokeGrant(b.ctx, b.t, of.ID))
	_, _, err = b.Code(b.ctx, b.t, revoked.Hash)
	b.is(err, core.ErrNotFound)

	// Somebody who may have no grant gets no code either.
	b.ok(second(b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error { v.Active = false; return nil })))
	refused, of, err := save("refused")
	b.is(err, core.ErrDenied)
	_, _, err = b.Code(b.ctx, b.t, refused.Hash)
	b.is(err, core.ErrNotFound)
	b.is(b.ConsumeCode(b.ctx, b.t, refused.Hash, nil), core.ErrNotFound)
	if of.ID != "" {
		b.is(second(b.Grant(b.ctx, b.t, of.ID)), core.ErrNotFound)
	}
	events, err = b.RecentEvents(b.ctx, b.t, 10)
	b.ok(err)
	n := 0
	for _, e := range events {
		if e.Action == core.EventAuthorize {
			n++
		}
	}
	equal(b, "events of codes that were kept", n, 3)
}
