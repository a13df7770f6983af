package storagetest

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/oidc"
)

func rotationTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"keys/former round trip":      formerRoundTrip,
		"keys/token life":             tokenLife,
		"keys/a provider leaves":      providerLeaves,
		"keys/revoked":                revokedKeys,
		"keys/revoked half":           revokedHalf,
		"keys/warned once":            warnedOnce,
		"keys/use":                    keyPairUse,
		"keys/two rotate at one time": rotateContention,
		"sessions/end all":            endAllSessions,
	}
}

func formerRoundTrip(b *bench) {
	k := keyPair(b, "k")
	now := b.clock.Now()
	changed, err := b.UpdateKeyPair(b.ctx, b.t, k.ID, func(v *core.KeyPair) error {
		v.Former = []core.FormerKey{
			{Certificate: v.Certificate, PrivateKey: v.PrivateKey, SignsUntil: now.Add(time.Hour), VerifiesUntil: now.Add(2 * time.Hour)},
			{Certificate: "older", SignsUntil: now.Add(-time.Hour), VerifiesUntil: now.Add(time.Minute)},
		}
		v.Certificate, v.PrivateKey, v.SignsFrom, v.Generated = "new cert", "new key", now.Add(time.Hour), true
		return nil
	})
	b.ok(err)
	got, err := b.KeyPair(b.ctx, b.t, k.ID)
	b.ok(err)
	if !reflect.DeepEqual(got, changed) || len(got.Former) != 2 || got.Former[0].ID == "" || !got.SignsFrom.Equal(now.Add(time.Hour)) {
		b.Errorf("got %#v\nwant %#v", got, changed)
	}
	all, err := b.KeyPairs(b.ctx, b.t)
	b.ok(err)
	if len(all) != 1 || !reflect.DeepEqual(all[0], *changed) {
		b.Errorf("got %#v\nwant %#v", all, changed)
	}
	ids := []string{got.Former[0].ID, got.Former[1].ID}
	again, err := b.UpdateKeyPair(b.ctx, b.t, k.ID, func(v *core.KeyPair) error { v.Name = "k2"; return nil })
	b.ok(err)
	equal(b, "the IDs stay", fmt.Sprint(again.Former[0].ID, again.Former[1].ID), fmt.Sprint(ids[0], ids[1]))
	b.ok(b.DeleteKeyPair(b.ctx, b.t, k.ID))
}

// tokenLife: the longest validity that any provider of the pair ever had, and never less.
func tokenLife(b *bench) {
	k := keyPair(b, "k")
	life := func() time.Duration {
		got, err := b.KeyPair(b.ctx, b.t, k.ID)
		b.ok(err)
		return got.TokenLife
	}
	equal(b, "unused", life(), 0)
	c := b.client("c") // ten minutes
	set := func(validity core.Timedelta) {
		b.ok(second(b.UpdateClient(b.ctx, b.t, c.ID, func(v *core.Client) error { v.SigningKey, v.AccessValidity = k.ID, validity; return nil })))
	}
	set("minutes=10")
	equal(b, "as used", life(), 10*time.Minute)
	set("days=2")
	set("minutes=1")
	equal(b, "after it was shortened", life(), 48*time.Hour)
	set("")
	equal(b, "the default is shorter", life(), 48*time.Hour)

	// While a rotation runs, the former key is kept for as long as what it signs now.
	now := b.clock.Now()
	b.ok(second(b.UpdateKeyPair(b.ctx, b.t, k.ID, func(v *core.KeyPair) error {
		v.Former = []core.FormerKey{
			{Certificate: "signs", SignsUntil: now.Add(time.Hour), VerifiesUntil: now.Add(49 * time.Hour)},
			{Certificate: "signs no more", SignsUntil: now.Add(-time.Hour), VerifiesUntil: now.Add(47 * time.Hour)},
		}
		return nil
	})))
	seq, err := b.LastChange(b.ctx, b.t)
	b.ok(err)
	set("days=9")
	got, err := b.KeyPair(b.ctx, b.t, k.ID)
	b.ok(err)
	equal(b, "the one that signs", got.Former[0].VerifiesUntil.Sub(got.Former[0].SignsUntil), 9*24*time.Hour+keys.Margin)
	equal(b, "the other", got.Former[1].VerifiesUntil.Sub(now), 47*time.Hour)
	changes, err := b.Changes(b.ctx, b.t, seq, 100)
	b.ok(err)
	told := false
	for _, c := range changes {
		told = told || c.Kind == "keypair" && c.ID == string(k.ID)
	}
	equal(b, "other nodes are told", told, true)
}

