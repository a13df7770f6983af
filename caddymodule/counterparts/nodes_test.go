package counterparts_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// balancer spreads connections over nodes as a load balancer without sticky sessions does: one for
// each request, to a node by chance; to another one where that is not there.
type balancer struct {
	mu    sync.Mutex
	rand  *rand.Rand
	nodes []*fleetNode
	sent  map[*fleetNode]int
	way   []int // of each request, the index of its node
}

func newBalancer(t *testing.T, f *fleet) *balancer {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("POSTERN_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("POSTERN_TEST_SEED=%d", seed)
	return &balancer{rand: rand.New(rand.NewPCG(seed, 0)), nodes: f.nodes, sent: map[*fleetNode]int{}}
}

func (l *balancer) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var failed error
	for _, i := range l.rand.Perm(len(l.nodes)) {
		n := l.nodes[i]
		conn, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(n.address, n.port))
		if err != nil {
			failed = err
			continue
		}
		l.sent[n]++
		l.way = append(l.way, i)
		return conn, nil
	}
	return nil, failed
}

// person is a browser behind the balancer.
func (l *balancer) person(t *testing.T) *browser {
	b := newBrowser(t)
	transport := b.client.Transport.(*http.Transport)
	transport.DisableKeepAlives = true
	transport.DialContext = l.dial
	return b
}

// client is the person's browser that follows no redirects.
func follow(b *browser) *http.Client {
	return &http.Client{Jar: b.client.Jar, Transport: b.client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// through sends what a person does to one node from now on.
func (p *person) through(n *fleetNode) *person {
	p.node = n
	return p
}

// L-16: nodes need no sticky sessions, and one may die at any moment. Requests go to any of three by chance,
// also while one of them is gone; then one is killed with -9, and another serves the session, the open
// form, the code and the refresh token that it made.
func TestThreeNodes(t *testing.T) {
	database := newDatabase(t)
	f := newFleet(t)
	one, two, three := f.add(t, database, "", ""), f.add(t, database, "", ""), f.add(t, database, "", "")
	ran(t, "caddy")
	ran(t, "postgresql")
	c := newCrowd(t, one.postern, f.app())
	exchange := func(b *browser, code string) error {
		_, err := c.token(follow(b), traded(code))
		return err
	}

	l := newBalancer(t, f)
	crossed := 0
	for i := range 8 {
		b := l.person(t)
		l.way = nil
		if page := b.login(f.app()+"/deep?i="+strconv.Itoa(i), "alice"); page.body != "for alice" || page.url.RawQuery != "i="+strconv.Itoa(i) {
			t.Fatalf("login %d over nodes %v ended at %s: %d %s", i, l.way, page.url, page.status, tail(page.body, 500))
		}
		for k := range l.way[1:] {
			if l.way[k] != l.way[k+1] {
				crossed++
			}
		}
		code, err := c.code(follow(b))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := c.token(follow(b), traded(code))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if tok, err = c.token(follow(b), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}}); err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequest(http.MethodGet, one.url()+"/application/o/userinfo/", nil)
			req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
			resp, err := b.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("userinfo: %s", resp.Status)
			}
		}
	}
	t.Logf("%d, %d and %d requests; within logins the node changed %d times", l.sent[one], l.sent[two], l.sent[three], crossed)
	if l.sent[one] < 15 || l.sent[two] < 15 || l.sent[three] < 15 || crossed < 8 {
		t.Error("this was no test of three nodes")
	}

	// One is killed while people are about to log in, and others to trade codes, by whichever node.
	var forms []*page
	var codes []string
	var came []*browser
	for range 6 {
		b := l.person(t)
		forms, came = append(forms, b.open(f.app()+"/midway")), append(came, b)
		inside := l.person(t)
		inside.login(f.app()+"/", "alice")
		code, err := c.code(follow(inside))
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
	}
	if err := three.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-three.done
	before := l.sent[three]
	for i, b := range came {
		if page := b.submit(forms[i], "alice", password("alice")); page.body != "for alice" || page.url.Path != "/midway" {
			t.Errorf("login %d, begun before a node was killed: %d at %s", i, page.status, page.url)
		}
		if err := exchange(b, codes[i]); err != nil {
			t.Errorf("code %d, from before a node was killed: %v", i, err)
		}
	}
	if l.sent[three] != before {
		t.Error("control: the node is not dead")
	}
	three.begin(t)

	// A code that one node has taken is spent on the other.
	p := f.person(t)
	p.login(f.app()+"/", "alice")
	code, err := c.code(follow(p.through(one).browser))
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange(p.through(two).browser, code); err != nil {
		t.Errorf("a code of the other node: %v", err)
	}
	if err := exchange(p.through(one).browser, code); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("a code that the other node took: %v", err)
	}

	// The form is one node's, its answer goes to another.
	for _, way := range [][2]*fleetNode{{one, two}, {two, three}, {three, one}} {
		q := f.person(t)
		form := q.through(way[0]).open(f.app() + "/x")
		if page := q.through(way[1]).submit(form, "alice", password("alice")); page.body != "for alice" {
			t.Errorf("the form of %s at %s: %d %s", way[0].address, way[1].address, page.status, tail(page.body, 500))
		}
	}

	for _, way := range [][2]*fleetNode{{two, three}, {three, one}} {
		dies, lives := way[0], way[1]
		p := f.person(t)
		if page := p.through(dies).login(f.app()+"/", "alice"); page.body != "for alice" {
			t.Fatalf("%d %s", page.status, page.body)
		}
		code, err := c.code(follow(p.browser))
		if err != nil {
			t.Fatal(err)
		}
		second, err := c.code(follow(p.browser))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := c.token(follow(p.browser), traded(second))
		if err != nil {
			t.Fatal(err)
		}
		outside := f.person(t)
		form := outside.through(dies).open(f.app() + "/left?open=1")
		slow := f.person(t)
		slow.through(dies)
		address, values := slow.loginForm(f.app()+"/half", "alice")
		if err := dies.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-dies.done

		if ok, status := p.let(lives); !ok {
			t.Errorf("the session of the node that died: %d", status)
		}
		if ok, _ := f.person(t).let(lives); ok {
			t.Error("control: it lets in whoever comes")
		}
		if page := outside.through(lives).submit(form, "alice", password("alice")); page.body != "for alice" || page.url.RawQuery != "open=1" {
			t.Errorf("the form of the node that died: %d at %s", page.status, page.url)
		}
		slow.through(lives)
		resp := halves(t, slow.client, address, "http://localhost:"+f.port, values)()
		if body, err := io.ReadAll(resp.Body); string(body) != "for alice" {
			t.Errorf("a form that was filled in meanwhile: %s %v", resp.Status, err)
		}
		resp.Body.Close()
		if err := exchange(p.browser, code); err != nil {
			t.Errorf("the code of the node that died: %v", err)
		}
		if _, err := c.token(follow(p.browser), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}}); err != nil {
			t.Errorf("its refresh token: %v", err)
		}
		dies.begin(t)
		if ok, status := p.let(dies); !ok {
			t.Errorf("the node that came back does not know the session: %d", status)
		}
	}
}

