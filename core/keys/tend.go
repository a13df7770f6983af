package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-sso/postern/core"
)

// Tend does for a tenant's key pairs what time asks for: it forgets keys whose tokens
// have expired, renews the key pairs that were made here before their certificates
// expire, and warns of those that only people can renew. It is called now and then,
// on any number of nodes.
func (r *Rotation) Tend(ctx context.Context, t core.TenantID) error {
	all, err := r.Pairs.KeyPairs(ctx, t)
	if err != nil {
		return fmt.Errorf("list key pairs: %w", err)
	}
	var failed []error
	for i := range all {
		if err := r.tend(ctx, t, &all[i]); err != nil {
			failed = append(failed, fmt.Errorf("key pair %q: %w", all[i].Name, err))
		}
	}
	return errors.Join(failed...)
}

func (r *Rotation) tend(ctx context.Context, t core.TenantID, pair *core.KeyPair) error {
	if copied := *pair; Tidy(&copied, r.Now()) {
		_, err := r.Pairs.UpdateKeyPair(ctx, t, pair.ID, func(k *core.KeyPair) error {
			Tidy(k, r.Now())
			return nil
		})
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			return fmt.Errorf("forget former keys: %w", err)
		}
	}
	key, err := Parse(pair)
	if err != nil {
		return err
	}
	if !key.Due(r.Now()) {
		return nil
	}
	if renews(pair, key) {
		_, err := r.rotate(ctx, t, pair, Material{}, r.lead(), "signing key renewed before its certificate expires")
		if field := (*core.FieldError)(nil); err == nil || errors.Is(err, core.ErrStale) || errors.Is(err, core.ErrNotFound) {
			return nil // another node was quicker
		} else if !errors.As(err, &field) {
			return err
		}
		// It may not be renewed as it is used: people must know.
	}
	return r.warn(ctx, t, pair, key)
}

// renews reports whether a pair is one that is renewed without people.
func renews(pair *core.KeyPair, key *Key) bool {
	return pair.Generated && key.Signer != nil && key.SelfSigned()
}

// warn tells of a certificate that ends: the log each time, the audit log once before
// and once after. OpenID Connect looks at the key alone, so nothing stops.
func (r *Rotation) warn(ctx context.Context, t core.TenantID, pair *core.KeyPair, key *Key) error {
	use, err := r.Pairs.KeyPairUse(ctx, t, pair.ID)
	if err != nil {
		return fmt.Errorf("find out who uses it: %w", err)
	}
	if len(use.Signing)+len(use.Encrypting)+len(use.Other) == 0 {
		return nil
	}
	message, mark := "a certificate expires soon: upload the next one", key.Expires().UnixMicro()
	if !r.Now().Before(key.Expires()) {
		message, mark = "a certificate has expired: upload the next one", mark+1
	}
	r.Log.WarnContext(ctx, message, "tenant", t, "key_pair", pair.Name, "expires", key.Expires().Format(time.RFC3339),
		"signing", use.Signing, "encrypting", use.Encrypting)
	first, err := r.Pairs.WarnedOfKeyPair(ctx, t, pair.ID, mark)
	if err != nil || !first {
		return err
	}
	return r.record(ctx, t, core.EventConfigurationError, message+": "+pair.Name, map[string]any{
		"key_pair": string(pair.ID), "name": pair.Name, "expires": key.Expires(),
	})
}
