package storagetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/login"
)

// TestSessions checks sessions.
func TestSessions(t *testing.T, open Open) {
	run(t, open, map[string]func(*bench){
		"round trip":             sessionRoundTrip,
		"absolute expiry":        sessionExpiry,
		"new key":                sessionNewKey,
		"touch":                  sessionTouch,
		"end with children":      sessionEnd,
		"end a user's":           sessionEndUser,
		"an ended one stays so":  sessionNotRevived,
		"child of an ended one":  sessionChildOfEnded,
		"list":                   sessionList,
		"list everybody's":       sessionListAll,
		"sweep":                  sessionSweep,
		"key of another session": sessionKeyTaken,
	})
}

func sessionRoundTrip(b *bench) {
	u := b.user("alice")
	now := b.clock.Now()
	s := &core.Session{ID: "s1", User: u.ID, AuthTime: now.Add(-time.Minute), Factors: []core.Factor{{Method: "pwd", At: now}, {Method: "otp", At: now.Add(time.Second)}},
		ACR: "acr", Address: "192.0.2.1", UserAgent: "browser", Created: now, LastSeen: now, Expires: now.Add(time.Hour), Idle: 90 * time.Minute}
	key := core.Hash("key")
	b.ok(b.SaveSession(b.ctx, b.t, key, s))
	got, err := b.FindSession(b.ctx, b.t, key)
	b.ok(err)
	if !reflect.DeepEqual(got, s) {
		b.Errorf("got %#v\nwant %#v", got, s)
	}
	got, err = b.SessionByID(b.ctx, b.t, "s1")
	b.ok(err)
	if !reflect.DeepEqual(got, s) {
		b.Errorf("by ID: got %#v\nwant %#v", got, s)
	}
	b.is(second(b.FindSession(b.ctx, b.t, core.Hash("other"))), core.ErrNotFound)
	b.is(second(b.SessionByID(b.ctx, b.t, "other")), core.ErrNotFound)
	s.ID, s.UserAgent = "s2", strings.Repeat("é", 1000)
	b.ok(b.SaveSession(b.ctx, b.t, core.Hash("key2"), s))
	got, err = b.SessionByID(b.ctx, b.t, "s2")
	b.ok(err)
	equal(b, "agent", got.UserAgent, strings.Repeat("é", 128))
}

func sessionExpiry(b *bench) {
	key := b.session(b.user("alice").ID, "s1", "")
	b.clock.Add(24*time.Hour - time.Microsecond)
	b.ok(second(b.FindSession(b.ctx, b.t, key)))
	b.clock.Add(time.Microsecond)
	b.is(second(b.FindSession(b.ctx, b.t, key)), core.ErrNotFound)
	b.is(second(b.SessionByID(b.ctx, b.t, "s1")), core.ErrNotFound)
}

// A second factor is added under a new key: the old one is dead.
func sessionNewKey(b *bench) {
	u := b.user("alice")
	old := b.session(u.ID, "s1", "")
	s, err := b.FindSession(b.ctx, b.t, old)
	b.ok(err)
	s.Factors = append(s.Factors, core.Factor{Method: "otp", At: b.clock.Now()})
	b.ok(b.SaveSession(b.ctx, b.t, core.Hash("new"), s))
	b.is(second(b.FindSession(b.ctx, b.t, old)), core.ErrNotFound)
	got, err := b.FindSession(b.ctx, b.t, core.Hash("new"))
	b.ok(err)
	equal(b, "amr", strings.Join(got.AMR(), " "), "pwd otp")
	// A session does not change its user.
	other := b.user("bob")
	s.User = other.ID
	b.is(b.SaveSession(b.ctx, b.t, core.Hash("stolen"), s), core.ErrNotFound)
	got, err = b.FindSession(b.ctx, b.t, core.Hash("new"))
	b.ok(err)
	equal(b, "user", got.User, u.ID)
}

