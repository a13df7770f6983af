package counterparts_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-sso/postern/storage/storagetest"
)

// ticket is what a browser shows at the guarded application, kept by somebody else.
type ticket struct {
	user    string
	cookies []*http.Cookie
	left    *fleetNode // where its browser has logged out
	refused map[*fleetNode]bool
}

func (p *person) ticket(user string) *ticket {
	address, _ := url.Parse(p.node.fleet.app() + "/")
	return &ticket{user: user, cookies: p.client.Jar.Cookies(address), refused: map[*fleetNode]bool{}}
}

// shown asks a node with a ticket: for whom the application then is, or the status.
func (n *fleetNode) shown(k *ticket) (user string, status int, err error) {
	req, err := http.NewRequest(http.MethodGet, n.at("/"), nil)
	if err != nil {
		return "", 0, err
	}
	req.Host = "app.localhost:" + n.port
	req.Header.Set("Accept", "application/json")
	for _, c := range k.cookies {
		req.AddCookie(c)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		user, _ = strings.CutPrefix(string(body), "for ")
	}
	return user, resp.StatusCode, err
}

// refusedBy checks a ticket whose browser has logged out: at the node that said so it is none from then on, at
// another one from when that has refused it (revocation_test.go tells how soon it has to).
func (k *ticket) refusedBy(n *fleetNode) error {
	user, status, err := n.shown(k)
	switch {
	case err != nil:
		return err
	case status == http.StatusUnauthorized:
		k.refused[n] = true
	case user != k.user || n == k.left || k.refused[n]:
		return fmt.Errorf("%s answers %d and %q to who has logged out at %s; it had refused them before: %t", n.address, status, user, k.left.address, k.refused[n])
	}
	return nil
}

// leave logs out at a node.
func (p *person) leave(n *fleetNode, k *ticket) error {
	return try(func() {
		page := p.through(n).open("http://localhost:" + n.port + "/flows/-/default/invalidation/")
		if len(page.forms) > 0 {
			page = p.submit(page, "", "")
		}
		if page.status != http.StatusOK {
			p.t.Fatalf("logout at %s: %d %s", n.address, page.status, tail(page.body, 300))
		}
		k.left = n
	})
}

