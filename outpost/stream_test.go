package outpost_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/outpost"
)

// F-22, T-26: a websocket or a stream of events ends soon after the right to it has,
// for whatever reason; a plain request under way is left alone.
func TestOpenStreamEnds(t *testing.T) {
	websocket := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}
	events := http.Header{"Accept": {"text/event-stream"}}
	end := map[string]func(*world){
		"the login ends": func(w *world) {
			w.mu.Lock()
			defer w.mu.Unlock()
			clear(w.logins)
			clear(w.keys)
		},
		"the user is deactivated": func(w *world) {
			w.users["u1"] = &core.User{ID: "u1", PK: 7, UserName: "alice"}
			w.out.Invalidate("public", core.Change{Kind: "user", ID: "u1", Op: "update"})
		},
		"the user is deleted": func(w *world) {
			delete(w.users, "u1")
			w.out.Invalidate("public", core.Change{Kind: "user", ID: "u1", Op: "delete"})
		},
		"the user leaves the group": func(w *world) {
			w.groups["u1"] = nil
			w.out.Invalidate("public", core.Change{Kind: "membership", ID: "u1", Op: "delete"})
		},
	}
	for _, c := range []struct {
		name    string
		header  http.Header
		recheck time.Duration
		ends    bool
	}{
		{"websocket", websocket, time.Millisecond, true},
		{"event stream", events, time.Millisecond, true},
		{"plain request", nil, time.Millisecond, false},
		{"control: nobody looks again", websocket, time.Hour, false},
	} {
		for why, revoke := range end {
			t.Run(c.name+"/"+why, func(t *testing.T) {
				w := newWorld(t)
				w.guard = &outpost.Guard{AllowGroups: []string{"staff"}}
				w.out.Recheck = c.recheck
				b := w.browser()
				b.login(app + "/")
				for name, values := range c.header {
					b.header[name] = values
				}
				ended := make(chan bool, 1)
				w.respond = func(_ http.ResponseWriter, r *http.Request) {
					select {
					case <-r.Context().Done():
						t.Error("it ended before there was a reason")
					case <-time.After(20 * time.Millisecond):
					}
					revoke(w)
					patience := time.Minute
					if !c.ends {
						patience = 100 * time.Millisecond
					}
					select {
					case <-r.Context().Done():
						ended <- true
					case <-time.After(patience):
						ended <- false
					}
				}
				b.get(app + "/stream")
				if got := <-ended; got != c.ends {
					t.Errorf("ended: %t", got)
				}
			})
		}
	}
}

// F-01: what Connection names, a proxy behind the guard removes: our names are taken
// out of it, whatever their spelling, and the others stay.
func TestConnectionCannotRemoveIdentity(t *testing.T) {
	for in, want := range map[string]string{
		"X-Authentik-Username, X-Authentik-Groups":        "",
		"x_authentik_username":                            "",
		"keep-alive, X-Authentik-Groups,Remote-User ,Foo": "keep-alive, Foo",
		"Upgrade":            "Upgrade",
		"keep-alive,  Foo":   "keep-alive,  Foo", // as it came
		",X-Authentik-Uid,,": "",
	} {
		w := newWorld(t)
		b := w.browser()
		b.login(app + "/")
		b.header["Connection"] = []string{in}
		b.get(app + "/x")
		if got := w.got.Header.Get("Connection"); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		if w.got.Header.Get("X-Authentik-Username") != "alice" {
			t.Errorf("%q: no identity", in)
		}
	}
}

// A "*" before the end of a rule stays within its segment.
func TestSkipWithinSegment(t *testing.T) {
	for path, want := range map[string]int{
		"/users/7/avatar": http.StatusOK, "/users//avatar": http.StatusFound, "/users/7/8/avatar": http.StatusFound,
		"/users/7/avatar/x": http.StatusFound, "/open/a/b": http.StatusOK, "/openx": http.StatusFound,
	} {
		w := newWorld(t)
		w.guard = &outpost.Guard{SkipPath: skip(t, "/users/*/avatar", "/open/*")}
		if got := w.browser().get(app + path).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}