func sessionKeyTaken(b *bench) {
	u := b.user("alice")
	key := b.session(u.ID, "s1", "")
	b.is(b.SaveSession(b.ctx, b.t, key, &core.Session{ID: "s2", User: u.ID, Expires: b.clock.Now().Add(time.Hour)}), core.ErrExists)
	got, err := b.FindSession(b.ctx, b.t, key)
	b.ok(err)
	equal(b, "session", got.ID, "s1")
}

func sessionTouch(b *bench) {
	key := b.session(b.user("alice").ID, "s1", "")
	later := b.clock.Now().Add(time.Minute)
	seen := func() time.Time {
		s, err := b.FindSession(b.ctx, b.t, key)
		b.ok(err)
		return s.LastSeen
	}
	b.ok(b.TouchSessions(b.ctx, b.t, map[core.SessionID]time.Time{"s1": later, "absent": later}))
	equal(b, "touched", seen(), later)
	b.ok(b.TouchSessions(b.ctx, b.t, map[core.SessionID]time.Time{"s1": later.Add(-time.Second)}))
	equal(b, "an earlier time", seen(), later)
	b.ok(b.TouchSessions(b.ctx, b.t, nil))
}

func sessionEnd(b *bench) {
	u := b.user("alice")
	keys := [][32]byte{b.session(u.ID, "s1", ""), b.session(u.ID, "c1", "s1"), b.session(u.ID, "c2", "s1")}
	kept := b.session(u.ID, "s2", "")
	ids, err := b.DeleteSession(b.ctx, b.t, "s1")
	b.ok(err)
	slices.Sort(ids)
	equal(b, "ended", fmt.Sprint(ids), "[c1 c2 s1]")
	for _, k := range keys {
		b.is(second(b.FindSession(b.ctx, b.t, k)), core.ErrNotFound)
	}
	b.ok(second(b.FindSession(b.ctx, b.t, kept)))
	ids, err = b.DeleteSession(b.ctx, b.t, "s1")
	b.ok(err)
	equal(b, "ended again", len(ids), 0)
	ids, err = b.DeleteSession(b.ctx, b.t, "absent")
	b.ok(err)
	equal(b, "absent", len(ids), 0)
	// A child ends alone.
	child := b.session(u.ID, "c3", "s2")
	b.ok(second(b.DeleteSession(b.ctx, b.t, "c3")))
	b.is(second(b.FindSession(b.ctx, b.t, child)), core.ErrNotFound)
	b.ok(second(b.FindSession(b.ctx, b.t, kept)))
}

func sessionEndUser(b *bench) {
	u, o := b.user("alice"), b.user("bob")
	b.session(u.ID, "s1", "")
	b.session(u.ID, "c1", "s1")
	b.session(u.ID, "s2", "")
	b.session(u.ID, "c2", "s2")
	b.session(o.ID, "s3", "")
	left := func() string {
		var out []string
		for _, id := range []core.SessionID{"s1", "c1", "s2", "c2", "s3"} {
			if err := second(b.SessionByID(b.ctx, b.t, id)); err == nil {
				out = append(out, string(id))
			} else if !errors.Is(err, core.ErrNotFound) {
				b.Error(err)
			}
		}
		return strings.Join(out, " ")
	}
	ids, err := b.DeleteUserSessions(b.ctx, b.t, u.ID, "s1")
	b.ok(err)
	slices.Sort(ids)
	equal(b, "ended", fmt.Sprint(ids), "[c2 s2]")
	equal(b, "left", left(), "s1 c1 s3")
	ids, err = b.DeleteUserSessions(b.ctx, b.t, u.ID, "")
	b.ok(err)
	equal(b, "ended", len(ids), 2)
	equal(b, "left", left(), "s3")
}

