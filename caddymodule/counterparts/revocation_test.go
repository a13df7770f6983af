package counterparts_test

import (
	"net/http"
	"testing"
	"time"
)

// L-17: what is revoked on one node is refused on the other, and its websocket closed:
// by notification, and by looking alone where no notification comes. Where the other
// node hears nothing at all it goes on for as long as it may, and no longer.
func TestRevocationAcrossNodes(t *testing.T) {
	database := newDatabase(t)
	f := newFleet(t)
	one := f.add(t, database, "", "allow_groups staff")
	ran(t, "caddy")
	ran(t, "postgresql")
	link := newWire(t, database.Host)
	behind := *database
	behind.Host = link.listener.Addr().String()
	two := f.add(t, &behind, "revocation_staleness 5s", "allow_groups staff")
	staff := one.addGroup(t, "staff")

	revoke := map[string]func(t *testing.T, p *person, pk string){
		"logout": func(t *testing.T, p *person, _ string) {
			p.node = one
			page := p.open("http://localhost:" + f.port + "/flows/-/default/invalidation/")
			if len(page.forms) > 0 {
				page = p.submit(page, "", "")
			}
			if page.status >= 400 {
				t.Fatalf("logout: %d %s", page.status, page.body)
			}
		},
		"deactivation": func(t *testing.T, _ *person, pk string) {
			one.api(t, http.MethodPatch, "/core/users/"+pk+"/", `{"is_active": false}`, http.StatusOK)
		},
		"end of the login over the API": func(t *testing.T, _ *person, pk string) {
			one.api(t, http.MethodDelete, "/core/authenticated_sessions/bulk_delete/?user_pks="+pk, "", http.StatusOK)
		},
		"group removal": func(t *testing.T, _ *person, pk string) {
			one.api(t, http.MethodPost, "/core/groups/"+staff+"/remove_user/", `{"pk": `+pk+`}`, http.StatusNoContent)
		},
		"password change": func(t *testing.T, _ *person, pk string) {
			one.api(t, http.MethodPost, "/core/users/"+pk+"/set_password/", `{"password": "another-long-password"}`, http.StatusNoContent)
		},
	}
	for _, way := range []struct {
		name string
		wire wireState
	}{{"notified", wireState{}}, {"looking", wireState{deaf: true}}} {
		link.set(wireState{cut: true}) // whoever listens begins anew
		link.set(way.wire)
		eventually(t, "node two is ready", func() bool { return two.status(t, "/-/health/ready/") == http.StatusOK })
		for what, do := range revoke {
			t.Run(way.name+"/"+what, func(t *testing.T) {
				name := way.name + "-" + string(what[0])
				pk := one.addUser(t, name, staff)
				p := f.person(t)
				if page := p.login(f.app()+"/", name); page.body != "for "+name {
					t.Fatalf("logged in, the page is %d %q", page.status, page.body)
				}
				if ok, status := p.let(two); !ok {
					t.Fatalf("control: node two does not let %s in: %d", name, status)
				}
				conn, r := p.socket(two)
				do(t, p, pk)
				began := time.Now()
				took := eventually(t, "node two refuses", func() bool { ok, _ := p.let(two); return !ok })
				if took > soon {
					t.Errorf("refused after %s only", took)
				}
				_ = conn.SetReadDeadline(time.Now().Add(soon))
				_, err := r.ReadByte()
				if e, timeout := err.(interface{ Timeout() bool }); err == nil || timeout && e.Timeout() {
					t.Errorf("the websocket on node two stays open: %v", err)
				}
				t.Logf("refused after %s, the websocket closed after %s", took, time.Since(began).Round(time.Millisecond))
			})
		}
	}

	t.Run("control: nothing is heard", func(t *testing.T) {
		// Without a bound to what it believes, a node that hears nothing is out of every time that is allowed here.
		three := f.add(t, &behind, "revocation_staleness 5m", "allow_groups staff")
		name := "unheard"
		pk := one.addUser(t, name, staff)
		p := f.person(t)
		p.login(f.app()+"/", name)
		for _, n := range []*fleetNode{two, three} {
			if ok, status := p.let(n); !ok {
				t.Fatalf("%s does not let %s in: %d", n.address, name, status)
			}
		}
		conn, r := p.socket(two)
		link.set(wireState{hangs: true})
		one.api(t, http.MethodPatch, "/core/users/"+pk+"/", `{"is_active": false}`, http.StatusOK)
		began := time.Now()
		if ok, status := p.let(two); !ok {
			t.Errorf("node two refuses with %d what it cannot have heard of: the other cases show nothing", status)
		}
		took := eventually(t, "node two no longer decides from memory", func() bool {
			ok, status := p.let(two)
			return !ok && status == http.StatusServiceUnavailable
		})
		const most = 5*time.Second + soon
		if took > most {
			t.Errorf("with a revocation_staleness of 5 s it decided from memory for %s", took)
		}
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := r.ReadByte(); err == nil {
			t.Error("the websocket talks")
		}
		t.Logf("503 after %s of nothing", took)
		eventually(t, "either bound is over", func() bool { return time.Since(began) > most })
		if ok, status := p.let(three); !ok {
			t.Errorf("it answers %d: that nothing is heard, and that there is a bound, shows nowhere", status)
		}
		link.set(wireState{})
		took = eventually(t, "node two refuses for good", func() bool {
			_, status := p.let(two)
			return status == http.StatusUnauthorized
		})
		t.Logf("refused %s after the network was back", took)
	})
}
