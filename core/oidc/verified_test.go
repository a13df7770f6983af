package oidc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/oidc"
)

// That a signature was good once is worth as much as the key is now, and nothing for another token or tenant.
func TestVerifiedIsRememberedByKey(t *testing.T) {
	pair, err := keys.Generate("ecdsa", "k", nil, 0, time.Now())
	check(t, err)
	key, err := keys.Parse(pair)
	check(t, err)
	again, err := keys.Parse(pair)
	check(t, err)
	for name, c := range map[string]struct {
		tenant    core.TenantID
		token     string
		published []*keys.Key
		known     bool
	}{
		"control":                {"t_a", "x.y.z", []*keys.Key{again, key}, true},
		"the key is gone":        {"t_a", "x.y.z", nil, false},
		"the key was read anew":  {"t_a", "x.y.z", []*keys.Key{again}, false},
		"another tenant's":       {"t_b", "x.y.z", []*keys.Key{key}, false},
		"other claims":           {"t_a", "x.Y.z", []*keys.Key{key}, false},
		"another signature":      {"t_a", "x.y.Z", []*keys.Key{key}, false},
		"a form of the same one": {"t_a", "x.y.z ", []*keys.Key{key}, false},
	} {
		if got := oidc.Remembers("t_a", "x.y.z", key, c.tenant, c.token, c.published...); got != c.known {
			t.Errorf("%s: %v", name, got)
		}
	}
	if oidc.Remembers("t_a", "x.y.z", nil, "t_a", "x.y.z", key) {
		t.Error("by the client's secret")
	}
}

// A token that was read a moment ago is refused with another signature, or without one.
func TestTamperedAfterItWasVerified(t *testing.T) {
	w := newWorld(t)
	token := w.tokens("openid").Access
	for range 2 {
		if status, _ := w.userinfo(token); status != 200 {
			t.Fatalf("control: %d", status)
		}
	}
	head, signature, _ := strings.Cut(token[strings.Index(token, ".")+1:], ".")
	first := token[:strings.Index(token, ".")]
	other := w.tokens("openid").Access
	for name, sent := range map[string]string{
		"no signature":          first + "." + head + ".",
		"a changed signature":   first + "." + head + "." + signature[:20] + flip(signature[20]) + signature[21:],
		"another's signature":   first + "." + head + other[strings.LastIndex(other, "."):],
		"another token's claim": first + "." + strings.Split(other, ".")[1] + "." + signature,
	} {
		if status, _ := w.userinfo(sent); status != 401 {
			t.Errorf("%s: %d", name, status)
		}
	}
}

func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}
