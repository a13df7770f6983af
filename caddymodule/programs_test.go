package caddymodule

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/storagetest"
)

// nor do the tokens and app passwords that programs show a guard, though the application takes those of the
// client "shared", which both tenants have.
func TestNoProgramOpensAnotherTenant(t *testing.T) {
	w := newTwo(t, nil)
	ctx, db := t.Context(), w.app.core.shared.db
	const key = "an-app-password-of-a-0123456789abcdefghijklmn"
	for _, s := range []*side{w.a, w.b} {
		p := addProxy(t, w.app.core, s.id, "app", "http://app."+s.host)
		if _, err := db.UpdateProxyProvider(ctx, s.id, p.ID, func(p *core.ProxyProvider) error {
			id, err := strconv.ParseInt(s.provider, 10, 64)
			p.FederationProviders, p.InterceptHeaderAuth = []core.ProviderID{core.ProviderID(id)}, true
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := db.UserByName(ctx, "t_a", "akadmin")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CreateToken(ctx, "t_a", &core.Token{Identifier: "program", Intent: core.IntentAppPassword, User: admin.ID}, key); err != nil {
		t.Fatal(err)
	}
	shown := func(host, header string) *page {
		r, err := http.NewRequest("GET", "http://"+host+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		return w.do(&http.Client{Transport: w}, r)
	}
	letIn := func(p *page) bool {
		return p.status != http.StatusUnauthorized && !strings.Contains(p.body, `name="password"`)
	}
	for name, header := range map[string]string{
		"an access token": "Bearer " + w.a.tokens().Access,
		"an app password": "Basic " + base64.StdEncoding.EncodeToString([]byte("akadmin:"+key)),
	} {
		for range 2 { // the second time from memory
			if p := shown("app.a.test", header); !strings.Contains(p.body, "here is akadmin") {
				t.Errorf("control: %s of a at a: %d %s", name, p.status, p.body)
			}
			for _, host := range []string{"app.b.test", "app.auth.test"} {
				if p := shown(host, header); letIn(p) {
					t.Errorf("%s of a at %s: %d %s", name, host, p.status, p.body)
				}
			}
		}
	}
	// what a guard remembers of a tenant ends with it.
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte("akadmin:"+key))
	storagetest.Remove(t, db, "t_a")
	w.side("t_a", "a.test")
	addProxy(t, w.app.core, "t_a", "app", "http://app.a.test")
	if p := shown("app.a.test", header); letIn(p) {
		t.Errorf("the app password of a tenant that was deleted: %d %s", p.status, p.body)
	}
}
