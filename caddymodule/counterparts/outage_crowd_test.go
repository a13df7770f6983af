package counterparts_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// steadily runs clients that ask one thing after the other, and gives the most goroutines that the node had
// meanwhile. Every other client loses patience after half a second, and asks again.
func (o *outage) steadily(clients int, d time.Duration, targets []func() *http.Request) (most int, answered int64) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var wg sync.WaitGroup
	var answers atomic.Int64
	for i := range clients {
		wg.Go(func() {
			// Connections are kept, so that clients that wait for nothing count as well.
			transport := o.inside.transport().Clone()
			defer transport.CloseIdleConnections()
			client := o.crowd.oneShot(o.inside)
			client.Transport = transport
			client.Timeout = []time.Duration{outageWait, 500 * time.Millisecond}[i%2]
			for n := i / 2; ctx.Err() == nil; n++ {
				resp, err := client.Do(targets[n%len(targets)]().WithContext(ctx))
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					answers.Add(1)
				}
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	for ctx.Err() == nil {
		most = max(most, o.node.goroutines(o.t))
		time.Sleep(100 * time.Millisecond)
	}
	wg.Wait()
	return most, answers.Load()
}

// L-07: while the network to PostgreSQL hangs, or is slow, nothing piles up in the node, however many go on asking, and
// afterwards it holds no more than before.
func TestOutageDoesNotPileUp(t *testing.T) {
	database := newDatabase(t)
	link := newWire(t, database.Host)
	f := newFleet(t)
	stuck := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stuck" {
			<-stuck
		}
		fmt.Fprintf(w, "for %s", r.Header.Get("X-authentik-username"))
	}))
	defer upstream.Close()
	letGo := sync.OnceFunc(func() { close(stuck) })
	defer letGo()
	f.upstream = upstream.URL
	o := newOutage(t, f.add(t, behind(database, link), "revocation_staleness 5m", ""))
	ran(t, "caddy")
	ran(t, "postgresql")
	get := func(address string) func() *http.Request {
		return func() *http.Request { return ask(http.MethodGet, address, "") }
	}
	targets := []func() *http.Request{
		get(o.crowd.app + "/fast"),
		get(o.at("/application/o/crowd/jwks/")),
		get(o.at("/-/health/ready/")),
		func() *http.Request {
			form := traded("no-such-code")
			form.Set("client_id", o.crowd.op.clientID)
			form.Set("client_secret", o.crowd.op.secret)
			return ask(http.MethodPost, o.at("/application/o/token/"), form.Encode())
		},
	}
	const clients = 50
	idle := o.node.goroutines(t)
	steady, answers := o.steadily(clients, 3*time.Second, targets)
	t.Logf("%d goroutines at rest, %d with %d clients, %d answers", idle, steady, clients, answers)
	limit := 2*steady + clients
	for how, state := range map[string]wireState{"hangs": {hangs: true}, "is slow": {slow: slowness}} {
		link.set(state)
		most, answers := o.steadily(clients, 8*time.Second, targets)
		t.Logf("%d while the network %s, %d answers", most, how, answers)
		if most > limit {
			t.Errorf("%d goroutines while the network %s, and %d before", most, how, steady)
		}
		link.set(wireState{})
		o.works("the network is back")
	}
	// Caddy keeps connections to the application for two minutes: at rest there are some more than at first.
	var rest int
	took := eventually(t, "the goroutines are gone", func() bool { rest = o.node.goroutines(t); return rest <= steady })
	t.Logf("%d at rest after %s", rest, took)

	// Control: requests that nothing ends are noticed.
	var wg sync.WaitGroup
	for range limit {
		wg.Go(func() {
			client := o.crowd.oneShot(o.inside)
			client.Timeout = time.Minute
			if resp, err := client.Do(ask(http.MethodGet, o.crowd.app+"/stuck", "")); err == nil {
				resp.Body.Close()
			}
		})
	}
	eventually(t, "control: what piles up is seen", func() bool { return o.node.goroutines(t) > limit })
	letGo()
	wg.Wait()
}

func ask(method, address, body string) *http.Request {
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	return req
}
