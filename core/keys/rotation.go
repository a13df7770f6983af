package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/postern-sso/postern/core"
)

// Rotation gives key pairs new keys: by and by, so that nobody notices, or at once,
// where a key has become known. All fields but Lead are required.
type Rotation struct {
	Pairs  Pairs
	Events core.Events
	Now    func() time.Time
	Log    *slog.Logger
	// Lead is how long a new key is published before it signs. Default: DefaultLead.
	Lead time.Duration
}

// Material is a key to put in the place of another. Empty: a new one of the same kind
// is made, or of the kind Alg (rsa, ecdsa, ed25519).
type Material struct {
	Certificate string
	PrivateKey  core.Secret
	Alg         string
}

// Revocation is what came of one.
type Revocation struct {
	Pair     *core.KeyPair
	Grants   int      // that ended
	Sessions int      // that ended
	Clients  []string // whose tokens it signs
	// Encrypting names the clients that must be given the new private key before they
	// can read their tokens.
	Encrypting []string
}

func (r *Rotation) lead() time.Duration {
	if r.Lead > 0 {
		return r.Lead
	}
	return DefaultLead
}

// Find returns a key pair by its name or ID, with Former.
func (r *Rotation) Find(ctx context.Context, t core.TenantID, name string) (*core.KeyPair, error) {
	all, err := r.Pairs.KeyPairs(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("list key pairs: %w", err)
	}
	for i := range all {
		if all[i].Name == name || string(all[i].ID) == name {
			return &all[i], nil
		}
	}
	return nil, core.Absent(fmt.Sprintf("there is no key pair %q: `caddy postern key list` shows those that there are", name))
}

// Rotate begins to replace a pair's key. lead, where it is not zero, goes before Lead;
// it is at least JWKSLife.
func (r *Rotation) Rotate(ctx context.Context, t core.TenantID, name string, m Material, lead time.Duration) (*core.KeyPair, error) {
	pair, err := r.Find(ctx, t, name)
	if err != nil {
		return nil, err
	}
	if lead == 0 {
		lead = r.lead()
	}
	if lead < JWKSLife || lead > MaxLead {
		return nil, &core.FieldError{Field: "lead", Message: fmt.Sprintf("A new key is published for %s to %s before it signs.", JWKSLife, MaxLead)}
	}
	return r.rotate(ctx, t, pair, m, lead, "signing key replaced")
}

func (r *Rotation) rotate(ctx context.Context, t core.TenantID, pair *core.KeyPair, m Material, lead time.Duration, message string) (*core.KeyPair, error) {
	old, err := Parse(pair)
	if err != nil {
		return nil, fmt.Errorf("key pair %q: %w", pair.Name, err)
	}
	generated := m.Certificate == "" && m.PrivateKey == ""
	if generated {
		if m, err = r.successor(ctx, t, pair, old, m.Alg); err != nil {
			return nil, err
		}
	}
	next, err := r.acceptable(ctx, t, m)
	if err != nil {
		return nil, err
	}
	if next.KID == old.KID {
		return nil, &core.FieldError{Field: "key_data", Message: "This is the key that the pair has already."}
	}
	updated, err := r.Pairs.UpdateKeyPair(ctx, t, pair.ID, func(k *core.KeyPair) error {
		if k.Certificate != pair.Certificate || k.PrivateKey != pair.PrivateKey {
			return fmt.Errorf("somebody else replaced the key of %q just now: %w", pair.Name, core.ErrStale)
		}
		err := Replace(k, m.Certificate, m.PrivateKey, r.Now(), lead)
		k.Generated = generated
		return err
	})
	if err != nil {
		return nil, err
	}
	return updated, r.record(ctx, t, core.EventSecretRotate, message+": "+pair.Name, map[string]any{
		"key_pair": string(pair.ID), "name": pair.Name, "kid": next.KID, "replaces": old.KID, "signs_from": updated.SignsFrom,
	})
}

// successor makes the next key of a pair, unless that would do harm.
func (r *Rotation) successor(ctx context.Context, t core.TenantID, pair *core.KeyPair, old *Key, alg string) (Material, error) {
	use, err := r.Pairs.KeyPairUse(ctx, t, pair.ID)
	switch {
	case err != nil:
		return Material{}, fmt.Errorf("find out who uses the key pair: %w", err)
	case r.Now().Before(pair.SignsFrom):
		return Material{}, &core.FieldError{Field: "name", Message: fmt.Sprintf(
			"A new key of %q is published already and signs from %s: wait until then.", pair.Name, pair.SignsFrom.Format(time.RFC3339)), Err: core.ErrExists}
	case old.Signer == nil:
		return Material{}, &core.FieldError{Field: "name", Message: fmt.Sprintf("%q is a certificate without a private key: nothing is signed with it.", pair.Name)}
	case !old.SelfSigned():
		return Material{}, &core.FieldError{Field: "name", Message: fmt.Sprintf(
			"The certificate of %q was issued by an authority: have it issue the next one, and say --certificate and --private-key.", pair.Name)}
	case len(use.Encrypting) > 0:
		return Material{}, &core.FieldError{Field: "name", Message: fmt.Sprintf(
			"The provider %q encrypts its tokens to %q, and its client could not read them with another key: sign with a key pair of its own, or give the client the new private key and say --certificate and --private-key.", use.Encrypting[0], pair.Name)}
	}
	next, err := Renew(pair, alg, r.Now())
	if err != nil {
		return Material{}, err
	}
	return Material{Certificate: next.Certificate, PrivateKey: next.PrivateKey}, nil
}

