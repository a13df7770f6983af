package storagetest

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

// TestTokens checks consents, grants, codes, refresh tokens and authorization
// requests.
func TestTokens(t *testing.T, open Open) {
	run(t, open, map[string]func(*bench){
		"consent":                       consents,
		"grant/round trip":              grantRoundTrip,
		"grant/expires":                 grantExpires,
		"grant/extend":                  grantExtend,
		"grant/revoke by match":         grantRevokeMatch,
		"code/once":                     codeOnce, // O-16
		"code/with its grant":           codeWithGrant,
		"refresh/rotation":              refreshRotate, // T-14
		"refresh/grace":                 refreshGrace,
		"refresh/foreign grant":         refreshForeign,
		"authorization request":         authRequests,
		"authorization requests' room":  authRequestsRoom,
		"expired things go":             expiredGo,
		"expired things go in batches":  expiredBatches,
		"clock that jumps back (L-10)":  clockBack,
		"grant/no change by a stranger": grantStranger,
	})
}

func consent(b *bench, u core.UserID, clientID string) *oidc.Consent {
	return &oidc.Consent{User: u, ClientID: clientID, Scopes: []string{"openid", "email"}, Expires: b.clock.Now().Add(time.Hour)}
}

func consents(b *bench) {
	u := b.user("alice")
	b.is(second(b.Consent(b.ctx, b.t, u.ID, "c")), core.ErrNotFound)
	b.ok(b.SaveConsent(b.ctx, b.t, consent(b, u.ID, "c")))
	got, err := b.Consent(b.ctx, b.t, u.ID, "c")
	b.ok(err)
	equal(b, "scopes, sorted", strings.Join(got.Scopes, " "), "email openid")
	equal(b, "expires", got.Expires, b.clock.Now().Add(time.Hour))
	b.ok(b.SaveConsent(b.ctx, b.t, &oidc.Consent{User: u.ID, ClientID: "c", Scopes: []string{"x"}, Expires: b.clock.Now().Add(2 * time.Hour)}))
	got, err = b.Consent(b.ctx, b.t, u.ID, "c")
	b.ok(err)
	equal(b, "replaced", strings.Join(got.Scopes, " "), "x")
	b.clock.Add(2 * time.Hour)
	b.is(second(b.Consent(b.ctx, b.t, u.ID, "c")), core.ErrNotFound)
	b.ok(b.SaveConsent(b.ctx, b.t, consent(b, u.ID, "c")))
	b.ok(b.DeleteConsent(b.ctx, b.t, u.ID, "c"))
	b.ok(b.DeleteConsent(b.ctx, b.t, u.ID, "c"))
	b.is(second(b.Consent(b.ctx, b.t, u.ID, "c")), core.ErrNotFound)
}

func grantRoundTrip(b *bench) {
	u, c := b.user("alice"), b.client("c")
	g := b.grant(u.ID, c)
	got, err := b.Grant(b.ctx, b.t, g.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, g) {
		b.Errorf("got %#v\nwant %#v", got, g)
	}
	g.Scopes = []string{"openid"}
	b.ok(b.SaveGrant(b.ctx, b.t, g))
	got, err = b.Grant(b.ctx, b.t, g.ID)
	b.ok(err)
	equal(b, "scopes", strings.Join(got.Scopes, " "), "openid")
	code, refresh := b.code(g, "code"), b.refresh(g, "refresh")
	b.ok(b.RevokeGrant(b.ctx, b.t, g.ID))
	b.ok(b.RevokeGrant(b.ctx, b.t, g.ID))
	b.is(second(b.Grant(b.ctx, b.t, g.ID)), core.ErrNotFound)
	b.is(b.ConsumeCode(b.ctx, b.t, code, nil), core.ErrNotFound)
	b.is(third(b.Refresh(b.ctx, b.t, refresh)), core.ErrNotFound)
	b.is(b.SaveCode(b.ctx, b.t, &oidc.Code{Hash: core.Hash("x"), Grant: g.ID, Expires: b.clock.Now()}, nil, nil), core.ErrNotFound)
	b.is(second(b.RotateRefresh(b.ctx, b.t, &oidc.Rotation{Old: refresh, Next: b.nextRefresh(g, "x"), Grace: time.Second})), core.ErrNotFound)
}