// enter logs in at a node, as one who is in the directory.
func (f *fleet) enter(t testing.TB, n *fleetNode, user string) (p *person, k *ticket, err error) {
	p = f.person(quiet{t}).through(n)
	err = try(func() {
		if page := p.login(f.app()+"/", user); page.status != http.StatusOK || page.body != "for "+user {
			p.t.Fatalf("login at %s: %d %s", n.address, page.status, tail(page.body, 300))
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return p, p.ticket(user), nil
}

// L-06 through the whole server, with Sentinels and with a Cluster: the primary is killed while its replica has not
// heard of the last logouts, and people go on opening pages, logging in and logging out. Nobody notices, and nobody
// who was told to be logged out gets in again, at a node that starts with nothing but that Redis neither.
func TestRedisFailover(t *testing.T) {
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		s := storagetest.StartSentinels(t)
		redisFailover(t, s.URL(), s.Primary, s.Replica)
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		primaries, url := storagetest.StartRedisCluster(t)
		redisFailover(t, url, primaries[0], storagetest.StartClusterReplica(t, primaries))
	})
}

func redisFailover(t *testing.T, redis string, primary, replica *storagetest.Redis) {
	t.Helper()
	database := newDatabase(t)
	link := newWire(t, database.Host)
	f := newFleet(t)
	one, two := f.add(t, database, "sessions "+redis, ""), f.add(t, database, "sessions "+redis, "")
	deaf := f.add(t, behind(database, link), "revocation_staleness 5m\n\t\tsessions "+redis, "")
	ran(t, "caddy")
	ran(t, "postgresql")
	nodes := f.nodes[:2]
	for _, n := range f.nodes {
		eventually(t, "a node uses redis", func() bool { return n.redisUp(t) == "1" })
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	users := []string{"alice", "bob", "carol", "dave"}
	for _, u := range users {
		one.addUser(t, u)
	}
	type inside struct {
		*person
		*ticket
	}
	var stay, leave []inside
	for i := range 20 {
		p, k, err := f.enter(t, nodes[i%2], users[i%len(users)])
		must(err)
		for _, n := range f.nodes { // so that all have it in memory
			if user, status, err := n.shown(k); err != nil || user != k.user {
				t.Fatalf("%s does not let in who has logged in: %d %v", n.address, status, err)
			}
		}
		if i < 6 {
			stay = append(stay, inside{p, k})
		} else {
			leave = append(leave, inside{p, k})
		}
	}
	copies := func(r *storagetest.Redis) map[string]bool {
		keys, err := r.Client().Keys(t.Context(), "public:session:*").Result()
		must(err)
		all := map[string]bool{}
		for _, key := range keys {
			all[key] = true
		}
		return all
	}
	var before map[string]bool
	eventually(t, "the replica has what the primary has", func() bool {
		before = copies(primary)
		return len(copies(replica)) == len(before)
	})

	// Whoever is inside goes on, others come and leave.
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var pages, came atomic.Int64
	steadily := func(f func(i int) error) {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, in := range stay {
		steadily(func(i int) error {
			time.Sleep(10 * time.Millisecond) // a reader's pace: the machine has others to serve
			pages.Add(1)
			user, status, err := nodes[i%2].shown(in.ticket)
			if err == nil && user != in.user {
				err = fmt.Errorf("%s answers %d and %q to %s, who is logged in", nodes[i%2].address, status, user, in.user)
			}
			return err
		})
	}
	var mu sync.Mutex
	var gone []*ticket
	for w := range 2 {
		steadily(func(i int) error {
			p, k, err := f.enter(t, nodes[(i+w)%2], users[i%len(users)])
			if err != nil {
				return err
			}
			for _, n := range nodes {
				if user, status, err := n.shown(k); err != nil || user != k.user {
					return fmt.Errorf("%s answers %d and %q to %s, who has just logged in: %w", n.address, status, user, k.user, err)
				}
			}
			if err := p.leave(nodes[i/2%2], k); err != nil {
				return err
			}
			came.Add(1)
			mu.Lock()
			defer mu.Unlock()
			gone = append(gone, k)
			return k.refusedBy(k.left)
		})
	}
	// Somebody tries what those had who left.
	steadily(func(i int) error {
		time.Sleep(10 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		if len(gone) == 0 {
			return nil
		}
		return gone[i/2%len(gone)].refusedBy(nodes[i%2])
	})

	// From here on the replica hears nothing.
	primary.Do("ACL", "SETUSER", "default", "-psync", "-sync")
	primary.Do("CLIENT", "KILL", "TYPE", "replica")
	link.set(wireState{hangs: true})
	for i, in := range leave {
		must(in.leave(nodes[i%2], in.ticket))
		must(in.refusedBy(in.left))
		mu.Lock()
		gone = append(gone, in.ticket)
		mu.Unlock()
	}
	unheard := 0
	for _, in := range leave {
		if user, _, err := deaf.shown(in.ticket); err == nil && user == in.user {
			unheard++
		}
	}
	if unheard == 0 {
		t.Error("control: a node that cannot have heard of the logouts lets nobody in: the test shows nothing")
	}
	link.set(wireState{})
	kept := copies(primary)
	primary.Kill()
	at := pages.Load()
	took := eventually(t, "the replica is promoted", func() bool { return strings.Contains(fmt.Sprint(replica.Do("ROLE")), "master") })
	t.Logf("promoted after %s", took)
	for _, n := range nodes {
		took := eventually(t, "a node uses the new primary", func() bool { return n.redisUp(t) == "1" })
		t.Logf("%s uses it %s later", n.address, took)
	}
	there := copies(replica)
	lost := 0
	for key := range before {
		if !kept[key] && there[key] {
			lost++
		}
	}
	t.Logf("%d copies are there again that were deleted; %d pages, %d logins and logouts, %d pages since the primary was killed; %d of %d got in where nothing was heard",
		lost, pages.Load(), came.Load(), pages.Load()-at, unheard, len(leave))
	if lost == 0 {
		t.Error("control: nothing was lost")
	}
	since := came.Load()
	eventually(t, "people come and leave after the failover", func() bool { return t.Failed() || came.Load() >= since+4 })
	close(stop)
	wg.Wait()

	// Its own logs tell that the node had noticed.
	for _, n := range nodes {
		n.tells(t, "redis is back")
	}
	fresh := f.add(t, database, "sessions "+redis, "")
	eventually(t, "the new node uses redis", func() bool { return fresh.redisUp(t) == "1" })
	for _, n := range []*fleetNode{fresh, one, two, deaf} {
		eventually(t, n.address+" has heard of everything", func() bool { return n.status(t, "/-/health/ready/") == http.StatusOK })
		for _, in := range stay {
			if user, status, err := n.shown(in.ticket); err != nil || user != in.user {
				t.Errorf("%s does not let in %s, who is logged in: %d %v", n.address, in.user, status, err)
			}
		}
		for _, k := range gone {
			if user, status, err := n.shown(k); err != nil || status != http.StatusUnauthorized {
				t.Errorf("%s answers %d and %q to %s, who has logged out at %s: %v", n.address, status, user, k.user, k.left.address, err)
			}
		}
	}
}
