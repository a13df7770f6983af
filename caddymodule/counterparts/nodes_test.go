package counterparts_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// front is a real Caddy before the nodes of a fleet: each request goes to a node by chance, to another one where that is not
// there, with no sticky sessions. It goes on with what deploy/compose/edge.Caddyfile has, and asks for health as well.
type front struct {
	address string
	plain   string // of a site that tries nothing twice
	port    string
}

func newFront(t *testing.T, f *fleet) *front {
	t.Helper()
	l := &front{address: "127.0.0.101", plain: "127.0.0.102", port: f.port}
	var nodes []string
	for _, n := range f.nodes {
		nodes = append(nodes, n.address+":"+n.port)
	}
	config := fmt.Sprintf(`{
	admin off
	auto_https off
}

http://:%s {
	bind %s
	reverse_proxy %s {
		lb_policy random
		lb_try_duration 5s
		fail_duration 5s
		health_uri /-/health/ready/
		health_interval 1s
		header_down X-Node {rp.upstream.hostport}
	}
}

http://:%[1]s {
	bind %[4]s
	reverse_proxy %[3]s {
		lb_policy random
	}
}
`, f.port, l.address, strings.Join(nodes, " "), l.plain)
	file := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := run(t, []string{"HOME=" + t.TempDir()}, counterpart(t, "POSTERN_TEST_CADDY"), "run", "--config", file, "--adapter", "caddyfile")
	p.answers(t, "http://"+l.address+":"+f.port+"/-/health/ready/", http.StatusOK)
	return l
}

// visitor is a browser behind the front, which sees where its requests went.
type visitor struct {
	*browser
	*http.Transport
	mu   sync.Mutex
	way  []string // of each request, its node
	lost []string // methods of requests that the front could not have answered
}

func (l *front) visitor(t *testing.T) *visitor {
	v := &visitor{browser: newBrowser(t)}
	v.Transport = v.client.Transport.(*http.Transport)
	v.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(l.address, l.port))
	}
	v.client.Transport = v
	return v
}

func (v *visitor) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := v.Transport.RoundTrip(r)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil || resp.StatusCode >= http.StatusBadGateway && resp.Header.Get("X-Node") == "" {
		v.lost = append(v.lost, r.Method)
	} else {
		v.way = append(v.way, resp.Header.Get("X-Node"))
	}
	return resp, err
}

// follow is the person's browser that follows no redirects.
func follow(b *browser) *http.Client {
	return &http.Client{Jar: b.client.Jar, Transport: b.client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// through sends what a person does to one node from now on.
func (p *person) through(n *fleetNode) *person {
	p.node = n
	return p
}

// L-16: nodes need no sticky sessions, and one may die at any moment. A Caddy in front sends requests to any of three by
// chance; one is killed with -9 while people log in and clients trade codes, and nobody fails. What Caddy may
// not send twice is a POST that a node had when it died (RFC 9110 §9.2.2): it is answered 502, and whoever sent it begins
// anew. A code that a node used up before it died is good for nothing when Caddy sends it to another (RFC 6749 §4.1.2): the
// page that says so leads on. Then, node by node, another serves the session, the open form, the code and the refresh token that a dead one made.
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

	l := newFront(t, f)
	crossed, sent := 0, map[string]int{}
	for i := range 8 {
		b := l.visitor(t)
		if page := b.login(f.app()+"/deep?i="+strconv.Itoa(i), "alice"); page.body != "for alice" || page.url.RawQuery != "i="+strconv.Itoa(i) {
			t.Fatalf("login %d over nodes %v ended at %s: %d %s", i, b.way, page.url, page.status, tail(page.body, 500))
		}
		for k := range b.way[1:] {
			if b.way[k] != b.way[k+1] {
				crossed++
			}
		}
		code, err := c.code(follow(b.browser))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := c.token(follow(b.browser), traded(code))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if tok, err = c.token(follow(b.browser), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}}); err != nil {
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
		for _, n := range b.way {
			sent[n]++
		}
		if len(b.lost) > 0 {
			t.Errorf("with all nodes there, lost: %v", b.lost)
		}
	}
	t.Logf("requests: %v; within logins the node changed %d times", sent, crossed)
	if len(sent) != 3 || crossed < 8 {
		t.Error("this was no test of three nodes")
	}

	// One is killed while people are logging in, and others trade codes, by whichever node.
	type guest struct {
		*visitor
		name string // one's own: an attempt that died with its node counts as one
		form *page
		code string
	}
	var came []guest
	for i := range 6 {
		b, name := l.visitor(t), "guest"+strconv.Itoa(i)
		one.addUser(t, name)
		form := b.open(f.app() + "/midway")
		inside := l.visitor(t)
		inside.login(f.app()+"/", "alice")
		code, err := c.code(follow(inside.browser))
		if err != nil {
			t.Fatal(err)
		}
		came = append(came, guest{b, name, form, code})
	}
	first := make(chan struct{}, len(came))
	var all sync.WaitGroup
	for i, b := range came {
		all.Go(func() {
			page := b.submit(b.form, b.name, password(b.name))
			first <- struct{}{}
			if page.status == http.StatusBadGateway {
				page = b.login(f.app()+"/midway", b.name)
			}
			if page.status == http.StatusBadRequest && strings.Contains(page.body, "This login was used before") {
				t.Logf("login %d: the node that was killed had used its code up", i)
				if !strings.Contains(page.body, `href="`+f.app()+`/midway"`) {
					t.Errorf("login %d: the page does not lead on: %s", i, tail(page.body, 300))
				}
				page = b.open(f.app() + "/midway") // which asks for no password
			}
			if page.body != "for "+b.name || page.url.Path != "/midway" {
				t.Errorf("login %d, begun before a node was killed: %d at %s", i, page.status, page.url)
			}
			before := len(b.lost)
			if err := exchange(b.browser, b.code); err != nil && len(b.lost) == before {
				t.Errorf("code %d, from before a node was killed: %v", i, err)
			}
			for range 5 {
				if page := b.open(f.app() + "/"); page.body != "for "+b.name {
					t.Errorf("login %d, after a node was killed: %d %s", i, page.status, tail(page.body, 300))
				}
			}
		})
	}
	<-first
	if err := three.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-three.done
	all.Wait()
	lost := 0
	for i, b := range came {
		lost += len(b.lost)
		if slices.Contains(b.lost, http.MethodGet) || len(b.lost) > 1 {
			t.Errorf("of %d, the front gave up: %v", i, b.lost)
		}
	}
	t.Logf("%d POST were with the node that was killed", lost)
	for range 3 { // and nothing is lost of what is begun now
		b := l.visitor(t)
		if page := b.login(f.app()+"/", "alice"); page.body != "for alice" || len(b.lost) > 0 || slices.Contains(b.way, three.address+":"+three.port) {
			t.Errorf("with two nodes: %d over %v, lost %v", page.status, b.way, b.lost)
		}
	}
	eventually(t, "control: a front that tries nothing twice loses a request", func() bool {
		resp, err := http.Get("http://" + l.plain + ":" + l.port + "/-/health/live/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusBadGateway
	})
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
				if took > soon {
					t.Errorf("%s refused after %s only", n.address, took)
				}
			}
			_ = conn.SetReadDeadline(time.Now().Add(soon))
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