func providerLeaves(b *bench) {
	first, next := keyPair(b, "first"), keyPair(b, "next")
	c := b.client("c")
	use := func(id core.KeyPairID) {
		b.ok(second(b.UpdateClient(b.ctx, b.t, c.ID, func(v *core.Client) error { v.SigningKey = id; return nil })))
	}
	use(first.ID)
	none, err := b.FormerKeys(b.ctx, b.t, c.ID)
	b.ok(err)
	equal(b, "from the secret to a key", len(none), 0)
	use(next.ID)
	b.ok(b.DeleteKeyPair(b.ctx, b.t, first.ID)) // it may go; what it signed stays good
	got, err := b.FormerKeys(b.ctx, b.t, c.ID)
	b.ok(err)
	if len(got) != 1 || got[0].Certificate != first.Certificate || got[0].PrivateKey != "" ||
		got[0].VerifiesUntil.Sub(b.clock.Now()) != 10*time.Minute+keys.Margin {
		b.Errorf("kept %+v", got)
	}
	for range 2 * keys.MaxFormer {
		k := keyPair(b, "k"+core.RandomAlphanumeric(8))
		use(k.ID)
	}
	got, err = b.FormerKeys(b.ctx, b.t, c.ID)
	b.ok(err)
	equal(b, "kept at most", len(got), keys.MaxFormer)
	b.clock.Add(time.Hour)
	use(next.ID)
	got, err = b.FormerKeys(b.ctx, b.t, c.ID)
	b.ok(err)
	equal(b, "what is over goes", len(got), 1)
	b.ok(b.DeleteProvider(b.ctx, b.t, c.ID))
}

func revokedKeys(b *bench) {
	u := b.user("u")
	bad, good := keyPair(b, "bad"), keyPair(b, "good")
	clients := map[string]*core.Client{}
	grants := map[string]*oidc.Grant{}
	for _, name := range []string{"signs", "left", "other"} {
		c := b.client(name)
		for _, id := range map[string][]core.KeyPairID{"signs": {bad.ID}, "left": {bad.ID, good.ID}, "other": {good.ID}}[name] {
			b.ok(second(b.UpdateClient(b.ctx, b.t, c.ID, func(v *core.Client) error { v.SigningKey = id; return nil })))
		}
		clients[name], grants[name] = c, b.grant(u.ID, c)
	}
	n, err := b.RevokeKeyPair(b.ctx, b.t, bad.ID, []string{"kid1", "kid2"}, func(k *core.KeyPair) error {
		k.Certificate, k.PrivateKey = "new", "new"
		return nil
	})
	b.ok(err)
	equal(b, "grants ended", n, 2)
	for name, g := range grants {
		_, err := b.Grant(b.ctx, b.t, g.ID)
		if lives := err == nil; lives != (name == "other") {
			b.Errorf("grant of %s: %v", name, err)
		}
	}
	former, err := b.FormerKeys(b.ctx, b.t, clients["left"].ID)
	b.ok(err)
	equal(b, "former keys of who left", len(former), 0)
	got, err := b.KeyPair(b.ctx, b.t, bad.ID)
	b.ok(err)
	equal(b, "certificate", got.Certificate, "new")
	at, err := b.RevokedKey(b.ctx, b.t, "kid2")
	b.ok(err)
	equal(b, "since", at, b.clock.Now())
	b.is(second(b.RevokedKey(b.ctx, b.t, "kid3")), core.ErrNotFound)
}