// L-16: who guesses passwords has no more attempts for there being three nodes. The control is
// somebody else, who waits for nothing.
func TestLockoutAcrossNodes(t *testing.T) {
	database := newDatabase(t)
	f := newFleet(t)
	one := f.add(t, database, "", "")
	f.add(t, database, "", "")
	f.add(t, database, "", "")
	ran(t, "caddy")
	ran(t, "postgresql")
	one.addUser(t, "victim")
	one.addUser(t, "bystander")
	try := func(n *fleetNode, user, secret string) *page {
		p := f.person(t).through(n)
		return p.submit(p.open(f.app()+"/"), user, secret)
	}
	for i := range 5 { // as many as are free
		n := f.nodes[i%3]
		if page := try(n, "victim", "a guess"); page.status == http.StatusTooManyRequests || page.body == "for victim" {
			t.Fatalf("guess %d: %d", i, page.status)
		}
	}
	for _, n := range f.nodes {
		if page := try(n, "victim", password("victim")); page.status != http.StatusTooManyRequests || page.header.Get("Retry-After") == "" {
			t.Errorf("after five guesses, of which it saw one or two, %s answers %d", n.address, page.status)
		}
		if page := try(n, "bystander", password("bystander")); page.body != "for bystander" {
			t.Errorf("control: %d %s", page.status, tail(page.body, 300))
		}
	}
}

