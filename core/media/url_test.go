package media_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/media"
)

var (
	tenantA = &core.Tenant{ID: "t_a", UUID: "0198c0de-0000-7000-8000-00000000000a"}
	tenantB = &core.Tenant{ID: "t_b", UUID: "0198c0de-0000-7000-8000-00000000000b"}
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newSigner(t testing.TB, secret string, old ...[]byte) (*media.Signer, *clock) {
	t.Helper()
	master, err := keys.NewMaster([]byte(secret), old...)
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	return &media.Signer{Master: master, Now: c.Now}, c
}

var secret = strings.Repeat("s", keys.MinSecret)

// parts are the name and token of a URL.
func parts(t testing.TB, of *core.Tenant, raw string) (name, token string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	name, ok := strings.CutPrefix(u.Path, media.PathPrefix+string(of.ID)+"/")
	if !ok || len(u.Query()) != 1 {
		t.Fatalf("the URL is %s", raw)
	}
	return name, u.Query().Get("token")
}

func TestURL(t *testing.T) {
	s, c := newSigner(t, secret)
	for _, o := range []media.Options{{}, {Download: true}} {
		name, token := parts(t, tenantA, s.URL(tenantA, "application-icons/a.png", o))
		got, until, err := s.Verify(tenantA, name, token)
		if name != "application-icons/a.png" || got != o || err != nil {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
		if left := until.Sub(c.now); left > media.DefaultLife || left < media.DefaultLife/3 {
			t.Errorf("it is good for %s", left)
		}
	}
	if s.URL(tenantA, "a.png", media.Options{}) == s.URL(tenantA, "a.png", media.Options{Download: true}) {
		t.Error("the options are not signed")
	}
}

// A URL is the same for two thirds of its life, and never good for longer than that.
func TestURLWindow(t *testing.T) {
	for _, life := range []time.Duration{0, media.MinLife, time.Hour, media.MaxLife} {
		s, c := newSigner(t, secret)
		s.Life = life
		if life == 0 {
			life = media.DefaultLife
		}
		c.now = c.now.Add(137 * time.Second)
		seen := map[string]time.Time{}
		for range 400 {
			u := s.URL(tenantA, "a.png", media.Options{})
			if _, ok := seen[u]; !ok {
				seen[u] = c.now
			}
			name, token := parts(t, tenantA, u)
			_, until, err := s.Verify(tenantA, name, token)
			if left := until.Sub(c.now); err != nil || left > life || left < life/3 {
				t.Fatalf("life %s: good for %s, %v", life, left, err)
			}
			c.now = c.now.Add(life / 100)
		}
		if len(seen) < 6 || len(seen) > 8 { // 4 lives, 2/3 each
			t.Errorf("life %s: %d URLs", life, len(seen))
		}
	}
}

func TestExpired(t *testing.T) {
	s, c := newSigner(t, secret)
	name, token := parts(t, tenantA, s.URL(tenantA, "a.png", media.Options{}))
	_, until, err := s.Verify(tenantA, name, token)
	if err != nil {
		t.Fatal(err)
	}
	c.now = until.Add(-time.Second)
	if _, _, err := s.Verify(tenantA, name, token); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	c.now = until
	if _, _, err := s.Verify(tenantA, name, token); !errors.Is(err, core.ErrDenied) {
		t.Errorf("at its end: %v", err)
	}
}

// M-04: nothing but the very token is one. That the token itself is good is the control.
func TestM04Tokens(t *testing.T) {
	s, _ := newSigner(t, secret)
	name, token := parts(t, tenantA, s.URL(tenantA, "a.png", media.Options{}))
	if _, _, err := s.Verify(tenantA, name, token); err != nil {
		t.Fatalf("control: %v", err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := newSigner(t, strings.Repeat("o", keys.MinSecret))
	_, foreign := parts(t, tenantA, other.URL(tenantA, "a.png", media.Options{}))
	std := base64.StdEncoding.EncodeToString(raw)
	if std == token {
		std = strings.Repeat("+/", 26)
	}
	wrong := map[string]string{
		"empty": "", "cut": token[:len(token)-1], "cut by four": token[:len(token)-4], "longer": token + "A", "longer by four": token + "AAAA",
		"padded": token + "=", "spaced": " " + token, "a line more": token[:20] + "\n" + token[20:], "a line in it": token[:20] + "\n" + token[21:], "upper": strings.ToUpper(token), "hex": hex.EncodeToString(raw),
		"other alphabet": std, "other key": foreign, "zeros": strings.Repeat("A", len(token)), "none": strings.Repeat("=", len(token)),
		"extended": base64.RawURLEncoding.EncodeToString(append(raw, 0x80, 0, 0)), "twice": token + token,
	}
	for what, token := range wrong {
		if _, _, err := s.Verify(tenantA, name, token); !errors.Is(err, core.ErrDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, name := range []string{"", "A.png", "a.pn", "a.png ", "a.png/", "./a.png", "/a.png", "b.png", "a.png\x00", "x/../a.png", "a%2epng"} {
		if _, _, err := s.Verify(tenantA, name, token); !errors.Is(err, core.ErrDenied) {
			t.Errorf("for %q: %v", name, err)
		}
	}
}

// M-05, X-09: what A's key signed is no URL of B's, and what was signed for a tenant that is
// gone none of the one that has its name now. The control verifies with the right tenant.
func TestM05Tenants(t *testing.T) {
	s, _ := newSigner(t, secret)
	name, token := parts(t, tenantA, s.URL(tenantA, "a.png", media.Options{}))
	if _, _, err := s.Verify(tenantA, name, token); err != nil {
		t.Fatalf("control: %v", err)
	}
	again := *tenantA
	again.UUID = "0198c0de-0000-7000-8000-0000000000aa"
	renamed := *tenantA
	renamed.ID = "t_aa"
	for _, other := range []*core.Tenant{tenantB, &again, &renamed} {
		if _, _, err := s.Verify(other, name, token); !errors.Is(err, core.ErrDenied) {
			t.Errorf("%s %s: %v", other.ID, other.UUID, err)
		}
	}
}

// While the master secret changes, pages from before it still show their icons.
func TestURLOfOldSecret(t *testing.T) {
	old, _ := newSigner(t, secret)
	name, token := parts(t, tenantA, old.URL(tenantA, "a.png", media.Options{}))
	anew := strings.Repeat("n", keys.MinSecret)
	knows, _ := newSigner(t, anew, []byte(secret))
	if _, _, err := knows.Verify(tenantA, name, token); err != nil {
		t.Error(err)
	}
	knowsNot, _ := newSigner(t, anew)
	if _, _, err := knowsNot.Verify(tenantA, name, token); !errors.Is(err, core.ErrDenied) {
		t.Errorf("control: %v", err)
	}
	_, signs := parts(t, tenantA, knows.URL(tenantA, "a.png", media.Options{}))
	if _, _, err := knowsNot.Verify(tenantA, name, signs); err != nil {
		t.Errorf("the newest key does not sign: %v", err)
	}
}

func TestResolve(t *testing.T) {
	s, _ := newSigner(t, secret)
	for _, picture := range []string{"", "https://a.test/x.png", "http://a.test/x.png", "/static/x.png", "fa://fa-cube", "data:image/png;base64,AAAA"} {
		if got := s.Resolve(tenantA, picture); got != picture {
			t.Errorf("%q became %q", picture, got)
		}
	}
	if got := s.Resolve(tenantA, "icons/x.png"); got != s.URL(tenantA, "icons/x.png", media.Options{}) {
		t.Errorf("a file is at %q", got)
	}
	if got := s.Resolve(tenantA, "icons/x-%(theme)s.png"); got != s.URL(tenantA, "icons/x-light.png", media.Options{}) {
		t.Errorf("one with variants is at %q", got)
	}
	if got, has := media.Themed("a-%(theme)s/%(theme)s.png", media.Dark); got != "a-dark/dark.png" || !has {
		t.Errorf("for dark pages it is %q, %t", got, has)
	}
	var none *media.Signer
	if got := none.Resolve(tenantA, "icons/x.png") + none.Resolve(tenantA, "/x"); got != "/x" {
		t.Errorf("without a signer: %q", got)
	}
}

type bucket struct {
	media.Store
	host string
}

func (b bucket) Presign(t core.TenantID, name string, _ media.Options, from, until time.Time) string {
	if b.host == "" {
		return ""
	}
	return b.host + "/media/" + string(t) + "/" + name + "?" + from.Format(time.RFC3339) + until.Sub(from).String()
}

func TestPresigner(t *testing.T) {
	s, c := newSigner(t, secret)
	s.Store = bucket{host: "https://s3.test"}
	want := "https://s3.test/media/t_a/a.png?"
	u := s.URL(tenantA, "a.png", media.Options{})
	if !strings.HasPrefix(u, want) || !strings.HasSuffix(u, "15m0s") {
		t.Errorf("the URL is %s", u)
	}
	c.now = c.now.Add(time.Minute)
	if again := s.URL(tenantA, "a.png", media.Options{}); again != u {
		t.Errorf("a minute later it is %s, and was %s", again, u)
	}
	s.Store = bucket{}
	parts(t, tenantA, s.URL(tenantA, "a.png", media.Options{})) // one of ours
}

// A changed byte never verifies, in whichever part.
func FuzzVerify(f *testing.F) {
	f.Add("a.png", 0, byte(1), uint8(0))
	f.Add("application-icons/a.svg", 51, byte(128), uint8(1))
	f.Add("a", 0, byte('b'^'a'), uint8(2))
	f.Fuzz(func(t *testing.T, name string, at int, flip byte, where uint8) {
		if media.CheckName(name) != nil || flip == 0 || at < 0 {
			return // it changes nothing, or is no name
		}
		s, _ := newSigner(t, secret)
		got, token := parts(t, tenantA, s.URL(tenantA, name, media.Options{}))
		if got != name {
			t.Fatalf("%q is %q in the URL", name, got)
		}
		if _, _, err := s.Verify(tenantA, name, token); err != nil {
			t.Fatal(err)
		}
		of := *tenantA
		change := func(text string) string {
			b := []byte(text)
			b[at%len(b)] ^= flip
			return string(b)
		}
		switch where % 4 {
		case 0:
			token = change(token)
		case 1:
			name = change(name)
		case 2:
			of.ID = core.TenantID(change(string(of.ID)))
		case 3:
			of.UUID = change(of.UUID)
		}
		if _, _, err := s.Verify(&of, name, token); !errors.Is(err, core.ErrDenied) {
			t.Errorf("%q %q of %+v: %v", name, token, of, err)
		}
	})
}

func BenchmarkURL(b *testing.B) {
	s, _ := newSigner(b, secret)
	for b.Loop() {
		s.URL(tenantA, "application-icons/application.png", media.Options{})
	}
}

func BenchmarkVerify(b *testing.B) {
	s, _ := newSigner(b, secret)
	name, token := parts(b, tenantA, s.URL(tenantA, "application-icons/application.png", media.Options{}))
	for b.Loop() {
		if _, _, err := s.Verify(tenantA, name, token); err != nil {
			b.Fatal(err)
		}
	}
}
