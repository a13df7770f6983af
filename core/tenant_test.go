package core_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

func TestNormalizeHost(t *testing.T) {
	for _, c := range []struct{ in, name, port string }{
		{"auth.example.com", "auth.example.com", ""},
		{"AUTH.Example.COM:8443", "auth.example.com", "8443"},
		{"auth.example.com.", "auth.example.com", ""},
		{"auth.example.com.:80", "auth.example.com", "80"},
		{"127.0.0.1:9080", "127.0.0.1", "9080"},
		{"[::1]:9080", "::1", "9080"},
		{"[2001:DB8::1]", "2001:db8::1", ""},
		{"a_b.example", "a_b.example", ""},
	} {
		name, port, err := core.NormalizeHost(c.in)
		if err != nil || name != c.name || port != c.port {
			t.Errorf("NormalizeHost(%q) = %q, %q, %v; want %q, %q", c.in, name, port, err, c.name, c.port)
		}
	}
}

// F-15, X-10: what is no host name never becomes part of an issuer or a link.
func TestNormalizeHostRefuses(t *testing.T) {
	for _, in := range []string{
		"", ".", ":80", "a..b", "evil.test/x", "evil.test\\x", "a@evil.test", "a b", "a\r\nb", "a\x00b",
		"a:0", "a:65536", "a:", "a:b", "a:80:90", "::1", "[::1", "[::1]x", "[fe80::1%25eth0]", "[1.2.3.4]",
		"ёлка.example", strings.Repeat("a", 64) + ".test", strings.Repeat("a.", 150) + "a", "a#b", "a?b", "%61.test",
	} {
		if name, port, err := core.NormalizeHost(in); err == nil {
			t.Errorf("NormalizeHost(%q) = %q, %q; want a refusal", in, name, port)
		}
	}
}

// Whatever is accepted is stable, and a URL made of it has that host and nothing
// else.
func FuzzNormalizeHost(f *testing.F) {
	for _, s := range []string{"a.test", "A.test.:443", "[::1]:1", "a@b", "a/b", "%2e", "xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		name, port, err := core.NormalizeHost(in)
		if err != nil {
			return
		}
		joined := core.JoinHost(name, port)
		again, againPort, err := core.NormalizeHost(joined)
		if err != nil || again != name || againPort != port {
			t.Fatalf("%q became %q, and that %q %q %v", in, joined, again, againPort, err)
		}
		u, err := url.Parse("https://" + joined + "/path")
		if err != nil || u.Host != joined || u.User != nil || u.Path != "/path" {
			t.Fatalf("%q makes the URL %v (%v)", in, u, err)
		}
	})
}
