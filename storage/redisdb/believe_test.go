package redisdb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/redisdb"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

const tenant = core.DefaultTenant

// durable counts what is read from a database, and may tell lies.
type durable struct {
	redisdb.Durable
	reads atomic.Int64
	lie   *core.Session // found under every key
	uuid  string        // of the tenant
}

func (d *durable) FindSession(ctx context.Context, t core.TenantID, key [32]byte) (*core.Session, error) {
	d.reads.Add(1)
	if d.lie != nil {
		return d.lie, nil
	}
	return d.Durable.FindSession(ctx, t, key)
}

func (d *durable) SessionByID(ctx context.Context, t core.TenantID, id core.SessionID) (*core.Session, error) {
	d.reads.Add(1)
	return d.Durable.SessionByID(ctx, t, id)
}

func (d *durable) Tenant(ctx context.Context, t core.TenantID) (*core.Tenant, error) {
	found, err := d.Durable.Tenant(ctx, t)
	if err == nil && d.uuid != "" {
		found.UUID = d.uuid
	}
	return found, err
}

// world is a database and one Redis, with any number of nodes that hear of every change.
type world struct {
	*testing.T
	r     *storagetest.Redis
	c     *redis.Client
	db    *sqldb.DB
	user  core.UserID
	nodes []*redisdb.Sessions
}

func newWorld(t *testing.T, args ...string) *world {
	t.Helper()
	w := &world{T: t, r: storagetest.StartRedis(t, args...)}
	w.c = w.r.Client()
	storagetest.Ran(t, "redis")
	d, _ := nodeOn(t, sqldb.Options{Dir: t.TempDir()}, "")
	w.db = d.DB
	u, err := w.db.UserByName(t.Context(), tenant, "akadmin")
	if err != nil {
		t.Fatal(err)
	}
	w.user = u.ID
	w.db.OnChange = func(t core.TenantID, changes []core.Change) {
		for _, n := range w.nodes {
			n.Changed(t, changes)
		}
	}
	return w
}

// node adds one, and gives what it reads from.
func (w *world) node(secret string, prepare func(*durable, *redisdb.Sessions)) (*redisdb.Sessions, *durable) {
	w.Helper()
	d := &durable{Durable: w.db}
	s := &redisdb.Sessions{Durable: d, Master: master(w, secret), Now: time.Now, Log: quiet()}
	s.SetWait(20 * time.Second)
	if prepare != nil {
		prepare(d, s)
	}
	if err := s.Connect("redis://" + w.r.Addr); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(s.Close)
	storagetest.EventuallyRedis(w, "redis is used", func() bool { _, ok := s.Connected(); return ok })
	w.nodes = append(w.nodes, s)
	return s, d
}

func (w *world) session(id core.SessionID) *core.Session {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return &core.Session{ID: id, User: w.user, AuthTime: now, ACR: "1", Address: "192.0.2.77", UserAgent: "canary-browser", Created: now, LastSeen: now,
		Expires: now.Add(24 * time.Hour), Idle: 12 * time.Hour}
}

func (w *world) save(s *redisdb.Sessions, id core.SessionID) [32]byte {
	w.Helper()
	key := core.Hash("key of " + string(id))
	if err := s.SaveSession(w.Context(), tenant, key, w.session(id)); err != nil {
		w.Fatal(err)
	}
	return key
}

// found reports whether a node finds a session, and whether it had to ask the database.
func (w *world) found(s *redisdb.Sessions, d *durable, key [32]byte) (found, asked bool) {
	w.Helper()
	before := d.reads.Load()
	_, err := s.FindSession(w.Context(), tenant, key)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		w.Fatal(err)
	}
	return err == nil, d.reads.Load() != before
}

func (w *world) expect(what string, s *redisdb.Sessions, d *durable, key [32]byte, want string) {
	w.Helper()
	found, asked := w.found(s, d, key)
	if got := fmt.Sprintf("found %t, the database was asked %t", found, asked); got != want {
		w.Errorf("%s: %s; want %s", what, got, want)
	}
}

