package sqldb

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/postern-sso/postern/core"
)

// maxTogether bounds how many transactions share one commit, so that the first of
// them does not wait for ever.
const maxTogether = 64

// commits joins the transactions that wait for the one writer of a SQLite file: they
// run one after the other, each in a savepoint of its own, and reach the disk with one
// sync. Nobody waits for company: whoever comes while the writer is at work goes
// with the next commit. PostgreSQL does this by itself.
type commits struct {
	mu      sync.Mutex
	waiting []*waitingWrite
	led     bool // somebody is at work

	observe func(together int) // tests only
}

// waitingWrite is one transaction.
type waitingWrite struct {
	ctx     context.Context //nolint:containedctx // of the call that waits
	f       func(*tx) error
	leads   bool
	turn    chan bool // true: lead; false: done
	changes []core.Change
	err     error
	bad     string // what f panicked with, and where
}

// write runs f in a transaction of its own or in one with others.
func (g *commits) write(ctx context.Context, db *DB, t core.TenantID, p part, f func(*tx) error) ([]core.Change, error) {
	w := &waitingWrite{ctx: ctx, f: f, turn: make(chan bool, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	if !g.led {
		g.led, w.leads = true, true
		w.turn <- true
	}
	g.mu.Unlock()
	var lead bool
	select {
	case lead = <-w.turn:
	case <-ctx.Done():
		if g.withdraw(w) {
			return nil, ctx.Err()
		}
		lead = <-w.turn
	}
	if lead {
		g.lead(db, t, p)
	}
	if w.bad != "" {
		panic(w.bad)
	}
	return w.changes, w.err
}

// withdraw takes back what nobody has begun.
func (g *commits) withdraw(w *waitingWrite) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, w)
	if i < 0 || w.leads {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// lead runs those that wait, the caller's own among them, and passes the lead on.
func (g *commits) lead(db *DB, t core.TenantID, p part) {
	// Who is ready to run goes first: under load most of them come to write too, and this commit is
	// theirs as well. Where nobody is, this takes no time.
	runtime.Gosched()
	g.mu.Lock()
	n := min(len(g.waiting), maxTogether)
	all := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	g.mu.Unlock()
	if g.observe != nil {
		g.observe(n)
	}
	if len(all) == 1 || !db.together(t, p, all) {
		for _, w := range all {
			w.changes, w.err, w.bad = nil, nil, ""
			w.protect(func() (err error) {
				w.changes, err = db.alone(w.ctx, t, p, w.f)
				return err
			})
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range all {
		if !w.leads {
			w.turn <- false
		}
	}
	if g.led = len(g.waiting) > 0; g.led {
		g.waiting[0].leads = true
		g.waiting[0].turn <- true
	}
}

// protect keeps a panic for the one whose it is.
func (w *waitingWrite) protect(run func() error) {
	done := false
	defer func() {
		if bad := recover(); bad != nil || !done {
			w.bad = fmt.Sprintf("%v\n%s", bad, debug.Stack())
			w.err = errors.New("the transaction panicked")
		}
	}()
	w.err = run()
	done = true
}

// together runs several in one transaction. It reports false, and has changed nothing,
// where one of them took the transaction of all down with it, as a full disk does: then
// each is to be run by itself, so that each gets its own answer. A statement is not
// interrupted when its caller goes: SQLite would roll back the others' work too.
func (db *DB) together(t core.TenantID, p part, all []*waitingWrite) bool {
	ctx := context.WithoutCancel(all[0].ctx)
	c, release, err := db.engine.conn(ctx, t, p, true)
	if err != nil {
		return false
	}
	defer release()
	whole, err := c.BeginTx(ctx, nil)
	if err != nil {
		return false
	}
	undo := func() bool {
		_ = whole.Rollback() // it may be gone already
		return false
	}
	for _, w := range all {
		if w.err = w.ctx.Err(); w.err != nil {
			continue
		}
		if _, err := whole.ExecContext(ctx, `SAVEPOINT one`); err != nil {
			return undo()
		}
		x := &tx{conn: conn{q: whole, tenant: t, db: db, call: context.WithoutCancel(w.ctx)}}
		w.protect(func() error { return x.run(w.ctx, p, w.f) })
		if w.err != nil {
			if _, err := whole.ExecContext(ctx, `ROLLBACK TO one`); err != nil {
				return undo()
			}
		} else {
			w.changes = x.changes
		}
		if _, err := whole.ExecContext(ctx, `RELEASE one`); err != nil {
			return undo()
		}
	}
	if err := whole.Commit(); err != nil {
		for _, w := range all {
			if w.err == nil {
				w.changes, w.err = nil, commitError{err}
			}
		}
	}
	return true
}