// revokedHalf: where the change is refused, nothing of it has happened.
func revokedHalf(b *bench) {
	u := b.user("u")
	k, c := keyPair(b, "k"), b.client("c")
	b.ok(second(b.UpdateClient(b.ctx, b.t, c.ID, func(v *core.Client) error { v.SigningKey = k.ID; return nil })))
	g := b.grant(u.ID, c)
	sorry := errors.New("sorry")
	b.is(second(b.RevokeKeyPair(b.ctx, b.t, k.ID, []string{"kid"}, func(v *core.KeyPair) error { v.Name = "x"; return sorry })), sorry)
	b.ok(second(b.Grant(b.ctx, b.t, g.ID)))
	b.is(second(b.RevokedKey(b.ctx, b.t, "kid")), core.ErrNotFound)
	b.is(second(b.RevokeKeyPair(b.ctx, b.t, "none", []string{"kid"}, func(*core.KeyPair) error { return nil })), core.ErrNotFound)
}

func warnedOnce(b *bench) {
	k := keyPair(b, "k")
	for i, want := range []bool{true, false, false} {
		got, err := b.WarnedOfKeyPair(b.ctx, b.t, k.ID, 7)
		b.ok(err)
		equal(b, fmt.Sprint("word ", i), got, want)
	}
	got, err := b.WarnedOfKeyPair(b.ctx, b.t, k.ID, 8)
	b.ok(err)
	equal(b, "another end", got, true)
}

func keyPairUse(b *bench) {
	k := keyPair(b, "k")
	c, d := b.client("c"), b.client("d")
	b.ok(second(b.UpdateClient(b.ctx, b.t, c.ID, func(v *core.Client) error { v.SigningKey, v.EncryptionKey = k.ID, k.ID; return nil })))
	b.ok(second(b.UpdateClient(b.ctx, b.t, d.ID, func(v *core.Client) error { v.SigningKey = k.ID; return nil })))
	b.ok(b.CreateProxyProvider(b.ctx, b.t, &core.ProxyProvider{ProviderBase: core.ProviderBase{Name: "p"}, Certificate: k.ID}))
	use, err := b.KeyPairUse(b.ctx, b.t, k.ID)
	b.ok(err)
	equal(b, "use", fmt.Sprint(use), "{[provider c provider d] [provider c] [p]}")
}

// rotateContention: of those who replace the same key at one time, one does.
func rotateContention(b *bench) {
	k := keyPair(b, "k")
	results := make(chan error, 10)
	for i := range cap(results) {
		go func() {
			_, err := b.UpdateKeyPair(b.ctx, b.t, k.ID, func(v *core.KeyPair) error {
				if v.Certificate != k.Certificate {
					return core.ErrStale
				}
				v.Former = []core.FormerKey{{Certificate: v.Certificate, VerifiesUntil: b.clock.Now().Add(time.Hour)}}
				v.Certificate = fmt.Sprint("new ", i)
				return nil
			})
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		if err := <-results; err == nil {
			won++
		} else {
			b.is(err, core.ErrStale)
		}
	}
	equal(b, "winners", won, 1)
	got, err := b.KeyPair(b.ctx, b.t, k.ID)
	b.ok(err)
	equal(b, "former keys", len(got.Former), 1)
}

func endAllSessions(b *bench) {
	u, v := b.user("u"), b.user("v")
	b.session(u.ID, "s1", "")
	b.session(u.ID, "s2", "s1")
	b.session(v.ID, "s3", "")
	seq, err := b.LastChange(b.ctx, b.t)
	b.ok(err)
	n, err := b.EndAllSessions(b.ctx, b.t)
	b.ok(err)
	equal(b, "ended", n, 3)
	for _, id := range []core.SessionID{"s1", "s2", "s3"} {
		b.is(second(b.SessionByID(b.ctx, b.t, id)), core.ErrNotFound)
	}
	changes, err := b.Changes(b.ctx, b.t, seq, 100)
	b.ok(err)
	equal(b, "told", len(changes), 3)
	n, err = b.EndAllSessions(b.ctx, b.t)
	b.ok(err)
	equal(b, "ended again", n, 0)
}