func grantStranger(b *bench) {
	u, other, c := b.user("alice"), b.user("bob"), b.client("c")
	g := b.grant(u.ID, c)
	forged := *g
	forged.User, forged.Scopes = other.ID, []string{"all"}
	b.is(b.SaveGrant(b.ctx, b.t, &forged), core.ErrExists)
	got, err := b.Grant(b.ctx, b.t, g.ID)
	b.ok(err)
	equal(b, "grant", fmt.Sprint(got.User, got.Scopes), fmt.Sprint(u.ID, g.Scopes))
}

func grantExpires(b *bench) {
	g := b.grant(b.user("alice").ID, b.client("c"))
	b.clock.Add(time.Hour - time.Microsecond)
	b.ok(second(b.Grant(b.ctx, b.t, g.ID)))
	b.clock.Add(time.Microsecond)
	b.is(second(b.Grant(b.ctx, b.t, g.ID)), core.ErrNotFound)
}

func grantExtend(b *bench) {
	g := b.grant(b.user("alice").ID, b.client("c"))
	expires := func() time.Time {
		got, err := b.Grant(b.ctx, b.t, g.ID)
		b.ok(err)
		return got.Expires
	}
	later := g.Expires.Add(time.Hour)
	b.ok(b.ExtendGrant(b.ctx, b.t, g.ID, later))
	equal(b, "extended", expires(), later)
	b.ok(b.ExtendGrant(b.ctx, b.t, g.ID, later.Add(-time.Minute)))
	equal(b, "not shortened", expires(), later)
	b.ok(b.RevokeGrant(b.ctx, b.t, g.ID))
	b.is(b.ExtendGrant(b.ctx, b.t, g.ID, later), core.ErrNotFound)
}

func grantRevokeMatch(b *bench) {
	a, o := b.user("alice"), b.user("bob")
	c, d := b.client("c"), b.client("d")
	save := func(id string, u core.UserID, c *core.Client, s core.SessionID) {
		b.ok(b.SaveGrant(b.ctx, b.t, &oidc.Grant{ID: oidc.GrantID(id), User: u, ClientID: c.ClientID, Provider: c.ID, Session: s,
			Created: b.clock.Now(), Expires: b.clock.Now().Add(time.Hour)}))
	}
	for _, f := range []struct {
		match oidc.GrantMatch
		left  string
	}{
		{oidc.GrantMatch{Session: "s1"}, "g3 g4"},
		{oidc.GrantMatch{User: a.ID}, "g4"},
		{oidc.GrantMatch{ClientID: "c"}, "g2 g3"},
		{oidc.GrantMatch{User: a.ID, ClientID: "c"}, "g2 g3 g4"},
		{oidc.GrantMatch{Session: "s1", User: o.ID}, "g1 g2 g3 g4"},
	} {
		save("g1", a.ID, c, "s1")
		save("g2", a.ID, d, "s1")
		save("g3", a.ID, d, "")
		save("g4", o.ID, c, "s2")
		b.ok(b.RevokeGrants(b.ctx, b.t, f.match))
		var left []string
		for _, id := range []string{"g1", "g2", "g3", "g4"} {
			if second(b.Grant(b.ctx, b.t, oidc.GrantID(id))) == nil {
				left = append(left, id)
			}
		}
		equal(b, fmt.Sprintf("%+v", f.match), strings.Join(left, " "), f.left)
	}
	save("g1", a.ID, c, "")
	if b.RevokeGrants(b.ctx, b.t, oidc.GrantMatch{}) == nil {
		b.Error("a match of nothing: no error")
	}
	b.ok(second(b.Grant(b.ctx, b.t, "g1")))
}

