package counterparts_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// L-20: tenants that are made, changed and deleted leave the others' sessions, requests and open websockets as
// they are. The control is who was logged in to one that is deleted.
func TestTenantsComeAndGo(t *testing.T) {
	f := newFleet(t)
	n := f.add(t, &url.URL{Path: "sqlite"}, "", "")
	ran(t, "caddy")
	n.addUser(t, "alice")
	alice := f.person(t)
	if page := alice.login(f.app()+"/", "alice"); page.body != "for alice" {
		t.Fatalf("%d %s", page.status, tail(page.body, 500))
	}
	conn, r := alice.socket(n)
	untouched := func(when string) {
		t.Helper()
		if ok, status := alice.let(n); !ok {
			t.Errorf("%s, alice is answered %d", when, status)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatalf("%s, her websocket: %v", when, err)
		}
		if b, err := r.ReadByte(); err != nil || b != 'x' {
			t.Fatalf("%s, her websocket: %q, %v", when, b, err)
		}
	}
	portal := func(p *person) *page { return p.open("http://other.localhost:" + f.port + "/if/user/") }
	inside := func(p *person) bool {
		page := portal(p)
		return page.status == http.StatusOK && (len(page.forms) == 0 || page.forms[0].password == "")
	}
	for range 2 { // the second of the same name is another one
		n.online(t, "tenant", "create", "t_other", "--domain", "other.localhost")
		untouched("a tenant was made")
		other := f.person(t)
		link := strings.TrimSpace(n.online(t, "tenant", "recovery-key", "t_other"))
		other.submit(other.open(link), "", "")
		if !inside(other) {
			t.Fatal("control: nobody is logged in to the other tenant")
		}
		n.online(t, "tenant", "domain", "add", "t_other", "more.localhost")
		untouched("it was given a domain")
		if !inside(other) {
			t.Error("a domain more ended the tenant's own session")
		}
		n.online(t, "tenant", "delete", "t_other", "--yes")
		untouched("it was deleted")
		if inside(other) {
			t.Error("control: the session of a tenant that is gone lives on")
		}
	}
}