// A request that was under way when the session ended cannot bring it back.
func sessionNotRevived(b *bench) {
	key := b.session(b.user("alice").ID, "s1", "")
	s, err := b.FindSession(b.ctx, b.t, key)
	b.ok(err)
	b.ok(second(b.DeleteSession(b.ctx, b.t, "s1")))
	b.is(b.SaveSession(b.ctx, b.t, key, s), core.ErrNotFound)
	b.is(b.SaveSession(b.ctx, b.t, core.Hash("new key"), s), core.ErrNotFound)
	b.ok(b.TouchSessions(b.ctx, b.t, map[core.SessionID]time.Time{"s1": b.clock.Now().Add(time.Minute)}))
	b.is(second(b.FindSession(b.ctx, b.t, key)), core.ErrNotFound)
	b.is(second(b.FindSession(b.ctx, b.t, core.Hash("new key"))), core.ErrNotFound)
	b.is(second(b.SessionByID(b.ctx, b.t, "s1")), core.ErrNotFound)
}

func sessionChildOfEnded(b *bench) {
	u := b.user("alice")
	b.session(u.ID, "s1", "")
	b.ok(second(b.DeleteSession(b.ctx, b.t, "s1")))
	child := &core.Session{ID: "c", User: u.ID, Parent: "s1", Application: "a", Expires: b.clock.Now().Add(time.Hour)}
	b.is(b.SaveSession(b.ctx, b.t, core.Hash("c"), child), core.ErrNotFound)
	child.Parent = "absent"
	b.is(b.SaveSession(b.ctx, b.t, core.Hash("c"), child), core.ErrNotFound)
	b.is(second(b.FindSession(b.ctx, b.t, core.Hash("c"))), core.ErrNotFound)
}

func sessionList(b *bench) {
	u, o := b.user("alice"), b.user("bob")
	b.session(u.ID, "s1", "")
	b.session(u.ID, "c1", "s1")
	b.clock.Add(30 * time.Minute)
	b.session(u.ID, "s2", "")
	b.session(o.ID, "s3", "")
	list := func() string {
		ss, err := b.UserSessions(b.ctx, b.t, u.ID)
		b.ok(err)
		var out []string
		for _, s := range ss {
			out = append(out, string(s.ID))
		}
		return strings.Join(out, " ")
	}
	equal(b, "newest first", list(), "s2 s1")
	b.clock.Add(31 * time.Minute) // s1 was idle for too long
	equal(b, "live", list(), "s2")
}

// Lists of everybody's logins are narrowed, searched and paged by the store.
func sessionListAll(b *bench) {
	alice, bob := b.user("Alice"), b.user("bob")
	save := func(id core.SessionID, u core.UserID, parent core.SessionID, address, agent string) {
		now := b.clock.Now()
		b.ok(b.SaveSession(b.ctx, b.t, core.Hash(string(id)), &core.Session{ID: id, User: u, AuthTime: now, Parent: parent, Address: address, UserAgent: agent,
			Created: now, LastSeen: now, Expires: now.Add(24 * time.Hour), Idle: time.Hour}))
		b.clock.Add(time.Minute)
	}
	save("s1", alice.ID, "", "192.0.2.1", "Firefox/1 100%")
	save("c1", alice.ID, "s1", "192.0.2.1", "Firefox/1")
	save("s2", alice.ID, "", "2001:db8::1", "curl/8")
	save("s3", bob.ID, "", "192.0.2.1", "alice's Browser")
	save("gone", bob.ID, "", "192.0.2.1", "x")
	b.ok(second(b.DeleteSession(b.ctx, b.t, "gone")))
	list := func(q api.Query) string {
		b.Helper()
		rows, n, err := b.ListSessions(b.ctx, b.t, q)
		b.ok(err)
		var out []string
		for _, s := range rows {
			out = append(out, string(s.ID))
		}
		return fmt.Sprintf("%s of %d", strings.Join(out, " "), n)
	}
	where := func(key string, values ...string) api.Query {
		return api.Query{Where: map[string][]string{key: values}}
	}
	for _, c := range []struct {
		name string
		q    api.Query
		want string
	}{
		{"all", api.Query{}, "s1 s2 s3 of 3"},
		{"newest first", api.Query{Order: []string{"-uuid"}}, "s3 s2 s1 of 3"},
		{"by use", api.Query{Order: []string{"-last_used"}, Limit: 2}, "s3 s2 of 3"},
		{"a page", api.Query{Offset: 2, Limit: 2}, "s3 of 3"},
		{"after the last page", api.Query{Offset: 9, Limit: 2}, " of 3"},
		{"user", where("user", string(alice.ID)), "s1 s2 of 2"},
		{"address", where("last_ip", "192.0.2.1"), "s1 s3 of 2"},
		{"browser", where("last_user_agent", "curl/8"), "s2 of 1"},
		{"no such", where("uuid", "c1"), " of 0"},
		{"search a name", api.Query{Search: "ALICE"}, "s1 s2 s3 of 3"}, // or a browser
		{"search both", api.Query{Search: "alice 192.0.2"}, "s1 s3 of 2"},
		{"search a browser", api.Query{Search: "BROWSER bo"}, "s3 of 1"},
		{"search with a sign", api.Query{Search: "100%"}, "s1 of 1"},
		{"search what is not there", api.Query{Search: "%"}, "s1 of 1"},
	} {
		equal(b, c.name, list(c.q), c.want)
	}
	b.field(third(b.ListSessions(b.ctx, b.t, where("key_hash", "x"))), "key_hash")
	b.field(third(b.ListSessions(b.ctx, b.t, api.Query{Search: strings.Repeat("a ", 11)})), "search")
	b.clock.Add(57*time.Minute + time.Second) // s1 and s2 have rested for too long
	equal(b, "live", list(api.Query{}), "s3 of 1")
}

