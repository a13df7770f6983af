package counterparts_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowness is what each round trip to a slow PostgreSQL takes.
const slowness = 300 * time.Millisecond

// L-07: PostgreSQL is slow. Who is inside does not notice, as nothing is asked for them; who logs in gets in, or is told
// to come again; afterwards all is as it was.
func TestDatabaseSlow(t *testing.T) {
	database := newDatabase(t)
	link := newWire(t, database.Host)
	f := newFleet(t)
	o := newOutage(t, f.add(t, behind(database, link), "", ""))
	ran(t, "caddy")
	ran(t, "postgresql")
	const requests = 400
	guarded := func() int {
		before := link.calls()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				client := o.crowd.oneShot(o.inside)
				for range requests / 4 {
					resp, err := client.Do(ask(http.MethodGet, o.crowd.app+"/fast", ""))
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						t.Errorf("a guarded page: %s", resp.Status)
					}
				}
			})
		}
		wg.Wait()
		return link.calls() - before
	}
	people := []string{"bob", "carol", "dave", "erin", "frank", "grace"}
	for _, name := range people {
		o.node.addUser(t, name)
	}
	logins := func(n int) (in, refused int64) {
		var entered, told atomic.Int64
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				name := people[i%len(people)]
				b := newBrowser(quiet{t})
				b.client.Timeout = time.Minute
				var page *page
				if err := try(func() { page = b.login(o.crowd.app+"/", name) }); err != nil {
					t.Error(err)
					return
				}
				switch {
				case page.status == http.StatusOK && page.body == "for "+name:
					entered.Add(1)
				case page.status == http.StatusServiceUnavailable && page.header.Get("Retry-After") != "":
					told.Add(1)
				default:
					t.Errorf("a login: %d, Retry-After %q: %s", page.status, page.header.Get("Retry-After"), tail(page.body, 300))
				}
			})
		}
		wg.Wait()
		return entered.Load(), told.Load()
	}

	quick := guarded()
	before := link.calls()
	if in, _ := logins(10); in != 10 {
		t.Fatalf("%d of 10 logins", in)
	}
	login := (link.calls() - before) / 10
	t.Logf("%d guarded pages ask PostgreSQL for %d things, a login for %d", requests, quick, login)
	if login < 5 {
		t.Error("control: calls are not counted")
	}

	link.set(wireState{slow: slowness})
	began := time.Now()
	slow := guarded()
	t.Logf("slow: %d guarded pages ask for %d things, in %s", requests, slow, time.Since(began).Round(time.Millisecond))
	for _, n := range []int{quick, slow} {
		if n > requests/10 {
			t.Errorf("%d guarded pages ask PostgreSQL for %d things", requests, n)
		}
	}
	began = time.Now()
	in, refused := logins(6)
	t.Logf("slow: of 6 logins at once %d got in, and %d were told to come again, in %s", in, refused, time.Since(began).Round(time.Millisecond))
	for try := 0; in == 0; try++ { // the first on a connection has its statements read, too
		if try == 5 {
			t.Fatal("nobody gets in while PostgreSQL is slow")
		}
		in, _ = logins(1)
	}
	for what, got := range o.fromMemory() {
		if got.status != http.StatusOK {
			t.Errorf("slow: %s: %d %s", what, got.status, tail(got.body, 300))
		}
	}
	t.Logf("slow: the node is ready: %d", o.health("ready"))
	link.set(wireState{})
	o.works("PostgreSQL is quick again")
	if in, _ := logins(10); in != 10 {
		t.Errorf("afterwards, %d of 10 logins", in)
	}
}
