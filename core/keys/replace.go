package keys

import (
	"fmt"
	"slices"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// JWKSLife is how long a relying party may keep the JWKS that it was sent.
	JWKSLife = 5 * time.Minute
	// DefaultLead is how long a new key is published before it signs: many relying
	// parties keep a JWKS for an hour, whatever they were told.
	DefaultLead = time.Hour
	// MaxLead bounds it.
	MaxLead = 30 * 24 * time.Hour

	// Margin covers how far nodes' clocks are apart, and for how long one may not have
	// read what another wrote.
	Margin = 2 * time.Minute
	// MaxFormer bounds the JWKS.
	MaxFormer = 16
)

// Replace gives a key pair another key, which was not generated here unless the caller
// says so. The new key is
// published now and signs after lead, which is at least JWKSLife; the old one signs
// until then and verifies until the last token that it can have signed has expired
// (TokenLife). What has never signed is forgotten. The same key again, under another
// certificate, replaces nothing. Errors are *core.FieldError with the API's names.
func Replace(k *core.KeyPair, certificate string, private core.Secret, now time.Time, lead time.Duration) error {
	next, err := Parse(&core.KeyPair{Certificate: certificate, PrivateKey: private})
	if err != nil {
		return err
	}
	now = now.UTC()
	from := now.Add(max(lead, JWKSLife) + Margin)
	old, err := Parse(k)
	switch {
	case err != nil:
		// What cannot be read has signed nothing.
		from = time.Time{}
	case old.KID == next.KID:
		k.Certificate, k.PrivateKey, k.Generated = certificate, private, false
		return nil
	case old.Signer == nil && len(k.Former) == 0:
		from = time.Time{}
	}
	Tidy(k, now)
	former := slices.Clone(k.Former)
	if err == nil && !now.Before(k.SignsFrom.Add(-Margin)) && old.Signer != nil {
		former = slices.Insert(former, 0, core.FormerKey{Certificate: k.Certificate, PrivateKey: k.PrivateKey})
	}
	// The one that signs now does so until the new one begins.
	if at := slices.IndexFunc(former, func(f core.FormerKey) bool { return same(f, next) }); at >= 0 {
		// It is published: whoever knows a key of this pair knows it.
		if at == 0 {
			from = time.Time{}
		} else {
			from = now
		}
		former = slices.Delete(former, at, at+1)
	}
	if len(former) > 0 && (former[0].SignsUntil.IsZero() || now.Before(former[0].SignsUntil)) {
		f := &former[0]
		f.SignsUntil = from
		if from.IsZero() {
			f.SignsUntil = now
		}
		f.VerifiesUntil = f.SignsUntil.Add(k.TokenLife + Margin)
	}
	if len(former) > MaxFormer {
		last := former[len(former)-1].VerifiesUntil
		return &core.FieldError{Field: "key_data", Message: fmt.Sprintf(
			"%d older keys of this pair are still published, for the tokens that they signed: wait until %s, or revoke the pair, which ends those tokens.",
			MaxFormer, last.Format(time.RFC3339))}
	}
	k.Certificate, k.PrivateKey, k.SignsFrom, k.Former, k.Generated = certificate, private, from, former, false
	return nil
}

func same(f core.FormerKey, next *Key) bool {
	k, err := Parse(&core.KeyPair{Certificate: f.Certificate, PrivateKey: f.PrivateKey})
	return err == nil && k.KID == next.KID
}

// Tidy forgets former keys whose last token has expired, and the private keys of
// those that sign no more. It reports whether there was anything to forget.
func Tidy(k *core.KeyPair, now time.Time) bool {
	former := slices.DeleteFunc(slices.Clone(k.Former), func(f core.FormerKey) bool { return !now.Before(f.VerifiesUntil) })
	changed := len(former) < len(k.Former)
	for i := range former {
		f := &former[i]
		if f.PrivateKey != "" && f.Certificate != "" && now.After(f.SignsUntil.Add(Margin)) {
			f.PrivateKey, changed = "", true
		}
	}
	k.Former = former
	return changed
}