const (
	fromRedis = "found true, the database was asked false"
	fromSQL   = "found true, the database was asked true"
	refused   = "found false, the database was asked true"
)

// snapshot is all that Redis holds; restore puts it back, as a server does that takes over
// without the last writes.
func (w *world) snapshot() map[string]string {
	w.Helper()
	out := map[string]string{}
	for _, k := range w.c.Keys(w.Context(), "*").Val() {
		if strings.Contains(k, ":probe:") {
			continue
		}
		text, err := w.c.Dump(w.Context(), k).Result()
		if err != nil {
			w.Fatal(err)
		}
		out[k] = text
	}
	return out
}

func (w *world) restore(all map[string]string) {
	w.Helper()
	for k, text := range all {
		if err := w.c.RestoreReplace(w.Context(), k, time.Hour, text).Err(); err != nil {
			w.Fatal(err)
		}
	}
}

// What is read is what was written, on other nodes too, and the database is not asked. Emptied, it
// is: nobody is logged out (L-05).
func TestEmptiedRedis(t *testing.T) {
	w := newWorld(t)
	one, _ := w.node("k", nil)
	two, reads := w.node("k", nil)
	key := w.save(one, "s1")
	w.expect("on the other node", two, reads, key, fromRedis)
	w.r.Do("FLUSHALL")
	w.expect("after FLUSHALL", two, reads, key, fromSQL)
	w.expect("the next time", two, reads, key, fromRedis)
	w.r.Kill()
	w.r.Start()
	storagetest.EventuallyRedis(t, "the session is read from the new server", func() bool {
		found, asked := w.found(two, reads, key)
		return found && !asked
	})
	w.expect("what is no key", two, reads, core.Hash("another"), refused)
}

// L-06, T-26: Redis has again what was deleted from it. Nobody believes it: not the node that ended
// the session, not another, not one that starts later. The control is a node that does
// not look at what has ended.
func TestEndedStaysEnded(t *testing.T) {
	w := newWorld(t)
	one, readsOne := w.node("k", nil)
	two, readsTwo := w.node("k", nil)
	naive, readsNaive := w.node("k", func(_ *durable, s *redisdb.Sessions) { s.Believe() })
	key, other := w.save(one, "s1"), w.save(one, "s2")
	child := core.Hash("child")
	c := w.session("c1")
	c.Parent, c.Application = "s1", "app"
	if err := one.SaveSession(t.Context(), tenant, child, c); err != nil {
		t.Fatal(err)
	}
	for _, k := range [][32]byte{key, other, child} {
		w.expect("before", two, readsTwo, k, fromRedis)
	}
	before := w.snapshot()
	if _, err := one.DeleteSession(t.Context(), tenant, "s1"); err != nil {
		t.Fatal(err)
	}
	if n := len(w.snapshot()); n >= len(before) {
		t.Errorf("nothing was deleted from redis: %d keys of %d", n, len(before))
	}
	w.restore(before)
	late, readsLate := w.node("k", nil)
	for _, k := range [][32]byte{key, child} {
		w.expect("control: a node that believes all", naive, readsNaive, k, fromRedis)
		w.restore(before)
		w.expect("the node that ended it", one, readsOne, k, refused)
		w.expect("the other node", two, readsTwo, k, refused)
		w.expect("a node that started later", late, readsLate, k, refused)
		if _, err := late.SessionByID(t.Context(), tenant, "s1"); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("by its ID: %v", err)
		}
	}
	w.expect("control: another session", late, readsLate, other, fromRedis)

	// The user's sessions end in the transaction that deactivates.
	u := w.user
	pk := func() int64 {
		found, err := w.db.User(t.Context(), tenant, u)
		if err != nil {
			t.Fatal(err)
		}
		return found.PK
	}()
	before = w.snapshot()
	if _, err := w.db.UpdateUser(t.Context(), tenant, pk, func(u *core.User) error { u.Active = false; return nil }); err != nil {
		t.Fatal(err)
	}
	w.restore(before)
	w.expect("control: a node that believes all", naive, readsNaive, other, fromRedis)
	w.expect("of a user who was deactivated", two, readsTwo, other, refused)
}