func codeOnce(b *bench) {
	g := b.grant(b.user("alice").ID, b.client("c"))
	h := b.code(g, "code")
	want := &oidc.Code{Hash: h, Grant: g.ID, ClientID: "c", RedirectURI: "https://app.test/cb", Challenge: "c", Method: "S256", Expires: b.clock.Now().Add(time.Minute)}
	got, of, err := b.Code(b.ctx, b.t, h)
	b.ok(err)
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(of, g) {
		b.Errorf("got %#v of %#v\nwant %#v of %#v", got, of, want, g)
	}
	b.ok(b.ConsumeCode(b.ctx, b.t, h, b.nextRefresh(g, "first")))
	b.ok(third(b.Refresh(b.ctx, b.t, core.Hash("first"))))
	for range 2 {
		b.is(b.ConsumeCode(b.ctx, b.t, h, b.nextRefresh(g, "another")), core.ErrConsumed)
		got, of, err = b.Code(b.ctx, b.t, h)
		b.is(err, core.ErrConsumed)
		if !reflect.DeepEqual(got, want) || of != nil {
			b.Errorf("second use: got %#v of %#v\nwant %#v", got, of, want)
		}
	}
	// What was not redeemed leaves nothing behind.
	b.is(third(b.Refresh(b.ctx, b.t, core.Hash("another"))), core.ErrNotFound)
	b.is(b.ConsumeCode(b.ctx, b.t, core.Hash("unknown"), b.nextRefresh(g, "another")), core.ErrNotFound)
	b.is(third(b.Refresh(b.ctx, b.t, core.Hash("another"))), core.ErrNotFound)
	got, of, err = b.Code(b.ctx, b.t, core.Hash("unknown"))
	b.is(err, core.ErrNotFound)
	if got != nil || of != nil {
		b.Errorf("unknown: got %#v of %#v", got, of)
	}
	// A refresh token of another grant, whose end is not this one's: the code stays unused.
	fresh := b.code(g, "fresh")
	b.is(b.ConsumeCode(b.ctx, b.t, fresh, &oidc.RefreshToken{Hash: core.Hash("lost"), Grant: "no grant"}), core.ErrNotFound)
	b.ok(b.ConsumeCode(b.ctx, b.t, fresh, nil))
}

func refreshRotate(b *bench) {
	g := b.grant(b.user("alice").ID, b.client("c"))
	old := b.refresh(g, "r1")
	r, of, err := b.Refresh(b.ctx, b.t, old)
	b.ok(err)
	want := b.nextRefresh(g, "r1")
	if !reflect.DeepEqual(r, want) || !reflect.DeepEqual(of, g) {
		b.Errorf("got %#v of %#v\nwant %#v of %#v", r, of, want, g)
	}
	sealed, err := b.RotateRefresh(b.ctx, b.t, &oidc.Rotation{Old: old, Next: b.nextRefresh(g, "r2"), Sealed: []byte("answer 2"), Grace: 10 * time.Second})
	b.ok(err)
	equal(b, "first answer", string(sealed), "")
	r, _, err = b.Refresh(b.ctx, b.t, old)
	b.ok(err)
	equal(b, "used", r.Used, b.clock.Now())
	r, _, err = b.Refresh(b.ctx, b.t, core.Hash("r2"))
	b.ok(err)
	equal(b, "next is unused", r.Used.IsZero(), true)
	b.is(second(b.RotateRefresh(b.ctx, b.t, &oidc.Rotation{Old: core.Hash("unknown"), Next: b.nextRefresh(g, "r3"), Grace: time.Second})), core.ErrNotFound)
	b.is(third(b.Refresh(b.ctx, b.t, core.Hash("r3"))), core.ErrNotFound)
	b.clock.Add(time.Hour)
	_, of, err = b.Refresh(b.ctx, b.t, old)
	b.ok(err)
	equal(b, "the grant has expired", of == nil, true)
}

