package keys_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

func master(t *testing.T, fill byte) *keys.Master {
	t.Helper()
	m, err := keys.NewMaster(bytes.Repeat([]byte{fill}, keys.MinSecret))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// X-12, M-05: what was sealed opens only as what it was sealed as.
func TestSealedOpensOnlyInItsPlace(t *testing.T) {
	m := master(t, 1)
	sealed := m.Seal("t_a", "client", "client/secret/1", []byte("hunter2"))
	if got, err := m.Open("t_a", "client", "client/secret/1", sealed); err != nil || string(got) != "hunter2" {
		t.Fatalf("opened as %q, %v", got, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"other tenant":  func() ([]byte, error) { return m.Open("t_b", "client", "client/secret/1", sealed) },
		"other purpose": func() ([]byte, error) { return m.Open("t_a", "cookie", "client/secret/1", sealed) },
		"other row":     func() ([]byte, error) { return m.Open("t_a", "client", "client/secret/2", sealed) },
		"other secret":  func() ([]byte, error) { return master(t, 2).Open("t_a", "client", "client/secret/1", sealed) },
		"empty":         func() ([]byte, error) { return m.Open("t_a", "client", "client/secret/1", nil) },
		"truncated":     func() ([]byte, error) { return m.Open("t_a", "client", "client/secret/1", sealed[:15]) },
	} {
		if got, err := open(); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("%s: opened as %q, %v", name, got, err)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := m.Open("t_a", "client", "client/secret/1", changed); err == nil {
			t.Errorf("byte %d may be changed", i)
		}
	}
}

func TestSealNeverRepeats(t *testing.T) {
	m := master(t, 1)
	if bytes.Equal(m.Seal("t_a", "p", "x", []byte("a")), m.Seal("t_a", "p", "x", []byte("a"))) {
		t.Error("two seals of the same text are equal")
	}
	seen := map[[32]byte]string{}
	for _, tenant := range []core.TenantID{"", "public", "t_a"} {
		for _, purpose := range []string{"", "a", "b", "seal/a"} {
			key := m.Derive(tenant, purpose)
			if other, ok := seen[key]; ok {
				t.Errorf("%s/%s has the key of %s", tenant, purpose, other)
			}
			seen[key] = string(tenant) + "/" + purpose
		}
	}
}

func TestShortSecretRefused(t *testing.T) {
	if _, err := keys.NewMaster(make([]byte, keys.MinSecret-1)); err == nil {
		t.Error("31 bytes are taken")
	}
	if master(t, 1).Fingerprint() == master(t, 2).Fingerprint() {
		t.Error("two secrets have one fingerprint")
	}
}
