package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

// contenders is how many do the same thing at once.
const contenders = 20

// TestContention checks what must happen once when many ask at once.
func TestContention(t *testing.T, open Open) {
	run(t, open, map[string]func(*bench){
		"one code":                      contendCode,    // O-16
		"one refresh token":             contendRefresh, // T-14
		"one link":                      contendLink,
		"failures are counted exactly":  contendFail,
		"one name":                      contendName,
		"changes of one user":           contendUpdate,
		"groups that parent each other": contendParents,
		"login against deactivation":    contendDeactivate,
		"the outbox keeps its order":    contendOutbox,
		"one session ends once":         contendEnd,
	})
}

// together calls f by all at once and gives their errors.
func together(f func(i int) error) []error {
	errs := make([]error, contenders)
	var ready, done sync.WaitGroup
	ready.Add(1)
	for i := range errs {
		done.Go(func() {
			ready.Wait()
			errs[i] = f(i)
		})
	}
	ready.Done()
	done.Wait()
	return errs
}

// winners counts those without an error, and checks that the rest failed with
// target.
func winners(b *bench, errs []error, target error) int {
	b.Helper()
	n := 0
	for _, err := range errs {
		if err == nil {
			n++
		} else if target == nil || !errors.Is(err, target) {
			b.Errorf("error %v, want %v", err, target)
		}
	}
	return n
}

func contendCode(b *bench) {
	g := b.grant(b.user("alice").ID, b.client("c"))
	h := b.code(g, "code")
	equal(b, "winners", winners(b, together(func(int) error { return b.ConsumeCode(b.ctx, b.t, h, nil) }), core.ErrConsumed), 1)
}

func contendRefresh(b *bench) {
	g := b.grant(b.user("alice").ID, b.client("c"))
	old := b.refresh(g, "r")
	answers := make([]string, contenders)
	errs := together(func(i int) error {
		next := fmt.Sprint("next ", i)
		sealed, err := b.RotateRefresh(b.ctx, b.t, &oidc.Rotation{Old: old, Next: b.nextRefresh(g, next), Sealed: []byte(next), Grace: 10 * time.Second})
		answers[i] = string(sealed)
		return err
	})
	equal(b, "winners", winners(b, errs, core.ErrConsumed), 1)
	winner := slices.Index(errs, nil)
	for i, got := range answers {
		if want := fmt.Sprint("next ", winner); i != winner && got != want {
			b.Errorf("loser %d got %q, want %q", i, got, want)
		}
		// One next token lives: the family is not forked.
		err := third(b.Refresh(b.ctx, b.t, core.Hash(fmt.Sprint("next ", i))))
		if (err == nil) != (i == winner) {
			b.Errorf("next token %d: %v; the winner is %d", i, err, winner)
		}
	}
}

func contendLink(b *bench) {
	h := saveLink(b, b.user("alice").ID, "l")
	equal(b, "winners", winners(b, together(func(int) error { return second(b.ConsumeLink(b.ctx, b.t, h, b.clock.Now())) }), core.ErrConsumed), 1)
}

func contendFail(b *bench) {
	counts := make([]int, contenders)
	winners(b, together(func(i int) (err error) {
		n, err := b.Fail(b.ctx, b.t, nil, core.Counter{Key: "k", Window: time.Minute})
		if err == nil {
			counts[i] = n[0]
		}
		return err
	}), nil)
	slices.Sort(counts)
	for i, n := range counts {
		if n != i+1 {
			b.Fatalf("counts %v, want each of 1 to %d once", counts, contenders)
		}
	}
}

func contendName(b *bench) {
	errs := together(func(i int) error {
		name := "alice"
		if i%2 == 0 {
			name = "ALICE"
		}
		return b.CreateUser(b.ctx, b.t, &core.User{UserName: name})
	})
	equal(b, "winners", winners(b, errs, core.ErrExists), 1)
}

// Each adds one to a number and a group to the list: none is lost.
func contendUpdate(b *bench) {
	u := b.user("alice")
	groups := make([]core.GroupID, contenders)
	for i := range groups {
		groups[i] = b.group(fmt.Sprint("g", i)).ID
	}
	winners(b, together(func(i int) error {
		return second(b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error {
			n, _ := v.Attributes["n"].(int64)
			v.Attributes["n"] = n + 1
			v.Groups = append(v.Groups, groups[i])
			return nil
		}))
	}), nil)
	got, err := b.User(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "number", fmt.Sprint(got.Attributes["n"]), fmt.Sprint(contenders))
	equal(b, "groups", len(got.Groups), contenders)
}

