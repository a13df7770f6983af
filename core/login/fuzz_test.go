package login_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
)

// FuzzNext reads what localPath accepts as a browser does (URL Standard §4.4:
// tabs and newlines go, a backslash is a slash): it must stay on this host.
func FuzzNext(f *testing.F) {
	for _, seed := range []string{"/if/user/", "//evil.test", `/\evil.test`, "/\t/evil.test", "/%2f%2fevil.test", "/a?b=//c#d", "/..//x", "https:evil.test"} {
		f.Add(seed)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(core.WithRequest(context.Background(), &core.RequestInfo{Tenant: &core.Tenant{ID: tenantA}, Scheme: "https", Host: "a.test"}))
	f.Fuzz(func(t *testing.T, next string) {
		to, ok := login.LocalPath(r, next)
		if !ok {
			return
		}
		browser := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(to)
		u, err := url.Parse(browser)
		if err != nil || browser != to || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || u.Host != "" || u.Scheme != "" {
			t.Errorf("%q became %q", next, to)
		}
		if strings.ContainsFunc(to, func(c rune) bool { return c < 0x21 || c > 0x7e }) {
			t.Errorf("%q became %q, which no header may hold", next, to)
		}
		if again, ok := login.LocalPath(r, to); !ok || again != to {
			t.Errorf("%q became %q, and that %q", next, to, again)
		}
	})
}

// FuzzVerify: no text in place of a hash lets a password in, stalls or panics.
func FuzzVerify(f *testing.F) {
	h := cheap()
	hash, err := h.Hash(context.Background(), tenantA, "correct horse")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(hash)
	f.Add("")
	f.Add("$argon2id$v=19$m=16,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "m=") && len(text) > 40 && !strings.Contains(text, "m=16,t=1") {
			return // allowed, and as slow as it says
		}
		if ok, _, _ := h.Verify(context.Background(), tenantA, text, "another password"); ok {
			t.Errorf("%q let it in", text)
		}
	})
}
