package counterparts_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// restart starts a node with other secrets, while the work goes on on the other.
func (n *fleetNode) restart(t *testing.T, secret, old string, meanwhile func()) {
	t.Helper()
	n.stop(t)
	n.env = append(bootstrapped(), "FLEET_SECRET="+secret, "POSTERN_OLD_SECRET="+old, "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	n.process = run(t, n.env, counterpart(t, "POSTERN_TEST_CADDY"), "run", "--config", n.caddyfile, "--adapter", "caddyfile")
	for deadline := time.Now().Add(time.Minute); ; meanwhile() {
		resp, err := http.Get(n.at("/-/health/ready/"))
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is not ready: %s", tail(n.out.String(), 3000))
		}
	}
}

// post makes something over the API of this very node.
func (n *fleetNode) post(t *testing.T, path string, body map[string]any) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, n.at("/api/v3"+path), bytes.NewReader([]byte(jsonText(t, body))))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "localhost:" + n.port
	req.Header.Set("Authorization", "Bearer "+bootstrapToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// The master secret changes while two nodes serve: first each learns the new one, then each seals with it, then
// each forgets the old one. At no moment does either refuse what the other sealed, also what was sealed with the
// old secret after everything had been sealed anew.
func TestMasterSecretChangesNodeByNode(t *testing.T) {
	database := newDatabase(t)
	f := newFleet(t)
	one, two := f.add(t, database, "", ""), f.add(t, database, "", "")
	ran(t, "caddy")
	ran(t, "postgresql")
	c := newCrowd(t, one.postern, f.app())
	var tokens []string // identifiers of tokens that were made, whose keys are sealed
	inside := f.person(t)
	inside.login(f.app()+"/", "alice")
	refresh := ""
	works := func(n *fleetNode) error {
		if ok, status := inside.let(n); !ok {
			return fmt.Errorf("who was inside is not let in: %d", status)
		}
		p := f.person(t)
		p.node = n
		if page := p.login(f.app()+"/", "alice"); page.body != "for alice" {
			return fmt.Errorf("a login: %d %s", page.status, tail(page.body, 300))
		}
		client := c.oneShot(p.browser)
		code, err := c.code(client)
		if err != nil {
			return err
		}
		form := traded(code)
		if refresh != "" { // one node's refresh token on the other
			form = url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
		}
		tok, err := c.token(client, form)
		if err != nil {
			return err
		}
		refresh = tok.RefreshToken
		name := fmt.Sprint("token-", len(tokens))
		if status, body := n.post(t, "/core/tokens/", map[string]any{"identifier": name, "intent": "api"}); status != http.StatusCreated {
			return fmt.Errorf("a new token: %d %s", status, tail(body, 300))
		}
		tokens = append(tokens, name)
		for _, name := range tokens {
			if got := n.get(t, "/api/v3/core/tokens/"+name+"/view_key/", "Authorization", "Bearer "+bootstrapToken); got.StatusCode != http.StatusOK {
				return fmt.Errorf("the key of %s of %d: %d", name, len(tokens), got.StatusCode)
			}
		}
		return nil
	}
	must := func(what string, n *fleetNode) {
		t.Helper()
		if err := works(n); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	const old, anew = fleetSecret, "another secret for every node of the fleet, as long"
	for _, round := range []struct{ what, secret, old string }{
		{"each learns the new one", old, anew},
		{"each seals with the new one", anew, old},
		{"each forgets the old one", anew, ""},
	} {
		for i, n := range f.nodes {
			other := f.nodes[1-i]
			n.restart(t, round.secret, round.old, func() { must(round.what+", meanwhile on the other node", other) })
			must(round.what, n)
			must(round.what+", the other node", other)
		}
	}
	t.Logf("%d tokens were made and read on both nodes meanwhile", len(tokens))

	t.Run("control: a node that was not told", func(t *testing.T) {
		one.restart(t, "a third secret that the other node does not know of", anew, func() {})
		if err := works(two); err == nil {
			t.Error("it opens what it cannot: the test shows nothing")
		}
	})
	t.Run("the old secret opens nothing", func(t *testing.T) {
		two.stop(t)
		p := run(t, append(bootstrapped(), "FLEET_SECRET="+old, "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir()),
			counterpart(t, "POSTERN_TEST_CADDY"), "run", "--config", two.caddyfile, "--adapter", "caddyfile")
		select {
		case <-p.done:
			if p.cmd.ProcessState.Success() || !strings.Contains(p.out.String(), "written with another secret") {
				t.Errorf("it ended with %s: %s", p.cmd.ProcessState, tail(p.out.String(), 2000))
			}
		case <-time.After(time.Minute):
			t.Error("it runs")
		}
	})
}