func refreshGrace(b *bench) {
	g := b.grant(b.user("alice").ID, b.client("c"))
	old := b.refresh(g, "r1")
	const grace = 10 * time.Second
	again := func(next string) (string, error) {
		sealed, err := b.RotateRefresh(b.ctx, b.t, &oidc.Rotation{Old: old, Next: b.nextRefresh(g, next), Sealed: []byte("answer of " + next), Grace: grace})
		return string(sealed), err
	}
	_, err := again("r2")
	b.ok(err)
	b.clock.Add(grace)
	sealed, err := again("r3")
	b.is(err, core.ErrConsumed)
	equal(b, "within grace", sealed, "answer of r2")
	b.is(third(b.Refresh(b.ctx, b.t, core.Hash("r3"))), core.ErrNotFound) // the family is not forked
	b.clock.Add(time.Microsecond)
	sealed, err = again("r4")
	b.is(err, core.ErrConsumed)
	equal(b, "after grace", sealed, "")
	b.clock.Add(time.Hour)
	b.ok(b.DeleteExpired(b.ctx, b.t, b.clock.Now().Add(-time.Hour).Add(10*time.Minute)))
	b.clock.Add(-time.Hour)
	sealed, err = again("r5")
	b.is(err, core.ErrConsumed)
	equal(b, "after the answer was dropped", sealed, "")
}

func refreshForeign(b *bench) {
	u, c := b.user("alice"), b.client("c")
	g, other := b.grant(u.ID, c), b.grant(u.ID, c)
	old := b.refresh(g, "r1")
	b.is(second(b.RotateRefresh(b.ctx, b.t, &oidc.Rotation{Old: old, Next: b.nextRefresh(other, "r2"), Grace: time.Second})), core.ErrNotFound)
	b.ok(second(b.RotateRefresh(b.ctx, b.t, &oidc.Rotation{Old: old, Next: b.nextRefresh(g, "r2"), Grace: time.Second})))
}

func authRequests(b *bench) {
	exp := b.clock.Now().Add(time.Minute)
	b.ok(b.SaveAuthRequest(b.ctx, b.t, "id", []byte{0, 1, 255}, exp))
	got, err := b.AuthRequest(b.ctx, b.t, "id")
	b.ok(err)
	equal(b, "data", string(got), "\x00\x01\xff")
	b.is(second(b.AuthRequest(b.ctx, b.t, "other")), core.ErrNotFound)
	if b.SaveAuthRequest(b.ctx, b.t, "big", make([]byte, 1<<20), exp) == nil {
		b.Error("a megabyte: no error")
	}
	b.clock.Add(time.Minute)
	b.is(second(b.AuthRequest(b.ctx, b.t, "id")), core.ErrNotFound)
}

// Whoever starts long authorization requests fills the room of their own address, and nobody else's.
func authRequestsRoom(b *bench) {
	exp := b.clock.Now().Add(time.Minute)
	n := 0
	save := func(address string) error {
		n++
		ctx := core.WithRequest(b.ctx, &core.RequestInfo{ClientIP: netip.MustParseAddr(address)})
		return b.SaveAuthRequest(ctx, b.t, fmt.Sprint("id", n), nil, exp)
	}
	saved := func(address func(i int) string) (count int) {
		for i := range 1500 {
			if save(address(i)) == nil {
				count++
			}
		}
		return count
	}
	one := saved(func(int) string { return "192.0.2.1" })
	if one < 500 || one > 1250 {
		b.Errorf("%d of one address", one)
	}
	b.ok(save("192.0.2.2"))
	// One connection has as many addresses of IPv6 as it likes.
	if network := saved(func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }); network < 500 || network >= one {
		b.Errorf("%d of one network, after %d of one address", network, one)
	}
	b.ok(save("2001:db8:0:1::1"))
	if save("::ffff:192.0.2.1") == nil {
		b.Error("the same address, written otherwise, has room")
	}
	// Control: as many from anywhere have room.
	if others := saved(func(i int) string { return fmt.Sprintf("198.51.%d.%d", i/250, i%250) }); others != 1500 {
		b.Errorf("%d of 1500 addresses", others)
	}
	b.clock.Add(time.Minute)
	exp = b.clock.Now().Add(time.Minute)
	b.ok(save("192.0.2.1"))
}

