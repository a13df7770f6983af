package counterparts_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// T-26 with the real binary: one login of two is deleted over the API. Its cookie, what was granted in it,
// the guarded application and the websocket through it end at once; those of the other go on.
func TestSessionDeletedOverTheAPI(t *testing.T) {
	g := newGuarded(t)
	p := startGuarded(t, g, t.TempDir(), "")
	c := newCrowd(t, p, "http://app.localhost:"+p.port)
	type login struct {
		*browser
		client *http.Client
		echo   func(string) error
		access string
		again  url.Values
	}
	logIn := func() *login {
		l := &login{browser: c.person()}
		l.client = c.oneShot(l.browser)
		code, err := c.code(l.client)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := c.token(l.client, traded(code))
		if err != nil {
			t.Fatal(err)
		}
		l.access, l.again = tok.AccessToken, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}}
		var end func()
		l.echo, end = l.socket(p)
		t.Cleanup(end)
		if err := l.echo("ping"); err != nil {
			t.Fatal(err)
		}
		return l
	}
	status := func(client *http.Client, address, bearer string) int {
		t.Helper()
		req, _ := http.NewRequest(http.MethodGet, address, nil)
		req.Header.Set("Accept", "application/json")
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	works := func(l *login) map[string]bool {
		out := map[string]bool{
			"portal":       status(l.client, p.url()+"/if/user/", "") == http.StatusOK,
			"application":  status(l.client, c.app+"/", "") == http.StatusOK,
			"access token": status(http.DefaultClient, p.url()+"/application/o/userinfo/", l.access) == http.StatusOK,
		}
		tok, err := c.token(l.client, l.again)
		if out["refresh token"] = err == nil; err == nil {
			l.again.Set("refresh_token", tok.RefreshToken)
		}
		return out
	}
	stays, ends := logIn(), logIn()
	for what, is := range works(ends) {
		if !is {
			t.Fatalf("before, no %s", what)
		}
	}
	newest := p.first(t, "/core/authenticated_sessions/?user__username=alice")["uuid"].(string)
	p.api(t, http.MethodDelete, "/core/authenticated_sessions/"+newest+"/", "", http.StatusNoContent)
	began := time.Now()
	for what, is := range works(ends) {
		if is {
			t.Errorf("the %s goes on", what)
		}
	}
	took := eventually(t, "the websocket is closed", func() bool { return ends.echo("ping") != nil })
	t.Logf("the rest refused within %s, the websocket closed after %s", time.Since(began)-took, took)
	for what, is := range works(stays) {
		if !is {
			t.Errorf("the other login has no %s", what)
		}
	}
	if err := stays.echo("ping"); err != nil {
		t.Errorf("the other login's websocket: %v", err)
	}
}
