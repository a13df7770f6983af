package oidc_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file under testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(got+"\n"), 0o644))
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if got+"\n" != string(want) {
		t.Errorf("%s differs from what is kept (make golden writes it anew):\n%s", path, got)
	}
}

// The claims of every kind of token, as text that a person can review. What
// differs from run to run is replaced by its name.
func TestGoldenClaims(t *testing.T) {
	for _, row := range []struct {
		name  string
		scope string
		setup func(*world)
	}{
		{"default", "openid email profile", func(*world) {}},
		{"openid-only", "openid", func(*world) {}},
		{"no-claims-in-id-token", "openid email profile", func(w *world) { w.updateClient(func(c *core.Client) { c.IncludeClaimsInIDToken = false }) }},
		{"sub-username", "openid", func(w *world) { w.updateClient(func(c *core.Client) { c.SubMode = core.SubUserName }) }},
		{"global-issuer", "openid", func(w *world) { w.updateClient(func(c *core.Client) { c.IssuerMode = core.IssuerGlobal }) }},
		{"minio-policy", "openid minio", func(w *world) { w.addMapping("minio", `return {"policy": "readwrite"}`) }},
		{"minio-no-policy", "openid minio", func(w *world) { w.addMapping("minio", `return None`) }},
		{"policy-none-in-dict", "openid minio", func(w *world) { w.addMapping("minio", `return {"policy": None, "other": 1}`) }},
		{"lists-are-joined", "openid a b", func(w *world) {
			w.addMapping("b", `return {"list": ["b"], "scalar": "b", "dict": {"b": 1}}`)
			w.addMapping("a", `return {"list": ["a"], "scalar": "a", "dict": {"a": 1}}`)
		}},
		{"reserved-claims-stay", "openid evil", func(w *world) {
			w.addMapping("evil", `return {"iss": "x", "sub": "x", "aud": "x", "exp": 9, "iat": 9, "nbf": 9, "nonce": "x", "azp": "x", "sid": "x", "jti": "x", "uid": "x", "scope": "x", "at_hash": "x", "auth_time": 9, "active": False, "client_id": "x", "postern_exp": 99999999999, "Postern_exp": 99999999999, "EXP": 9, "ſid": "", "ſcope": "x", "Azp": "x", "ok": True}`)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.newGroup("team", w.alice)
			row.setup(w)
			got := w.tokens(row.scope)
			_, info := w.userinfo(got.Access)
			access, id := claims(t, got.Access), claims(t, got.ID)
			for _, c := range []map[string]any{access, id} {
				for _, name := range []string{"jti", "uid", "sid", "at_hash"} {
					if c[name] != nil {
						c[name] = "[" + name + "]"
					}
				}
				if sub, _ := c["sub"].(string); len(sub) == 64 {
					c["sub"] = "[hashed user ID]"
				}
			}
			if sub, _ := info["sub"].(string); len(sub) == 64 {
				info["sub"] = "[hashed user ID]"
			}
			text, err := json.MarshalIndent(map[string]any{"access_token": access, "id_token": id, "userinfo": info}, "", "  ")
			check(t, err)
			golden(t, "claims/"+row.name+".json", strings.ReplaceAll(string(text), w.server.URL, "http://auth.example"))
		})
	}
}