func expiredGo(b *bench) {
	u, c := b.user("alice"), b.client("c")
	old := b.grant(u.ID, c)
	code := b.code(old, "code")
	b.refresh(old, "r1")
	b.ok(b.ConsumeCode(b.ctx, b.t, code, nil))
	b.ok(b.SaveConsent(b.ctx, b.t, consent(b, u.ID, "c")))
	b.session(u.ID, "s1", "")
	b.clock.Add(30 * time.Minute)
	fresh := b.grant(u.ID, c)
	freshCode := b.code(fresh, "fresh")
	b.ok(b.DeleteExpired(b.ctx, b.t, b.clock.Now()))
	// A used code is known for longer than it was good for.
	b.is(b.ConsumeCode(b.ctx, b.t, code, nil), core.ErrConsumed)
	b.clock.Add(31 * time.Minute)
	b.ok(b.DeleteExpired(b.ctx, b.t, b.clock.Now()))
	b.is(b.ConsumeCode(b.ctx, b.t, code, nil), core.ErrNotFound) // its grant is over
	b.is(second(b.FindSession(b.ctx, b.t, core.Hash("key of s1"))), core.ErrNotFound)
	b.ok(second(b.Grant(b.ctx, b.t, fresh.ID)))
	b.ok(b.ConsumeCode(b.ctx, b.t, freshCode, nil))
	b.ok(second(b.Client(b.ctx, b.t, "c")))
}

func expiredBatches(b *bench) {
	g := b.grant(b.user("alice").ID, b.client("c"))
	for i := range 1100 {
		b.ok(b.SaveAuthRequest(b.ctx, b.t, fmt.Sprint(i), nil, b.clock.Now().Add(time.Minute)))
	}
	b.clock.Add(time.Minute)
	b.ok(b.DeleteExpired(b.ctx, b.t, b.clock.Now()))
	b.clock.Add(-time.Minute)
	for _, id := range []string{"0", "500", "1099"} {
		b.is(second(b.AuthRequest(b.ctx, b.t, id)), core.ErrNotFound)
	}
	b.ok(second(b.Grant(b.ctx, b.t, g.ID)))
}

// A clock that jumps back revives nothing that was used or ended.
func clockBack(b *bench) {
	u := b.user("alice")
	g := b.grant(u.ID, b.client("c"))
	code, refresh, key := b.code(g, "code"), b.refresh(g, "r1"), b.session(u.ID, "s1", "")
	b.ok(b.ConsumeCode(b.ctx, b.t, code, nil))
	b.ok(second(b.RotateRefresh(b.ctx, b.t, &oidc.Rotation{Old: refresh, Next: b.nextRefresh(g, "r2"), Sealed: []byte("a"), Grace: time.Second})))
	b.ok(second(b.DeleteSession(b.ctx, b.t, "s1")))
	b.clock.Add(-time.Hour)
	b.is(b.ConsumeCode(b.ctx, b.t, code, nil), core.ErrConsumed)
	sealed, err := b.RotateRefresh(b.ctx, b.t, &oidc.Rotation{Old: refresh, Next: b.nextRefresh(g, "r3"), Grace: time.Second})
	b.is(err, core.ErrConsumed)
	equal(b, "answer", string(sealed), "")
	b.is(second(b.FindSession(b.ctx, b.t, key)), core.ErrNotFound)
}
