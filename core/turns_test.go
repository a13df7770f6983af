package core_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-sso/postern/core"
)

// who asks for a hundred places at once makes another tenant wait for one of them.
// The control is places that are given as they were asked for.
func TestTurns(t *testing.T) {
	type places interface {
		Take(ctx context.Context, t core.TenantID) error
		Leave(t core.TenantID)
	}
	order := func(t *testing.T, open func() places) (done []core.TenantID) {
		synctest.Test(t, func(t *testing.T) {
			p := open()
			if err := p.Take(t.Context(), "t_loud"); err != nil {
				t.Fatal(err)
			}
			came := make(chan core.TenantID, 200)
			ask := func(tenant core.TenantID) {
				go func() {
					if err := p.Take(t.Context(), tenant); err != nil {
						t.Error(err)
					}
					came <- tenant
				}()
				synctest.Wait()
			}
			for range 100 {
				ask("t_loud")
			}
			ask("t_quiet")
			ask("t_third")
			ask("t_quiet")
			has := core.TenantID("t_loud")
			for range 103 {
				p.Leave(has)
				has = <-came
				done = append(done, has)
			}
			p.Leave(has)
			if err := p.Take(t.Context(), "t_third"); err != nil { // nobody waits, one is free
				t.Error(err)
			}
		})
		return done
	}
	if got := order(t, func() places { return core.NewTurns(1, 0) }); !slices.Equal(got[:6], []core.TenantID{"t_loud", "t_quiet", "t_third", "t_loud", "t_quiet", "t_loud"}) {
		t.Errorf("they came in this order: %v", got)
	}
	if got := order(t, func() places { return &queue{free: make(chan struct{}, 1)} }); slices.Index(got, "t_quiet") != 100 {
		t.Errorf("control: without turns they came in this order: %v", got)
	}
}

// queue gives its places as they were asked for.
type queue struct{ free chan struct{} }

func (q *queue) Take(context.Context, core.TenantID) error { q.free <- struct{}{}; return nil }
func (q *queue) Leave(core.TenantID)                       { <-q.free }

// While another tenant is there, half of the places are left to it; alone, a tenant has them all.
func TestTurnsLeaveHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := core.NewTurns(4, 0)
		has := func(tenant core.TenantID) (n int) {
			ctx, cancel := context.WithCancel(t.Context())
			for range 5 {
				go func() {
					if p.Take(ctx, tenant) == nil {
						n++
					}
				}()
				synctest.Wait()
			}
			cancel()
			synctest.Wait()
			return n
		}
		leave := func(tenant core.TenantID, n int) {
			for range n {
				p.Leave(tenant)
			}
		}
		if n := has("t_loud"); n != 4 {
			t.Errorf("alone it has %d of 4 places", n)
		}
		leave("t_loud", 4)
		if err := p.Take(t.Context(), "t_quiet"); err != nil {
			t.Fatal(err)
		}
		p.Leave("t_quiet")
		if n := has("t_loud"); n != 2 {
			t.Errorf("beside another it has %d of 4 places", n)
		}
		if err := p.Take(t.Context(), "t_quiet"); err != nil { // at once
			t.Fatal(err)
		}
		p.Leave("t_quiet")
		time.Sleep(2 * time.Minute)
		if n := has("t_loud"); n != 2 {
			t.Errorf("alone again it does not get the others: %d", n)
		}
		leave("t_loud", 4)
	})
}

// Who gives up leaves no place behind taken, and of one tenant no more wait than may.
func TestTurnsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := core.NewTurns(1, 2)
		if err := p.Take(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gave := make(chan error, 2)
		for range 2 {
			go func() { gave <- p.Take(ctx, "a") }()
			synctest.Wait()
		}
		if err := p.Take(t.Context(), "a"); !errors.Is(err, core.ErrBusy) {
			t.Errorf("a third that waits: %v", err)
		}
		other := make(chan error, 1)
		go func() { other <- p.Take(t.Context(), "b") }()
		synctest.Wait()
		cancel()
		for range 2 {
			if err := <-gave; !errors.Is(err, context.Canceled) {
				t.Errorf("given up: %v", err)
			}
		}
		p.Leave("a")
		if err := <-other; err != nil {
			t.Error(err)
		}
		p.Leave("b")
		// A turn that comes as its asker gives up is the next one's.
		for range 100 {
			if err := p.Take(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- p.Take(ctx, "b") }()
			synctest.Wait()
			go cancel()
			p.Leave("a")
			if err := <-done; err == nil {
				p.Leave("b")
			}
			cancel()
		}
		if err := p.Take(t.Context(), "c"); err != nil {
			t.Error(err)
		}
	})
}

// Of what is held for long, one tenant never has all places. The control is one without the bound.
func TestTurnsAtMost(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	end()
	had := func(turns *core.Turns, tenant core.TenantID) (n int) {
		for ; n < 10 && turns.Take(over, tenant) == nil; n++ {
		}
		return n
	}
	bounded := core.NewTurns(4, 1).AtMost(3)
	if one, other := had(bounded, "t_one"), had(bounded, "t_other"); one != 3 || other != 1 {
		t.Errorf("one tenant had %d places and another %d of those that were left", one, other)
	}
	bounded.Leave("t_one")
	if err := bounded.Take(over, "t_other"); err != nil {
		t.Errorf("a place that was given back: %v", err)
	}
	if got := had(core.NewTurns(4, 1), "t_one"); got != 4 {
		t.Errorf("control: %d places", got)
	}
}