func sessionSweep(b *bench) {
	u := b.user("alice")
	idle, busy := b.session(u.ID, "idle", ""), b.session(u.ID, "busy", "")
	child := b.session(u.ID, "child", "idle")
	b.clock.Add(50 * time.Minute)
	b.ok(b.TouchSessions(b.ctx, b.t, map[core.SessionID]time.Time{"busy": b.clock.Now(), "child": b.clock.Now()}))
	b.clock.Add(11 * time.Minute)
	b.ok(b.DeleteExpiredSessions(b.ctx, b.t, b.clock.Now()))
	b.is(second(b.FindSession(b.ctx, b.t, idle)), core.ErrNotFound)
	b.is(second(b.FindSession(b.ctx, b.t, child)), core.ErrNotFound)
	b.ok(second(b.FindSession(b.ctx, b.t, busy)))
	b.clock.Add(-time.Hour)
	b.is(second(b.FindSession(b.ctx, b.t, idle)), core.ErrNotFound)
}

// TestLogin checks credentials, links and counters of failures.
func TestLogin(t *testing.T, open Open) {
	run(t, open, map[string]func(*bench){
		"password":                   passwords,
		"password ends links (R-11)": passwordEndsLinks,
		"link":                       links,
		"attempts":                   attempts,
		"set-up closes once (R-14)":  setUps,
	})
}

func saveLink(b *bench, u core.UserID, plain string) [32]byte {
	b.Helper()
	h := core.Hash(plain)
	b.ok(b.SaveLink(b.ctx, b.t, &login.Link{Hash: h, Purpose: login.LinkRecovery, User: u, Expires: b.clock.Now().Add(time.Hour)}))
	return h
}

