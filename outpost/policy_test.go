package outpost_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/outpost"
)

// guarded is a world with a registered application and alice logged in.
func guarded(t *testing.T) (*world, *browser) {
	t.Helper()
	w := newWorld(t)
	w.apps = []core.ProxyApplication{proxyApp("app", app)}
	w.apps[0].Application.PolicyMode = "any"
	b := w.browser()
	b.login(app + "/")
	return w, b
}

func (w *world) bind(change func(*policy.Rule)) {
	r := policy.Rule{Binding: policy.Binding{ID: "b", Target: "id-app", Enabled: true}, Name: "it"}
	change(&r)
	w.mu.Lock()
	w.rules = []policy.Rule{r}
	w.mu.Unlock()
	w.invalidate(core.Change{Kind: "binding", ID: "b"})
}

// a binding decides at the next request, and so does its end. While nothing changes, no
// store is asked.
func TestBindingsGuard(t *testing.T) {
	w, b := guarded(t)
	status := func(want int, what string) {
		t.Helper()
		if res := b.get(app + "/"); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", what, res.StatusCode, want)
		}
	}
	status(200, "no binding")
	w.bind(func(r *policy.Rule) { r.Group = "g9" })
	status(403, "a group that she is not in")
	w.bind(func(r *policy.Rule) { r.Group = "g2" })
	status(200, "her group")
	w.calls = 0
	for range 20 {
		status(200, "from memory")
	}
	if w.calls != 0 {
		t.Errorf("%d calls of stores for requests of a live session", w.calls)
	}
	w.groups["u1"] = w.groups["u1"][:1]
	w.invalidate(core.Change{Kind: "membership", ID: "u1"})
	status(403, "out of the group")
	w.bind(func(r *policy.Rule) { r.User = "u1" })
	status(200, "she herself")
	w.bind(func(r *policy.Rule) { r.Group, r.Gone = "g2", true })
	status(403, "a group that was deleted")
	// F-12: without an answer nobody is let in.
	w.bind(func(r *policy.Rule) { r.User = "u1" })
	w.mu.Lock()
	w.broken = errStore
	w.mu.Unlock()
	status(503, "the store is out of reach")
}

// Expressions run for each request: none of their results serves another address or time.
func TestExpressionsGuard(t *testing.T) {
	w, b := guarded(t)
	allow := true
	w.policy = func(_ string, env expression.Env) (bool, []string, error) {
		if env.Request == nil || env.Request.ClientIP.String() != "192.0.2.7" || env.User.UserName != "alice" || len(env.Groups) != 2 {
			t.Errorf("an expression sees %+v", env)
		}
		return allow, []string{"Come later."}, nil
	}
	w.bind(func(r *policy.Rule) { r.Policy, r.Source = "p", "x" })
	w.calls = 0
	for range 5 {
		if res := b.get(app + "/"); res.StatusCode != 200 {
			t.Fatalf("%d", res.StatusCode)
		}
	}
	if w.runs != 5 || w.calls > 5 {
		t.Errorf("%d runs, %d calls of stores", w.runs, w.calls)
	}
	allow = false
	res := b.get(app + "/")
	page := read(t, res)
	if res.StatusCode != 403 || !strings.Contains(page, "Come later.") || len(w.events) != 1 || !strings.Contains(page, w.events[0].Message) {
		t.Errorf("%d, %d events\n%s", res.StatusCode, len(w.events), page)
	}
	// E-08: one that fails denies.
	w.policy = func(string, expression.Env) (bool, []string, error) { return true, nil, errors.New("it raised") }
	if res := b.get(app + "/"); res.StatusCode != 403 {
		t.Errorf("a policy that fails: %d", res.StatusCode)
	}
	w.policy = func(string, expression.Env) (bool, []string, error) { return true, nil, nil }
	if res := b.get(app + "/"); res.StatusCode != 200 { // control
		t.Errorf("a policy that passes: %d", res.StatusCode)
	}
}

func TestEntitlementsHeader(t *testing.T) {
	w, b := guarded(t)
	b.header.Set("X-Authentik-Entitlements", "root") // F-01
	b.get(app + "/")
	if got := w.got.Header.Get("X-Authentik-Entitlements"); got != "" {
		t.Errorf("without one: %q", got)
	}
	for _, name := range []string{"admin", "a|b", "reader"} {
		w.entitlements = append(w.entitlements, core.Entitlement{ID: core.EntitlementID(name), Application: "id-app", Name: name})
		w.rules = append(w.rules, policy.Rule{Binding: policy.Binding{Target: policy.TargetID(name), Group: "g2"}})
	}
	w.invalidate(core.Change{Kind: "entitlement"})
	b.get(app + "/")
	if got := w.got.Header.Get("X-Authentik-Entitlements"); got != "admin|reader" {
		t.Errorf("%q", got)
	}
	w.guard = &outpost.Guard{Headers: outpost.HeadersRemote}
	b.get(app + "/")
	if got := w.got.Header.Get("X-Authentik-Entitlements"); got != "" {
		t.Errorf("with other headers: %q", got)
	}
}

// T-26: an open websocket ends when a binding takes the right to it.
func TestStreamEndsWithItsBinding(t *testing.T) {
	w, b := guarded(t)
	w.out.Recheck = time.Millisecond
	w.bind(func(r *policy.Rule) { r.Group = "g2" })
	b.header.Set("Upgrade", "websocket")
	b.header.Set("Connection", "Upgrade")
	ended := false
	w.respond = func(_ http.ResponseWriter, r *http.Request) {
		w.bind(func(r *policy.Rule) { r.Group = "g9" })
		select {
		case <-r.Context().Done():
			ended = true
		case <-time.After(time.Minute):
		}
	}
	if b.get(app + "/"); !ended {
		t.Error("it goes on")
	}
}