// A mapping of the admin's own that fails takes all of the admin's own along:
// one that narrows must not be left out alone (E-08).
func TestFailingMapping(t *testing.T) {
	for _, fails := range []string{"a", "b", "c"} { // first, between, last
		w := newWorld(t)
		for _, scope := range []string{"a", "b", "c"} {
			source := `return {"` + scope + `": "own"}`
			if scope == fails {
				source = "x = 1\nfail_here()"
			}
			w.addMapping(scope, source)
		}
		got := w.tokens("openid email a b c")
		id := claims(t, got.ID)
		if id["a"] != nil || id["b"] != nil || id["c"] != nil || id["email"] != "alice@example.com" {
			t.Errorf("%s fails: %v", fails, id)
		}
		if e := w.events(core.EventMappingException); len(e) != 1 || !strings.Contains(e[0], "not built in are left out") {
			t.Errorf("%s fails: events %v", fails, e)
		}
		// A scope that was not granted is not run, so it cannot fail.
		if id := claims(t, w.tokens("openid "+strings.ReplaceAll("a b c", fails, "")).ID); id["a"] == nil && id["b"] == nil {
			t.Errorf("without %s: %v", fails, id)
		}
	}
	// Control, and the other way round: where a built-in one fails, the rest counts.
	w := newWorld(t)
	m := w.mapping("roles", "example.com/managed", "fail_here()", "")
	w.updateClient(func(c *core.Client) { c.Mappings = append(c.Mappings, m.ID) })
	w.addMapping("a", `return {"a": "own"}`)
	if id := claims(t, w.tokens("openid email roles a").ID); id["a"] != "own" || id["email"] == nil {
		t.Errorf("managed fails: %v", id)
	}
}

// A mapping that goes on failing writes one event a minute, which tells how often, as
// each is a durable write that other people's logins wait for. Another mapping's, and
// another application's, are recorded all the same.
func TestFailuresAreJoined(t *testing.T) {
	w := newWorld(t)
	w.addMapping("a", "fail_here()")
	preview := func(app *core.Application) {
		t.Helper()
		client, err := w.db.Client(w.ctx(), tenantID, w.client.ClientID)
		check(t, err)
		_, _, err = w.op.Preview(w.ctx(), client, app, w.alice, nil)
		check(t, err)
	}
	for range 100 {
		preview(w.app)
	}
	if n := len(w.events(core.EventMappingException)); n != 1 {
		t.Fatalf("%d events of 100 failures within a minute, want 1", n)
	}
	preview(&core.Application{ID: "another"})
	if n := len(w.events(core.EventMappingException)); n != 2 {
		t.Errorf("%d events after another application's, want 2", n)
	}
	w.clock.Add(time.Minute) // control: it is the minute that joins them
	preview(w.app)
	if e := w.events(core.EventMappingException); len(e) != 3 || !strings.Contains(e[0], "it failed 99 more times") {
		t.Errorf("a minute later: %q", e)
	}
	w.clock.Add(-time.Hour)
	preview(w.app)
	if n := len(w.events(core.EventMappingException)); n != 4 {
		t.Errorf("%d events after the clock was set back, want 4", n)
	}
}

// What userinfo answers is worked out anew: a group that was left is gone.
func TestUserinfoIsFresh(t *testing.T) {
	w := newWorld(t)
	team := w.newGroup("team", w.alice)
	got := w.tokens("openid profile")
	w.clock.Add(time.Minute)
	check(t, w.db.RemoveMember(t.Context(), tenantID, team.ID, w.alice.PK))
	if _, info := w.userinfo(got.Access); len(info["groups"].([]any)) != 0 {
		t.Errorf("groups: %v", info["groups"])
	}
}

// Mappings get the groups that the token's decision was made with, also where there are none:
// nobody looks again.
func TestMappingsGetTheGroups(t *testing.T) {
	w := newWorld(t)
	w.op.Expressions = &expression.Evaluator{Directory: forgetful{w.db}, Log: w.op.Log, Now: w.clock.Now}
	failed := func() int {
		t.Helper()
		client, err := w.db.Client(w.ctx(), tenantID, w.client.ClientID)
		check(t, err)
		_, failed, err := w.op.Preview(w.ctx(), client, w.app, w.alice, nil)
		check(t, err)
		return len(failed)
	}
	w.addMapping("names", `return {"names": [g.name for g in user.groups.all()]}`)
	if n := failed(); n != 0 {
		t.Errorf("%d mappings failed", n)
	}
	w.addMapping("another", `return {"of": len(ak_user_by(username="alice").groups.all())}`)
	if n := failed(); n != 1 { // control
		t.Errorf("%d mappings failed, want 1", n)
	}
}

// forgetful cannot tell the groups of a user.
type forgetful struct{ expression.Directory }

func (forgetful) UserGroups(context.Context, core.TenantID, core.UserID) ([]core.Group, error) {
	return nil, errDisk
}