func contendParents(b *bench) {
	ids := make([]core.GroupID, contenders)
	for i := range ids {
		ids[i] = b.group(fmt.Sprint("g", i)).ID
	}
	// Each wants the next as its parent: all of them together would be a circle.
	errs := together(func(i int) error {
		return second(b.UpdateGroup(b.ctx, b.t, ids[i], func(g *core.Group) ([]int64, error) {
			g.Parents = []core.GroupID{ids[(i+1)%contenders]}
			return nil, nil
		}))
	})
	refused := 0
	for _, err := range errs {
		if err != nil {
			b.field(err, "parents")
			refused++
		}
	}
	equal(b, "refused", refused, 1)
	u := b.user("alice", ids[0])
	b.ok(second(b.UserGroups(b.ctx, b.t, u.ID)))
}

func contendDeactivate(b *bench) {
	u := b.user("alice")
	c := b.client("c")
	together(func(i int) error {
		if i == contenders/2 {
			return second(b.UpdateUser(b.ctx, b.t, u.PK, func(v *core.User) error { v.Active = false; return nil }))
		}
		id := core.SessionID(fmt.Sprint("s", i))
		if err := b.SaveSession(b.ctx, b.t, core.Hash(string(id)), &core.Session{ID: id, User: u.ID, Expires: b.clock.Now().Add(time.Hour)}); err != nil {
			return err
		}
		return b.SaveGrant(b.ctx, b.t, &oidc.Grant{ID: oidc.GrantID(id), User: u.ID, ClientID: "c", Provider: c.ID, Session: id,
			Created: b.clock.Now(), Expires: b.clock.Now().Add(time.Hour)})
	})
	got, err := b.User(b.ctx, b.t, u.ID)
	b.ok(err)
	equal(b, "active", got.Active, false)
	for i := range contenders {
		id := fmt.Sprint("s", i)
		b.is(second(b.SessionByID(b.ctx, b.t, core.SessionID(id))), core.ErrNotFound)
		b.is(second(b.Grant(b.ctx, b.t, oidc.GrantID(id))), core.ErrNotFound)
	}
}

// Whoever reads on from the last line it saw misses none, however many write.
func contendOutbox(b *bench) {
	seq, err := b.LastChange(b.ctx, b.t)
	b.ok(err)
	seen := map[string]bool{}
	stop := make(chan struct{})
	read := make(chan error, 1)
	follow := func() error {
		list, err := b.Changes(b.ctx, b.t, seq, 7)
		for _, c := range list {
			seen[c.ID], seq = true, c.Seq
		}
		return err
	}
	go func() {
		for {
			select {
			case <-stop:
				read <- nil
				return
			default:
				if err := follow(); err != nil {
					read <- err
					return
				}
			}
		}
	}()
	ids := make([][]string, contenders)
	errs := together(func(i int) error {
		for k := range 5 {
			u := &core.User{UserName: fmt.Sprint("u", i, "-", k)}
			if err := b.CreateUser(b.ctx, b.t, u); err != nil {
				return err
			}
			ids[i] = append(ids[i], string(u.ID))
		}
		return nil
	})
	winners(b, errs, nil)
	close(stop)
	b.ok(<-read)
	for before := int64(-1); before != seq; {
		before = seq
		b.ok(follow())
	}
	var missed []string
	for _, id := range slices.Concat(ids...) {
		if !seen[id] {
			missed = append(missed, id)
		}
	}
	if len(missed) > 0 {
		b.Errorf("missed %s", strings.Join(missed, " "))
	}
}

func contendEnd(b *bench) {
	b.session(b.user("alice").ID, "s1", "")
	ended := make([]int, contenders)
	winners(b, together(func(i int) error {
		ids, err := b.DeleteSession(b.ctx, b.t, "s1")
		ended[i] = len(ids)
		return err
	}), nil)
	sum := 0
	for _, n := range ended {
		sum += n
	}
	equal(b, "told as ended", sum, 1)
}
