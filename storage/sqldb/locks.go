package sqldb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// lockLease is after how long a lock is free whose holder was killed.
	lockLease = 15 * time.Second
	// lockRetry is how often a lock is asked for that another node has.
	lockRetry = 250 * time.Millisecond
	// maxLockName is how long the name of a lock may be, in bytes.
	maxLockName = 1024
)

// Locks are locks that all nodes of a directory share. One that is held is kept until it is given
// back, however long that takes; when its node dies it is free after a lease. A node that was out
// of reach for longer may find that another one has taken it: it is told so, and frees nothing.
type Locks struct {
	db           *DB
	lease, renew time.Duration

	mu     sync.Mutex
	held   map[string]*heldLock
	closed bool
}

// heldLock is one that this node has.
type heldLock struct {
	owner string        // random: no two holders have the same
	ended chan struct{} // closed when it is given back or lost
}

// ErrNotHeld: a lock is not this node's, or is so no more.
var ErrNotHeld = errors.New("the lock is not held here: it was given back, or this node could not keep it and another one may have taken it")

// NewLocks are a node's locks.
func (db *DB) NewLocks() *Locks {
	return &Locks{db: db, lease: lockLease, renew: lockLease / 3, held: map[string]*heldLock{}}
}

// Lock waits until it has the lock, or ctx is done, or the database cannot be asked.
func (l *Locks) Lock(ctx context.Context, name string) error {
	for {
		taken, err := l.TryLock(ctx, name)
		if taken || err != nil {
			return err
		}
		wait := time.NewTimer(lockRetry)
		select {
		case <-l.here(name):
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return fmt.Errorf("wait for the lock %q: %w", name, ctx.Err())
		}
		wait.Stop()
	}
}

// here is closed when this node gives the lock back. Of one that it has not it is nil.
func (l *Locks) here(name string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.held[name]; h != nil {
		return h.ended
	}
	return nil
}

// TryLock reports whether it has the lock now.
func (l *Locks) TryLock(ctx context.Context, name string) (bool, error) {
	if n := len(name); n == 0 || n > maxLockName {
		return false, fmt.Errorf("the name of a lock has %d bytes: it needs 1 to %d", n, maxLockName)
	}
	if l.here(name) != nil {
		return false, nil
	}
	h := &heldLock{owner: core.RandomToken(16), ended: make(chan struct{})}
	taken, err := l.db.takeLease(ctx, name, h.owner, l.lease)
	if err != nil {
		// It may have been taken all the same.
		_, _ = l.db.endLease(context.WithoutCancel(ctx), name, h.owner)
		return false, err
	}
	if !taken {
		return false, nil
	}
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.held[name] = h
	}
	l.mu.Unlock()
	if closed {
		_, err := l.db.endLease(context.WithoutCancel(ctx), name, h.owner)
		return false, errors.Join(errClosed, err)
	}
	go l.keep(context.WithoutCancel(ctx), name, h)
	return true, nil
}

var errClosed = errors.New("the directory is closed")

// keep extends the lease until the lock has ended.
func (l *Locks) keep(ctx context.Context, name string, h *heldLock) {
	tick := time.NewTicker(l.renew)
	defer tick.Stop()
	for {
		select {
		case <-h.ended:
			return
		case <-tick.C:
		}
		kept, err := l.extend(ctx, name, h)
		if err != nil {
			l.db.log.WarnContext(ctx, "a lock of Caddy's could not be kept: it is tried again", "lock", name, "error", err)
		} else if !kept {
			return
		}
	}
}

// extend keeps one lock. One that was lost is held no more.
func (l *Locks) extend(ctx context.Context, name string, h *heldLock) (bool, error) {
	kept, err := l.db.extendLease(ctx, name, h.owner, l.lease)
	if err == nil && !kept && l.forget(name, h) {
		close(h.ended)
		l.db.log.WarnContext(ctx, "a lock of Caddy's was lost: this node could not keep it for longer than its lease, and another one took it", "lock", name)
	}
	return kept, err
}

// forget reports whether the lock was held until now: whoever is told so ends it.
func (l *Locks) forget(name string, h *heldLock) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h == nil || l.held[name] != h {
		return false
	}
	delete(l.held, name)
	return true
}

// Renew reports ErrNotHeld where the lock was lost.
func (l *Locks) Renew(ctx context.Context, name string) error {
	l.mu.Lock()
	h := l.held[name]
	l.mu.Unlock()
	if h == nil {
		return fmt.Errorf("keep the lock %q: %w", name, ErrNotHeld)
	}
	kept, err := l.extend(ctx, name, h)
	if err == nil && !kept {
		err = fmt.Errorf("keep the lock %q: %w", name, ErrNotHeld)
	}
	return err
}

// Unlock gives a lock back that this node has, and nobody else's: of that the error is ErrNotHeld.
func (l *Locks) Unlock(ctx context.Context, name string) error {
	l.mu.Lock()
	h, closed := l.held[name], l.closed
	l.mu.Unlock()
	if !l.forget(name, h) {
		if closed {
			return nil // it was given back then
		}
		return fmt.Errorf("give back the lock %q: %w", name, ErrNotHeld)
	}
	defer close(h.ended)
	was, err := l.db.endLease(ctx, name, h.owner)
	if err == nil && !was {
		err = fmt.Errorf("give back the lock %q: %w", name, ErrNotHeld)
	}
	return err
}

// Close gives all locks back, for good.
func (l *Locks) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	names := make([]string, 0, len(l.held))
	for name := range l.held {
		names = append(names, name)
	}
	l.mu.Unlock()
	var errs []error
	for _, name := range names {
		errs = append(errs, l.Unlock(ctx, name))
	}
	return errors.Join(errs...)
}