func passwords(b *bench) {
	u := b.user("alice")
	hash := func() string {
		h, err := b.PasswordHash(b.ctx, b.t, u.ID)
		b.ok(err)
		return h
	}
	equal(b, "at first", hash(), "")
	at := b.clock.Now().Add(time.Minute)
	b.ok(b.SetPasswordHash(b.ctx, b.t, u.ID, "$1", at))
	equal(b, "set", hash(), "$1")
	got, err := b.User(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "changed", got.PasswordChanged, at)
	b.ok(b.RehashPassword(b.ctx, b.t, u.ID, "$1", "$2"))
	equal(b, "rehashed", hash(), "$2")
	b.ok(b.RehashPassword(b.ctx, b.t, u.ID, "$1", "$old"))
	equal(b, "rehashed from what is no longer stored", hash(), "$2")
	// A change of the user keeps both.
	b.ok(second(b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error { v.PasswordChanged = time.Time{}; return nil })))
	got, err = b.User(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "changed still", got.PasswordChanged, at)
	equal(b, "hash still", hash(), "$2")
	b.ok(b.SetLastLogin(b.ctx, b.t, u.ID, at, nil))
	b.ok(b.SetLastLogin(b.ctx, b.t, u.ID, at.Add(-time.Hour), &core.Event{ID: "with-login", Action: core.EventLogin}))
	got, err = b.User(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "last login", got.LastLogin, at)
	recorded, err := b.RecentEvents(b.ctx, b.t, 1)
	b.ok(err)
	equal(b, "recorded with it", len(recorded) == 1 && recorded[0].ID == "with-login", true)
	b.is(second(b.PasswordHash(b.ctx, b.t, "none")), core.ErrNotFound)
	b.is(b.SetPasswordHash(b.ctx, b.t, "none", "$", at), core.ErrNotFound)
}

func passwordEndsLinks(b *bench) {
	u, o := b.user("alice"), b.user("bob")
	used, open, other := saveLink(b, u.ID, "used"), saveLink(b, u.ID, "open"), saveLink(b, o.ID, "other")
	b.ok(b.CreateToken(b.ctx, b.t, &core.Token{Identifier: "rec", User: u.ID, Intent: core.IntentRecovery}, "rec"))
	b.token(u.ID, "api")
	b.ok(second(b.ConsumeLink(b.ctx, b.t, used, b.clock.Now())))
	b.ok(b.SetPasswordHash(b.ctx, b.t, u.ID, "$1", b.clock.Now()))
	b.is(second(b.ConsumeLink(b.ctx, b.t, open, b.clock.Now())), core.ErrNotFound)
	b.is(second(b.ConsumeLink(b.ctx, b.t, used, b.clock.Now())), core.ErrConsumed)
	b.is(second(b.Token(b.ctx, b.t, "rec")), core.ErrNotFound)
	b.ok(second(b.Token(b.ctx, b.t, "api")))
	b.ok(second(b.ConsumeLink(b.ctx, b.t, other, b.clock.Now())))
}

func links(b *bench) {
	u := b.user("alice")
	h := saveLink(b, u.ID, "l")
	want := &login.Link{Hash: h, Purpose: login.LinkRecovery, User: u.ID, Expires: b.clock.Now().Add(time.Hour)}
	for range 2 { // looking does not use it up
		got, err := b.Link(b.ctx, b.t, h)
		b.ok(err)
		if !reflect.DeepEqual(got, want) {
			b.Errorf("got %#v\nwant %#v", got, want)
		}
	}
	got, err := b.ConsumeLink(b.ctx, b.t, h, b.clock.Now())
	b.ok(err)
	if !reflect.DeepEqual(got, want) {
		b.Errorf("got %#v\nwant %#v", got, want)
	}
	b.is(second(b.ConsumeLink(b.ctx, b.t, h, b.clock.Now())), core.ErrConsumed)
	b.is(second(b.Link(b.ctx, b.t, h)), core.ErrConsumed)
	b.is(second(b.ConsumeLink(b.ctx, b.t, core.Hash("x"), b.clock.Now())), core.ErrNotFound)
	b.is(second(b.Link(b.ctx, b.t, core.Hash("x"))), core.ErrNotFound)
	late := saveLink(b, u.ID, "late")
	// denied exactly at expiry.
	b.is(second(b.ConsumeLink(b.ctx, b.t, late, b.clock.Now().Add(time.Hour))), core.ErrNotFound)
	b.ok(b.DeleteLinks(b.ctx, b.t, u.ID, login.LinkSetup))
	b.ok(second(b.Link(b.ctx, b.t, late)))
	b.ok(b.DeleteLinks(b.ctx, b.t, u.ID, login.LinkRecovery))
	b.is(second(b.Link(b.ctx, b.t, late)), core.ErrNotFound)
	b.is(b.SaveLink(b.ctx, b.t, &login.Link{Hash: core.Hash("y"), User: "none", Expires: b.clock.Now()}), core.ErrNotFound)
}