// A copy that was read before a logout and written after it.
func TestLateCopy(t *testing.T) {
	w := newWorld(t)
	one, reads := w.node("k", nil)
	key := w.save(one, "s1")
	w.r.Do("FLUSHALL")
	slow, _ := w.node("k", func(d *durable, _ *redisdb.Sessions) {
		d.lie = w.session("s1") // as it was read while it lived
	})
	if _, err := one.DeleteSession(t.Context(), tenant, "s1"); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.FindSession(t.Context(), tenant, key); err != nil {
		t.Fatal(err)
	}
	w.expect("a node that knows of the logout", one, reads, key, refused)
}

// Whoever can write to Redis makes nobody's login, and whoever can read it learns nothing. The control
// is somebody who has the master secret.
func TestForgery(t *testing.T) {
	w := newWorld(t)
	node, reads := w.node("k", nil)
	victim, mine := w.save(node, "s1"), w.save(node, "s2")
	const prefix = string(tenant) + ":"
	sealed := map[string]string{}
	for k, text := range w.snapshot() {
		if !strings.HasPrefix(k, prefix+"session:{") && !strings.HasPrefix(k, prefix+"key:{") || !strings.HasSuffix(k, "}") {
			t.Errorf("a key is %q", k)
		}
		for _, clear := range []string{string(w.user), "canary", "192.0.2", "key of"} {
			if clear != "" && strings.Contains(text, clear) {
				t.Errorf("%s shows %q", k, clear)
			}
		}
		if strings.HasPrefix(k, prefix+"session:") {
			sealed[k] = w.c.HGet(t.Context(), k, "copy").Val()
		}
	}
	s1, s2 := prefix+"session:{s1}", prefix+"session:{s2}"
	index := func(key [32]byte) string { return fmt.Sprintf("%skey:{%x}", prefix, key) }
	set := func(args ...any) { w.r.Do(args...) }

	stolen := core.Hash("a key that the attacker chose")
	set("SET", index(stolen), "s1")
	w.expect("an index to another's session", node, reads, stolen, refused)
	set("HSET", s2, "copy", sealed[s1])
	w.expect("another's copy under one's own ID", node, reads, mine, fromSQL)
	set("HSET", s2, "copy", sealed[s2][:len(sealed[s2])-1]+"x")
	w.expect("a changed copy", node, reads, mine, fromSQL)
	for _, junk := range []string{"", "x", strings.Repeat("x", 1<<20)} {
		set("HSET", s2, "copy", junk, "seen", junk, "step", junk)
		w.expect("rubbish", node, reads, mine, fromSQL)
	}
	set("DEL", s2)
	set("SET", s2, "not a hash")
	w.expect("another type", node, reads, mine, fromSQL)
	if _, ok := node.Connected(); !ok {
		t.Error("that takes redis out")
	}
	w.expect("the victim's own", node, reads, victim, fromRedis)

	for secret, want := range map[string]string{"other": refused, "k": fromRedis} {
		forger, _ := w.node(secret, func(d *durable, _ *redisdb.Sessions) { d.lie = w.session("forged-by-" + core.SessionID(secret)) })
		key := core.Hash("forged by " + secret)
		if _, err := forger.FindSession(t.Context(), tenant, key); err != nil {
			t.Fatal(err)
		}
		w.expect("sealed with the secret "+secret, node, reads, key, want)
	}
}

// a tenant that takes a deleted one's name does not take its sessions. X-01: nor does another one.
func TestTenantsApart(t *testing.T) {
	w := newWorld(t)
	node, reads := w.node("k", nil)
	key := w.save(node, "s1")
	again, readsAgain := w.node("k", func(d *durable, _ *redisdb.Sessions) { d.uuid = "another making" })
	w.expect("control: the tenant itself", node, reads, key, fromRedis)
	w.expect("another of its name", again, readsAgain, key, fromSQL)
	if _, err := w.db.CreateTenant(t.Context(), "t_b", "B"); err != nil {
		t.Fatal(err)
	}
	for k, text := range w.snapshot() {
		if err := w.c.RestoreReplace(t.Context(), strings.Replace(k, "public:", "t_b:", 1), time.Hour, text).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := node.FindSession(t.Context(), "t_b", key); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("A's session moved to B: %v", err)
	}
}

