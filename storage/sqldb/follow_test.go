package sqldb_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// heard collects what a node is told of, and lets a test wait for it.
type heard struct {
	mu  sync.Mutex
	all []core.Change
}

func (h *heard) add(_ core.TenantID, changes []core.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, changes...)
}

func (h *heard) list() []core.Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

// within reports whether something is heard of an object in time.
func (h *heard) within(d time.Duration, kind, id string) bool {
	for deadline := time.Now().Add(d); ; time.Sleep(5 * time.Millisecond) {
		if slices.ContainsFunc(h.list(), func(c core.Change) bool { return c.Kind == kind && (id == "" || c.ID == id) }) {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// node is a directory that follows.
func node(t *testing.T, address string, every time.Duration, deaf, blind bool) (*sqldb.DB, *heard) {
	t.Helper()
	db := open(t, sqldb.Options{URL: address})
	h := new(heard)
	db.OnChange = h.add
	db.FollowBy(every, deaf, blind)
	t.Cleanup(db.Follow(t.Context()))
	return db, h
}

// L-17: what one node changes is told to the others: by notification at once, and
// where that is lost by looking. With both off nothing is heard.
func TestPostgresFollow(t *testing.T) {
	s := storagetest.StartPostgres(t)
	for name, c := range map[string]struct {
		every       time.Duration
		deaf, blind bool
		want        bool
	}{
		"notified, without a look in time": {every: time.Hour, want: true},
		"looking, without notifications":   {deaf: true, want: true},
		"control: neither":                 {deaf: true, blind: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := s.Create(t)
			writer := open(t, sqldb.Options{URL: address})
			_, h := node(t, address, c.every, c.deaf, c.blind)
			u := &core.User{UserName: "alice"}
			wait := 6 * time.Second // a look is due twice a second, and within a second is what is promised
			if !c.want {
				wait = 2 * time.Second // four looks
			}
			// The first notification may come before the node listens.
			began := time.Now()
			must(t, writer.CreateUser(t.Context(), "public", u))
			if got := h.within(wait, "user", string(u.ID)); got != c.want {
				t.Fatalf("heard: %t, want %t", got, c.want)
			}
			t.Logf("heard after %s", time.Since(began).Round(time.Millisecond))
			if !c.want {
				return
			}
			g := &core.Group{Name: "staff"}
			began = time.Now()
			must(t, writer.CreateGroup(t.Context(), "public", g, []int64{u.PK}))
			if !h.within(wait, "membership", string(u.ID)) {
				t.Error("the second change was not heard")
			}
			t.Logf("the second after %s", time.Since(began).Round(time.Millisecond))
		})
	}
}

// Two nodes write at the same time, in transactions of different length, some of which
// fail: a third hears of every change, in order and without a gap, and none doubts what it wrote or read.
func TestPostgresFollowUnderContention(t *testing.T) {
	address := storagetest.StartPostgres(t).Create(t)
	_, h := node(t, address, 0, false, false)
	var wg sync.WaitGroup
	const each = 40
	var writers []*heard
	for n := range 2 {
		db, mine := node(t, address, 0, false, false)
		writers = append(writers, mine)
		for w := range 4 {
			wg.Go(func() {
				for i := range each {
					name := fmt.Sprintf("user-%d-%d-%d", n, w, i)
					u := &core.User{UserName: name}
					if err := db.CreateUser(t.Context(), "public", u); err != nil {
						t.Error(err)
						return
					}
					if i%5 == 0 { // one that is rolled back
						if err := db.CreateUser(t.Context(), "public", &core.User{UserName: name}); err == nil {
							t.Error("the same name twice")
						}
					}
				}
			})
		}
	}
	wg.Wait()
	last, err := open(t, sqldb.Options{URL: address}).LastChange(t.Context(), "public")
	must(t, err)
	deadline := time.Now().Add(time.Minute)
	var all []core.Change
	for all = h.list(); len(all) == 0 || all[len(all)-1].Seq < last; all = h.list() {
		if time.Now().After(deadline) {
			t.Fatalf("%d changes were heard, up to %d of %d", len(all), all[len(all)-1].Seq, last)
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, w := range append(writers, h) {
		if w.within(0, core.ChangedAny, "") {
			t.Error("a node doubts what it has in memory")
		}
	}
	users := 0
	for i, c := range all {
		if i > 0 && c.Seq != all[i-1].Seq+1 {
			t.Fatalf("after %d comes %d", all[i-1].Seq, c.Seq)
		}
		if c.Kind == "user" && c.Op == "create" {
			users++
		}
	}
	if want := 2 * 4 * each; users != want {
		t.Errorf("%d new users were heard of, want %d", users, want)
	}
}

// A server that took over without the last transactions gives their numbers to others,
// and lines that are swept before they were read are lost: all is in doubt then. Lines
// that are swept after they were read, and a quiet outbox, are no doubt.
func TestPostgresFollowHistory(t *testing.T) {
	s := storagetest.StartPostgres(t)
	for name, c := range map[string]struct {
		change string
		doubt  bool
	}{
		"the last line is another": {`UPDATE outbox SET object_id = 'other', at = at + 1 WHERE seq = (SELECT max(seq) FROM outbox)`, true},
		"lines are lost":           {`DELETE FROM outbox WHERE seq > 3; UPDATE counters SET value = 3 WHERE name = 'outbox'`, true},
		"lines are lost, and new ones have their numbers": {`DELETE FROM outbox WHERE seq > 3;
			INSERT INTO outbox SELECT n, 'user', 'x', 'update', n FROM generate_series(4, 40) n; UPDATE counters SET value = 40 WHERE name = 'outbox'`, true},
		"swept before they were read": {`INSERT INTO outbox SELECT n, 'user', 'x', 'update', n FROM generate_series(100, 110) n;
			UPDATE counters SET value = 110 WHERE name = 'outbox'`, true},
		"a line becomes visible before the one that precedes it": {`INSERT INTO outbox SELECT value + 2, 'user', 'x', 'update', 1 FROM counters WHERE name = 'outbox';
			UPDATE counters SET value = value + 2 WHERE name = 'outbox'`, true},
		"swept after they were read": {`DELETE FROM outbox`, false},
		"swept, and then another": {`INSERT INTO outbox SELECT value + 1, 'user', 'x', 'update', 1 FROM counters WHERE name = 'outbox';
			DELETE FROM outbox WHERE object_id <> 'x'; UPDATE counters SET value = value + 1 WHERE name = 'outbox'`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := s.Create(t)
			writer, h := node(t, address, 0, false, false)
			for i := range 3 {
				must(t, writer.CreateUser(t.Context(), "public", &core.User{UserName: fmt.Sprint("user", i)}))
			}
			marker := &core.User{UserName: "marker"}
			must(t, writer.CreateUser(t.Context(), "public", marker))
			waitSeen(t, h, marker)
			query(t, address, c.change)
			if got := h.within(map[bool]time.Duration{true: time.Minute, false: 2 * time.Second}[c.doubt], core.ChangedAny, ""); got != c.doubt {
				t.Fatalf("doubt: %t, want %t: %v", got, c.doubt, h.list())
			}
			u := &core.User{UserName: "after"}
			must(t, writer.CreateUser(t.Context(), "public", u))
			if !h.within(time.Minute, "user", string(u.ID)) {
				t.Error("what came later was not heard")
			}
		})
	}
}

// A node that wrote what is lost before anybody has read it, as with the last transactions before a failover, doubts
// all that it has in memory; the write's own announcement cannot tell it. The control is a node beside it, which did
// not write: it sees what it saw before, or somebody's change. In doubt or not, both go on.
func TestPostgresFollowOwnWrites(t *testing.T) {
	s := storagetest.StartPostgres(t)
	for name, lose := range map[string]string{
		"the line is lost": `DELETE FROM outbox WHERE seq = NEW.seq; UPDATE counters SET value = NEW.seq - 1 WHERE name = 'outbox';`,
		// The same transaction's, as the trigger runs at its end.
		"another has its number": `UPDATE outbox SET object_id = 'other' WHERE seq = NEW.seq;`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := s.Create(t)
			writer, h := node(t, address, 0, true, false)
			_, other := node(t, address, 0, false, false)
			query(t, address, `CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN `+lose+` RETURN NULL; END $f$;
				CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lose()`)
			doubts := false
			for i := 0; i < 3 && !doubts; i++ { // what was read between the commit and its announcement is no doubt
				must(t, writer.CreateUser(t.Context(), "public", &core.User{UserName: fmt.Sprint("lost ", i)}))
				doubts = h.within(time.Minute, core.ChangedAny, "")
			}
			if !doubts {
				t.Errorf("the node that wrote it has no doubt: %v", h.list())
			}
			query(t, address, `DROP FUNCTION lose CASCADE`)
			u := &core.User{UserName: "after"}
			must(t, writer.CreateUser(t.Context(), "public", u))
			waitSeen(t, h, u)
			if !other.within(time.Minute, "user", string(u.ID)) {
				t.Error("what came later was not heard")
			}
			if all := slices.DeleteFunc(h.list(), func(c core.Change) bool { return c.Kind != core.ChangedAny }); len(all) > 1 {
				t.Errorf("it doubts again and again: %v", all)
			}
			if other.within(0, core.ChangedAny, "") {
				t.Errorf("control: a node that wrote nothing doubts what it read: the case shows nothing: %v", other.list())
			}
		})
	}
}

// A server on another timeline has taken over: all that is in memory is in doubt, up to the line that was read. The
// control is the same timeline, and none, as at a start.
func TestPostgresFollowTakeover(t *testing.T) {
	s := storagetest.StartPostgres(t)
	for before, doubt := range map[string]bool{"0000ABCD": true, "00000001": false, "": false} {
		t.Run(before, func(t *testing.T) {
			t.Parallel()
			db, h := open(t, sqldb.Options{URL: s.Create(t)}), new(heard)
			db.OnChange = h.add
			db.FollowedOn(before)
			last, err := db.LastChange(t.Context(), "public")
			must(t, err)
			t.Cleanup(db.Follow(t.Context()))
			u := &core.User{UserName: "alice"}
			if doubt && !h.within(time.Minute, core.ChangedAny, "") {
				t.Error("nothing is in doubt")
			}
			must(t, db.CreateUser(t.Context(), "public", u))
			waitSeen(t, h, u)
			for _, c := range h.list() {
				if c.Kind == core.ChangedAny && (!doubt || c.Seq != last) {
					t.Errorf("in doubt up to %d, the last line was %d", c.Seq, last)
				}
			}
		})
	}
}

// waitSeen waits until a change was told twice: at its commit, and by the outbox.
func waitSeen(t *testing.T, h *heard, u *core.User) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		n := 0
		for _, c := range h.list() {
			if c.ID == string(u.ID) {
				n++
			}
		}
		if n >= 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the outbox was not followed")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// What was noted of a line after it was read stays no longer than until the follower has come to it.
func TestEchoesEnd(t *testing.T) {
	if left := sqldb.EchoesLeft(); !slices.Equal(left, []int64{4}) {
		t.Errorf("noted still: %d, want the fourth alone, which was not read", left)
	}
}