// L-17: what is taken away through one node is taken away on both, also from a websocket through
// the other. The control is a colleague, from whom nothing is taken.
func TestRevocationOnBothNodes(t *testing.T) {
	database := newDatabase(t)
	f := newFleet(t)
	one, two := f.add(t, database, "", ""), f.add(t, database, "", "")
	ran(t, "caddy")
	ran(t, "postgresql")
	flow := func(slug string) any { return one.first(t, "/flows/instances/?slug="+slug)["pk"] }
	provider := one.api(t, http.MethodPost, "/providers/proxy/", jsonText(t, map[string]any{
		"name": "app", "mode": "forward_single", "external_host": f.app(),
		"authorization_flow": flow("default-provider-authorization-implicit-consent"), "invalidation_flow": flow("default-provider-invalidation-flow"),
	}), http.StatusCreated)
	app := one.api(t, http.MethodPost, "/core/applications/", jsonText(t, map[string]any{"name": "App", "slug": "app", "provider": provider["pk"]}), http.StatusCreated)
	bind := func(group string) string {
		t.Helper()
		return one.api(t, http.MethodPost, "/policies/bindings/", jsonText(t, map[string]any{"target": app["pk"], "group": group, "order": 0}), http.StatusCreated)["pk"].(string)
	}
	bind(one.addGroup(t, "everybody else"))
	for name, revoke := range map[string]func(t *testing.T, p *person, pk, group, binding string){
		"logout": func(t *testing.T, p *person, _, _, _ string) {
			page := p.through(one).open("http://localhost:" + f.port + "/flows/-/default/invalidation/")
			if len(page.forms) > 0 {
				page = p.submit(page, "", "")
			}
			if page.status >= 400 {
				t.Fatalf("logout: %d %s", page.status, page.body)
			}
		},
		"deactivation": func(t *testing.T, _ *person, pk, _, _ string) {
			one.api(t, http.MethodPatch, "/core/users/"+pk+"/", `{"is_active": false}`, http.StatusOK)
		},
		"group removal": func(t *testing.T, _ *person, pk, group, _ string) {
			one.api(t, http.MethodPost, "/core/groups/"+group+"/remove_user/", `{"pk": `+pk+`}`, http.StatusNoContent)
		},
		"binding deleted": func(t *testing.T, _ *person, _, _, binding string) {
			one.api(t, http.MethodDelete, "/policies/bindings/"+binding+"/", "", http.StatusNoContent)
		},
		"binding negated": func(t *testing.T, _ *person, _, _, binding string) {
			one.api(t, http.MethodPatch, "/policies/bindings/"+binding+"/", `{"negate": true}`, http.StatusOK)
			// Negated, it lets everybody else in, those of the other cases too.
			t.Cleanup(func() { one.api(t, http.MethodDelete, "/policies/bindings/"+binding+"/", "", http.StatusNoContent) })
		},
		"binding to another group": func(t *testing.T, _ *person, _, group, binding string) {
			other := one.addGroup(t, "other than "+group)
			one.api(t, http.MethodPatch, "/policies/bindings/"+binding+"/", jsonText(t, map[string]any{"group": other}), http.StatusOK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			slug := strings.ReplaceAll(name, " ", "-")
			group := one.addGroup(t, slug)
			pk := one.addUser(t, slug, group)
			colleague := slug + "-colleague"
			others := one.addGroup(t, colleague)
			one.addUser(t, colleague, others)
			binding := bind(group)
			bind(others)
			p, q := f.person(t), f.person(t)
			eventually(t, "both nodes know of the binding", func() bool {
				page := p.through(two).login(f.app()+"/", slug)
				return page.body == "for "+slug
			})
			if page := q.login(f.app()+"/", colleague); page.body != "for "+colleague {
				t.Fatalf("the colleague: %d %s", page.status, tail(page.body, 500))
			}
			for _, n := range f.nodes {
				if ok, status := p.let(n); !ok {
					t.Fatalf("control: %s does not let %s in: %d", n.address, slug, status)
				}
			}
			conn, r := p.socket(two)
			revoke(t, p, pk, group, binding)
			began := time.Now()
			for _, n := range f.nodes {
				took := eventually(t, n.address+" refuses", func() bool { ok, _ := p.let(n); return !ok })
				t.Logf("%s refused after %s", n.address, took)
			}
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			_, err := r.ReadByte()
			if e, timeout := err.(interface{ Timeout() bool }); err == nil || timeout && e.Timeout() {
				t.Errorf("the websocket on the other node stays open: %v", err)
			}
			t.Logf("the websocket closed after %s", time.Since(began).Round(time.Millisecond))
			for _, n := range f.nodes {
				if ok, status := q.let(n); !ok {
					t.Errorf("control: %s refuses the colleague, too: %d", n.address, status)
				}
			}
		})
	}
}