// acceptable checks a key that is to sign.
func (r *Rotation) acceptable(ctx context.Context, t core.TenantID, m Material) (*Key, error) {
	next, err := Parse(&core.KeyPair{Certificate: m.Certificate, PrivateKey: m.PrivateKey})
	if err != nil {
		return nil, err
	}
	if next.Signer == nil {
		return nil, &core.FieldError{Field: "key_data", Message: "The private key is missing: without it nothing can be signed."}
	}
	if err := Unrevoked(ctx, r.Pairs, t, next); err != nil {
		return nil, err
	}
	return next, nil
}

// Unrevoked refuses a key that was revoked: who got hold of it still has it.
func Unrevoked(ctx context.Context, store interface {
	RevokedKey(ctx context.Context, t core.TenantID, kid string) (time.Time, error)
}, t core.TenantID, k *Key,
) error {
	at, err := store.RevokedKey(ctx, t, k.KID)
	switch {
	case errors.Is(err, core.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look for a revoked key: %w", err)
	}
	return &core.FieldError{Field: "key_data", Message: fmt.Sprintf("This key was revoked on %s: make a new one.", at.UTC().Format("2006-01-02"))}
}

// Revoke puts another key in the place of one that has become known, at once: the old
// ones of the pair verify nothing any more, and all that was granted to its clients
// ends, and with sessions every login of the tenant.
func (r *Rotation) Revoke(ctx context.Context, t core.TenantID, name string, m Material, sessions bool) (*Revocation, error) {
	pair, err := r.Find(ctx, t, name)
	if err != nil {
		return nil, err
	}
	generated := m.Certificate == "" && m.PrivateKey == ""
	if generated {
		next, err := Renew(pair, m.Alg, r.Now())
		if err != nil {
			return nil, err
		}
		m.Certificate, m.PrivateKey = next.Certificate, next.PrivateKey
	}
	next, err := r.acceptable(ctx, t, m)
	if err != nil {
		return nil, err
	}
	kids, err := kidsOf(pair)
	if err != nil {
		return nil, err
	}
	for _, kid := range kids {
		if kid == next.KID {
			return nil, &core.FieldError{Field: "key_data", Message: "This is the key that is to be revoked: make a new one."}
		}
	}
	use, err := r.Pairs.KeyPairUse(ctx, t, pair.ID)
	if err != nil {
		return nil, fmt.Errorf("find out who uses the key pair: %w", err)
	}
	out := &Revocation{Clients: use.Signing, Encrypting: use.Encrypting}
	out.Grants, err = r.Pairs.RevokeKeyPair(ctx, t, pair.ID, kids, func(k *core.KeyPair) error {
		if k.Certificate != pair.Certificate || k.PrivateKey != pair.PrivateKey {
			return fmt.Errorf("somebody else replaced the key of %q just now: %w", pair.Name, core.ErrStale)
		}
		k.Certificate, k.PrivateKey, k.Generated = m.Certificate, m.PrivateKey, generated
		k.SignsFrom, k.Former = time.Time{}, nil
		out.Pair = k
		return nil
	})
	if err != nil {
		return nil, err
	}
	if sessions {
		if out.Sessions, err = r.Pairs.EndAllSessions(ctx, t); err != nil {
			return nil, fmt.Errorf("the key is revoked, but not every session was ended: %w", err)
		}
	}
	return out, r.record(ctx, t, core.EventSecretRotate, "signing key revoked: "+pair.Name, map[string]any{
		"key_pair": string(pair.ID), "name": pair.Name, "kid": next.KID, "revoked": kids, "grants": out.Grants, "sessions": out.Sessions,
	})
}

// kidsOf names all keys of a pair, the newest first.
func kidsOf(pair *core.KeyPair) ([]string, error) {
	all, err := live(pair, nil)
	if err != nil {
		return nil, fmt.Errorf("key pair %q: %w", pair.Name, err)
	}
	kids := make([]string, len(all))
	for i := range all {
		kids[i] = all[i].key.KID
	}
	return kids, nil
}

func (r *Rotation) record(ctx context.Context, t core.TenantID, action, message string, about map[string]any) error {
	err := r.Events.Record(ctx, t, core.Event{Time: r.Now(), Action: action, Message: message, Context: about})
	if err != nil {
		return fmt.Errorf("done, but it was not written to the audit log: %w", err)
	}
	return nil
}