func setUps(b *bench) {
	b.ok(second(b.CreateTenant(b.ctx, tenantB, "B")))
	closed := func(t core.TenantID) bool {
		is, err := b.SetupClosed(b.ctx, t)
		b.ok(err)
		return is
	}
	if closed(tenantA) {
		b.Error("closed before anything was done")
	}
	for range 2 {
		b.ok(b.CloseSetup(b.ctx, tenantA))
		if !closed(tenantA) || closed(tenantB) {
			b.Errorf("closed in A: %t, in B: %t", closed(tenantA), closed(tenantB))
		}
	}
}

func attempts(b *bench) {
	const window = time.Minute
	k := core.Counter{Key: "k", Window: window}
	count := func() string {
		all, err := b.Failures(b.ctx, b.t, k)
		b.ok(err)
		return fmt.Sprint(all[0].Count, " ", all[0].Newest.Sub(NewClock().Now()))
	}
	fail := func() int {
		n, err := b.Fail(b.ctx, b.t, nil, k)
		b.ok(err)
		return n[0]
	}
	settle := func(refund, forget []string) { b.ok(b.Settle(b.ctx, b.t, refund, forget)) }
	all, err := b.Failures(b.ctx, b.t, k)
	b.ok(err)
	equal(b, "none", fmt.Sprint(all[0].Count, all[0].Newest.IsZero()), "0 true")
	equal(b, "first", fail(), 1)
	b.clock.Add(30 * time.Second)
	equal(b, "second", fail(), 2)
	equal(b, "counted", count(), "2 30s")
	settle([]string{"k"}, nil)
	equal(b, "refunded", count(), "1 30s")
	settle([]string{"k", "k"}, nil)
	equal(b, "not below none", count(), "0 30s")
	equal(b, "again", fail(), 1)
	settle([]string{"absent"}, []string{"absent"})
	b.clock.Add(window + time.Second)
	all, err = b.Failures(b.ctx, b.t, k)
	b.ok(err)
	equal(b, "past the window", all[0], core.Failures{})
	equal(b, "starts again", fail(), 1)
	// Several at once, each with its own count and window; what is not accepted is counted nowhere.
	odd, long := core.Counter{Key: "other\x00\xff" + strings.Repeat("x", 10000), Window: window}, core.Counter{Key: "long", Window: time.Hour}
	equal(b, "together", fmt.Sprint(second2(b.Fail(b.ctx, b.t, nil, odd, k, long))), "[1 2 1]")
	var offered []int
	refused, err := b.Fail(b.ctx, b.t, func(n []int) bool { offered = slices.Clone(n); return false }, k, long)
	b.ok(err)
	equal(b, "refused", fmt.Sprint(refused == nil, offered), "true [3 2]")
	b.clock.Add(window + time.Second)
	all, err = b.Failures(b.ctx, b.t, long, odd, k, core.Counter{Key: "absent", Window: window})
	b.ok(err)
	equal(b, "of several", fmt.Sprint(all[0].Count, all[1].Count, all[2].Count, all[3].Count), "1 0 0 0")
	settle([]string{"long"}, []string{"k"})
	settle(nil, []string{"k"})
	equal(b, "after forget", fail(), 1)
	// A failure of a shorter window is forgotten in good time by the sweep, one of
	// a window that runs is not.
	b.ok(b.DeleteExpired(b.ctx, b.t, b.clock.Now()))
	equal(b, "after the sweep", fail(), 2)
}

// second2 is the first result of a call whose error shows as a wrong result.
func second2[T any](v T, err error) T {
	if err != nil {
		var none T
		return none
	}
	return v
}
