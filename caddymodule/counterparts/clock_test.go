package counterparts_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// L-10 with the real binary: the machine's clock was half an hour later when the server last ran. What had
// expired by then stays so; who was inside is; go-oidc, which goes by the machine's clock, takes what
// is issued. The control has no such mark.
func TestClockSetBackBetweenStarts(t *testing.T) {
	g := newGuarded(t)
	p := startGuarded(t, g, t.TempDir(), "")
	c := newCrowd(t, p, "http://app.localhost:"+p.port)
	b := c.person()
	client := c.oneShot(b)
	userinfo := func(access string) int {
		t.Helper()
		req, _ := http.NewRequest(http.MethodGet, p.url()+"/application/o/userinfo/", nil)
		req.Header.Set("Authorization", "Bearer "+access)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	mark := filepath.Join(p.data, "clock")
	for _, ahead := range []time.Duration{0, 30 * time.Minute} {
		code, err := c.code(client)
		if err != nil {
			t.Fatal(err)
		}
		other, err := c.code(client)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := c.token(client, traded(other))
		if err != nil {
			t.Fatal(err)
		}
		if status := userinfo(tok.AccessToken); status != http.StatusOK {
			t.Fatalf("userinfo: %d", status)
		}
		p.stop(t)
		kept, err := os.ReadFile(mark)
		if err != nil {
			t.Fatalf("the time is not kept: %v", err)
		}
		last, err := strconv.ParseInt(strings.TrimSpace(string(kept)), 10, 64)
		if off := time.Since(time.UnixMicro(last)); err != nil || off < 0 || off > time.Minute {
			t.Errorf("the time that is kept: %q", kept)
		}
		if err := os.WriteFile(mark, fmt.Appendln(nil, time.Now().Add(ahead).UnixMicro()), 0o600); err != nil {
			t.Fatal(err)
		}
		p.start(t)
		_, err = c.token(client, traded(code))
		if (err == nil) != (ahead == 0) {
			t.Errorf("%s ahead, the code: %v", ahead, err)
		}
		if status := userinfo(tok.AccessToken); (status == http.StatusOK) != (ahead == 0) {
			t.Errorf("%s ahead, the access token: %d", ahead, status)
		}
		if page := b.open(c.app + "/fast"); page.body != "for alice" {
			t.Errorf("logged out: %d at %s", page.status, page.url)
		}
		again, err := c.token(client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}})
		if err != nil {
			t.Fatalf("the refresh token: %v", err)
		}
		if status := userinfo(again.AccessToken); status != http.StatusOK {
			t.Errorf("a new access token: %d", status)
		}
		before := time.Now().Add(-time.Second)
		id, _ := logIn(t, c.op, "alice")
		if id.IssuedAt.Before(before) || id.IssuedAt.After(time.Now()) {
			t.Errorf("issued at %s, and it is %s", id.IssuedAt, time.Now())
		}
		if ahead > 0 {
			p.tells(t, "the machine's clock was set back")
		}
	}
}