// X-04, with a tenant that is really deleted and made again.
func TestTenantMadeAgain(t *testing.T) {
	w := newWorld(t)
	node, reads := w.node("k", nil)
	const b core.TenantID = "t_b"
	made := func() {
		if _, err := w.db.CreateTenant(t.Context(), b, "B"); err != nil {
			t.Fatal(err)
		}
	}
	made()
	u, err := w.db.UserByName(t.Context(), b, "akadmin")
	if err != nil {
		t.Fatal(err)
	}
	s, key := w.session("s1"), core.Hash("key of s1")
	s.User = u.ID
	if err := node.SaveSession(t.Context(), b, key, s); err != nil {
		t.Fatal(err)
	}
	find := func() error {
		_, err := node.FindSession(t.Context(), b, key)
		return err
	}
	if err := find(); err != nil || reads.reads.Load() != 0 {
		t.Fatalf("control: %v, the database was asked %d times", err, reads.reads.Load())
	}
	storagetest.Remove(t, w.db, b)
	if err := find(); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("after the tenant was deleted: %v", err)
	}
	made()
	for range 2 {
		if err := find(); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("after it was made again: %v", err)
		}
	}
}

// A database that took over without its last lines: copies from before say nothing.
func TestAnotherDatabase(t *testing.T) {
	w := newWorld(t)
	node, reads := w.node("k", nil)
	key := w.save(node, "s1")
	w.expect("control", node, reads, key, fromRedis)
	last, err := w.db.LastChange(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	node.Changed(tenant, []core.Change{{Seq: last, Kind: core.ChangedAny, Op: "update"}})
	w.expect("afterwards", node, reads, key, fromSQL)
	w.expect("the next time", node, reads, key, fromRedis)
}

// The database hears seldom that a session was seen, Redis each time.
func TestLastSeen(t *testing.T) {
	w := newWorld(t)
	one, _ := w.node("k", nil)
	two, _ := w.node("k", nil)
	w.save(one, "s1")
	start := time.Now().UTC().Truncate(15 * time.Minute).Add(15 * time.Minute)
	seen := func(s interface {
		SessionByID(context.Context, core.TenantID, core.SessionID) (*core.Session, error)
	}) time.Time {
		t.Helper()
		row, err := s.SessionByID(t.Context(), tenant, "s1")
		if err != nil {
			t.Fatal(err)
		}
		return row.LastSeen
	}
	touch := func(at time.Time) {
		t.Helper()
		if err := one.TouchSessions(t.Context(), tenant, map[core.SessionID]time.Time{"s1": at}); err != nil {
			t.Fatal(err)
		}
	}
	for minutes := range 31 {
		at := start.Add(time.Duration(minutes) * time.Minute)
		touch(at)
		if got := seen(two); !got.Equal(at) {
			t.Errorf("minute %d: the other node has %s", minutes, got.Sub(start))
		}
		if got, want := seen(w.db), at.Truncate(15*time.Minute); !got.Equal(want) {
			t.Errorf("minute %d: the database has %s", minutes, got.Sub(start))
		}
	}
	// A forged time does not keep a session alive; it is seen in what is not ours.
	w.r.Do("HSET", "public:session:{s1}", "seen", "9999999999999999"+strings.Repeat("A", 43))
	if got := seen(two); got.After(start.Add(time.Hour)) {
		t.Errorf("a forged time: %s", got)
	}
	at := start.Add(40 * time.Minute)
	touch(at)
	if got := seen(w.db); !got.Equal(at) {
		t.Errorf("past a forged time the database has %s", got.Sub(start))
	}
	// Without Redis the database hears of each.
	w.r.Do("FLUSHALL")
	touch(at.Add(time.Minute))
	if got := seen(w.db); !got.Equal(at.Add(time.Minute)) {
		t.Errorf("emptied, the database has %s", got.Sub(start))
	}
}
