package keys_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

func generate(t *testing.T, alg string, validity time.Duration) *core.KeyPair {
	t.Helper()
	k, err := keys.Generate(alg, "pair", nil, validity, clock())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func replace(t *testing.T, k, next *core.KeyPair, now time.Time) {
	t.Helper()
	if err := keys.Replace(k, next.Certificate, next.PrivateKey, now, time.Hour); err != nil {
		t.Fatal(err)
	}
}

func kidOf(t *testing.T, k *core.KeyPair) string {
	t.Helper()
	parsed, err := keys.Parse(k)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.KID
}

// one is a store of one key pair.
type one struct{ pair *core.KeyPair }

func (o one) KeyPair(context.Context, core.TenantID, core.KeyPairID) (*core.KeyPair, error) {
	return o.pair, nil
}

func (o one) FormerKeys(context.Context, core.TenantID, core.ProviderID) ([]core.FormerKey, error) {
	return nil, nil
}

// at says which of the named keys signs at a time, and how many are published.
func at(t *testing.T, k *core.KeyPair, now time.Time, names map[string]string) (signs string, published int) {
	t.Helper()
	s, err := (&keys.Ring{Store: one{k}, Now: func() time.Time { return now }}).Set(t.Context(), "t", "id")
	if err != nil {
		t.Fatal(err)
	}
	if s.ByID(s.Signer.KID) == nil || s.Published[0] != s.Signer {
		t.Error("the signer is not published first")
	}
	return names[s.Signer.KID], len(s.Published)
}

// A rotation, minute by minute; then one that is changed before it took place, and one
// that is taken back.
func TestReplace(t *testing.T) {
	start := clock()
	a, b, c := generate(t, "ecdsa", 0), generate(t, "ecdsa", 0), generate(t, "rsa", 0)
	names := map[string]string{kidOf(t, a): "a", kidOf(t, b): "b", kidOf(t, c): "c"}
	begin := func() *core.KeyPair {
		k := *a
		k.TokenLife = 10 * time.Minute
		replace(t, &k, b, start)
		return &k
	}
	type row struct {
		minute    int
		signs     string
		published int
	}
	check := func(name string, k *core.KeyPair, rows ...row) {
		t.Helper()
		for _, r := range rows {
			signs, published := at(t, k, start.Add(time.Duration(r.minute)*time.Minute), names)
			if signs != r.signs || published != r.published {
				t.Errorf("%s, minute %d: %s signs, %d published; want %s, %d", name, r.minute, signs, published, r.signs, r.published)
			}
		}
	}
	check("rotation", begin(), row{0, "a", 2}, row{61, "a", 2}, row{62, "b", 2}, row{73, "b", 2}, row{74, "b", 1})

	changed := begin()
	replace(t, changed, c, start.Add(30*time.Minute)) // b never signed
	check("changed before it took place", changed, row{31, "a", 2}, row{91, "a", 2}, row{92, "c", 2}, row{104, "c", 1})

	back := begin()
	replace(t, back, a, start.Add(30*time.Minute))
	check("taken back", back, row{30, "a", 1}, row{90, "a", 1})
	if kidOf(t, back) != kidOf(t, a) || len(back.Former) != 0 {
		t.Errorf("taken back: %d former keys", len(back.Former))
	}

	late := begin()
	replace(t, late, a, start.Add(70*time.Minute)) // b signs, and a is still published
	check("taken back late", late, row{70, "a", 2}, row{81, "a", 2}, row{82, "a", 1})

	// Control: without a time to wait, the new key signs at once.
	hasty := begin()
	hasty.SignsFrom = time.Time{}
	check("control", hasty, row{0, "b", 2})
}

func TestReplaceKeepsWhatIsTheSame(t *testing.T) {
	k := generate(t, "ecdsa", 0)
	before := *k
	replace(t, k, &before, clock())
	if len(k.Former) != 0 || !k.SignsFrom.IsZero() || k.Generated {
		t.Errorf("the same key again: %d former, from %s", len(k.Former), k.SignsFrom)
	}
	public := &core.KeyPair{Certificate: k.Certificate}
	next := generate(t, "ecdsa", 0)
	replace(t, public, next, clock())
	if len(public.Former) != 0 || !public.SignsFrom.IsZero() {
		t.Error("what could not sign was kept as a former key")
	}
	for _, bad := range []string{"", "hello"} {
		var field *core.FieldError
		if err := keys.Replace(k, bad, core.Secret(bad), clock(), 0); !errors.As(err, &field) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// The JWKS does not grow without end.
func TestReplaceIsBounded(t *testing.T) {
	k, now := generate(t, "ecdsa", 0), clock()
	k.TokenLife = 365 * 24 * time.Hour
	for i := range keys.MaxFormer + 1 {
		next := generate(t, "ecdsa", 0)
		err := keys.Replace(k, next.Certificate, next.PrivateKey, now, time.Hour)
		if refused := err != nil; refused != (i == keys.MaxFormer) {
			t.Fatalf("replacement %d: %v", i, err)
		}
		now = now.Add(2 * time.Hour)
	}
	// Private keys are forgotten once they sign no more.
	for i, f := range k.Former[1:] {
		if f.PrivateKey != "" {
			t.Errorf("former key %d keeps its private key", i+1)
		}
	}
}

// pairs is a store of key pairs for Tend.
type pairs struct {
	one
	use    keys.Use
	warned int64
	events []core.Event
}

func (p *pairs) KeyPairs(context.Context, core.TenantID) ([]core.KeyPair, error) {
	return []core.KeyPair{*p.pair}, nil
}

func (p *pairs) KeyPairUse(context.Context, core.TenantID, core.KeyPairID) (keys.Use, error) {
	return p.use, nil
}

func (p *pairs) UpdateKeyPair(_ context.Context, _ core.TenantID, _ core.KeyPairID, change func(*core.KeyPair) error) (*core.KeyPair, error) {
	k := *p.pair
	if err := change(&k); err != nil {
		return nil, err
	}
	p.pair = &k
	return &k, nil
}

func (p *pairs) RevokeKeyPair(context.Context, core.TenantID, core.KeyPairID, []string, func(*core.KeyPair) error) (int, error) {
	return 0, errors.New("not called")
}

func (p *pairs) RevokedKey(context.Context, core.TenantID, string) (time.Time, error) {
	return time.Time{}, core.ErrNotFound
}

func (p *pairs) WarnedOfKeyPair(_ context.Context, _ core.TenantID, _ core.KeyPairID, mark int64) (bool, error) {
	first := p.warned != mark
	p.warned = mark
	return first, nil
}

func (p *pairs) EndAllSessions(context.Context, core.TenantID) (int, error) { return 0, nil }

func (p *pairs) Record(_ context.Context, _ core.TenantID, e core.Event) error {
	p.events = append(p.events, e)
	return nil
}

// A year goes by, with a look each day: what was made here is renewed before its
// certificate expires, what was not is warned of once before and once after.
func TestTend(t *testing.T) {
	for name, row := range map[string]struct {
		change  func(*core.KeyPair, *keys.Use)
		renewed bool
		events  string
	}{
		"made here":          {func(*core.KeyPair, *keys.Use) {}, true, "signing key renewed before its certificate expires: pair"},
		"uploaded":           {func(k *core.KeyPair, _ *keys.Use) { k.Generated = false }, false, "a certificate expires soon: upload the next one: pair|a certificate has expired: upload the next one: pair"},
		"tokens are for it":  {func(_ *core.KeyPair, u *keys.Use) { u.Encrypting = []string{"app"} }, false, "a certificate expires soon: upload the next one: pair|a certificate has expired: upload the next one: pair"},
		"uploaded, not used": {func(k *core.KeyPair, u *keys.Use) { k.Generated, u.Signing = false, nil }, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pairs{one: one{generate(t, "ecdsa", 0)}, use: keys.Use{Signing: []string{"app"}}}
			row.change(p.pair, &p.use)
			first := p.pair.Certificate
			now := clock()
			r := &keys.Rotation{Pairs: p, Events: p, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
			renewedOn := 0
			for day := range 400 {
				if err := r.Tend(t.Context(), "t"); err != nil {
					t.Fatal(err)
				}
				if p.pair.Certificate != first && renewedOn == 0 {
					renewedOn = day
				}
				now = now.Add(24 * time.Hour)
			}
			if (renewedOn == 335) != row.renewed || (renewedOn == 0) == row.renewed {
				t.Errorf("renewed on day %d", renewedOn)
			}
			var messages []string
			for _, e := range p.events {
				messages = append(messages, e.Message)
			}
			if got := strings.Join(messages, "|"); got != row.events {
				t.Errorf("events: %s", got)
			}
			if row.renewed && (!p.pair.Generated || len(p.pair.Former) != 0) {
				t.Errorf("generated: %t, former: %d", p.pair.Generated, len(p.pair.Former))
			}
		})
	}
}

// An old secret opens what it sealed, and seals nothing.
func TestOldSecrets(t *testing.T) {
	secret := func(fill string) []byte { return []byte(strings.Repeat(fill, keys.MinSecret)) }
	of := func(now string, old ...string) *keys.Master {
		t.Helper()
		var before [][]byte
		for _, o := range old {
			before = append(before, secret(o))
		}
		m, err := keys.NewMaster(secret(now), before...)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	sealed := of("a").Seal("t", "p", "x", []byte("hello"))
	both := of("b", "a")
	if got, err := both.Open("t", "p", "x", sealed); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	anew, changed, err := both.Reseal("t", "p", "x", sealed)
	if err != nil || !changed {
		t.Fatalf("sealed anew: %t, %v", changed, err)
	}
	if _, again, err := both.Reseal("t", "p", "x", anew); again || err != nil {
		t.Errorf("a second time: %t, %v", again, err)
	}
	if got, err := of("b").Open("t", "p", "x", anew); err != nil || string(got) != "hello" {
		t.Errorf("the new one alone: %q, %v", got, err)
	}
	for name, m := range map[string]*keys.Master{"the old one": of("a"), "another": of("c", "d")} {
		if _, err := m.Open("t", "p", "x", anew); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("%s opens it: %v", name, err)
		}
	}
	if _, _, err := both.Reseal("t", "p", "y", sealed); !errors.Is(err, keys.ErrSealed) {
		t.Errorf("for another place: %v", err)
	}
	if of("a", "a").HasOld() {
		t.Error("a secret is its own old one")
	}
	if _, err := keys.NewMaster(secret("a"), []byte("short")); err == nil {
		t.Error("a short old secret is taken")
	}
}
