package counterparts_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// tokenAt asks a node's token endpoint, past every browser.
func (c *crowd) tokenAt(n *fleetNode, form url.Values) (*oauth2.Token, error) {
	form.Set("client_id", c.op.clientID)
	form.Set("client_secret", c.op.secret)
	req, err := http.NewRequest(http.MethodPost, n.at("/application/o/token/"), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Host = "localhost:" + n.port
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	return readToken(resp)
}

// storm sends what form says to each node three times at once, and gives the refresh tokens that were answered.
func (c *crowd) storm(nodes []*fleetNode, form func() url.Values) (given []string) {
	var mu sync.Mutex
	var ready, done sync.WaitGroup
	ready.Add(1)
	for _, n := range append(slices.Clone(nodes), append(slices.Clone(nodes), nodes...)...) {
		done.Go(func() {
			ready.Wait()
			tok, err := c.tokenAt(n, form())
			switch {
			case err == nil:
				mu.Lock()
				given = append(given, tok.RefreshToken)
				mu.Unlock()
			case !strings.Contains(err.Error(), "invalid_grant"):
				c.t.Errorf("%s: %v", n.address, err)
			}
		})
	}
	ready.Done()
	done.Wait()
	return given
}

// L-05: Redis is emptied again and again while two nodes are asked, all at once, for what may be had once. Each code is
// redeemed exactly once, a refresh token has one successor, nobody is logged out, and whoever has logged out stays so.
// That what was emptied had something in it is the control.
func TestRedisFlushedInAStorm(t *testing.T) {
	f, r, _ := redisFleet(t)
	one, two := f.nodes[0], f.nodes[1]
	c := newCrowd(t, one.postern, f.app())
	enter := func(p *person, name string) error {
		return try(func() {
			if page := p.login(f.app()+"/", name); page.body != "for "+name {
				p.t.Fatalf("%s: %d %s", name, page.status, tail(page.body, 500))
			}
		})
	}
	var people, leavers []*person
	for i := range 3 {
		one.addUser(t, fmt.Sprint("stays", i))
		one.addUser(t, fmt.Sprint("leaves", i))
		stays, leaves := f.person(t).through(one), f.person(t).through(two)
		stays.t, leaves.t = quiet{t}, quiet{t} // outside the test's goroutine
		if err := enter(stays, fmt.Sprint("stays", i)); err != nil {
			t.Fatal(err)
		}
		people, leavers = append(people, stays), append(leavers, leaves)
	}

	var flushes, full atomic.Int64
	stop, ended := make(chan struct{}), make(chan struct{})
	redis := r.Client()
	go func() {
		defer close(ended)
		for again := time.NewTicker(5 * time.Millisecond); ; { // what is written in between stays for a moment
			select {
			case <-stop:
				again.Stop()
				return
			case <-again.C:
			}
			if redis.DBSize(t.Context()).Val() > 0 {
				full.Add(1)
			}
			if err := redis.FlushAll(t.Context()).Err(); err != nil {
				t.Error(err)
				return
			}
			flushes.Add(1)
		}
	}()
	var wg sync.WaitGroup
	for i, p := range people {
		wg.Go(func() {
			client := follow(p.browser)
			for round := range 8 {
				if round == 4 {
					if err := enter(leavers[i], fmt.Sprint("leaves", i)); err != nil {
						t.Errorf("a login in the storm: %v", err)
						return
					}
				}
				p.through(f.nodes[round%2])
				code, err := c.code(client)
				if err != nil {
					t.Errorf("a live session gets %v", err)
					return
				}
				if given := c.storm(f.nodes, func() url.Values { return traded(code) }); len(given) != 1 {
					t.Errorf("one code was redeemed %d times", len(given))
				}
				if code, err = c.code(client); err != nil {
					t.Errorf("a live session gets %v", err)
					return
				}
				tok, err := c.tokenAt(one, traded(code))
				if err != nil {
					t.Error(err)
					return
				}
				given := c.storm(f.nodes, func() url.Values {
					return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}}
				})
				if slices.Sort(given); len(slices.Compact(given)) != 1 {
					t.Errorf("one refresh token has %d successors", len(slices.Compact(given)))
				}
			}
			if err := leavers[i].leave(one, &ticket{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, p := range people {
		p.t, leavers[i].t = t, t
		for _, n := range f.nodes {
			if ok, status := p.let(n); !ok {
				t.Errorf("%s does not let %d in any more: %d", n.address, i, status)
			}
		}
	}
	for i, p := range leavers {
		eventually(t, "the other node refuses who has left", func() bool { ok, _ := p.let(two); return !ok })
		if ok, _ := p.let(one); ok {
			t.Errorf("%d, who has left, is let in", i)
		}
	}
	close(stop)
	<-ended
	t.Logf("%d times emptied, %d times of something", flushes.Load(), full.Load())
	if full.Load() < 3 {
		t.Errorf("control: redis had something %d times only when it was emptied", full.Load())
	}
}
