package sqldb

import (
	"context"
	"strconv"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

func formerPlace(id string) string { return "former_keys/private_key/" + id }

// formerKeys are those that a condition finds, newest first.
func (c *conn) formerKeys(ctx context.Context, where string, arg any) (out []core.FormerKey, err error) {
	err = c.each(ctx, func(s scanner) error {
		var f core.FormerKey
		var sealed []byte
		var signs, verifies int64
		if err := s.Scan(&f.ID, &f.Certificate, &sealed, &signs, &verifies); err != nil {
			return err
		}
		f.SignsUntil, f.VerifiesUntil = fromMicros(signs), fromMicros(verifies)
		if sealed != nil {
			if f.PrivateKey, err = c.unseal(keyPurpose, formerPlace(f.ID), sealed); err != nil {
				return err
			}
		}
		out = append(out, f)
		return nil
	}, `SELECT id, certificate, private_key, signs_until, verifies_until FROM former_keys WHERE `+where+`
		ORDER BY signs_until DESC, id DESC`, arg)
	return out, err
}

// FormerKeys are those that a provider signed with before it was given another key
// pair, without their private keys, newest first.
func (db *DB) FormerKeys(ctx context.Context, t core.TenantID, id core.ProviderID) (out []core.FormerKey, err error) {
	err = db.read(ctx, t, directory, "read former keys", func(q *conn) error {
		out, err = q.formerKeys(ctx, `provider_id = $1`, id)
		return err
	})
	return out, err
}

// saveFormerKeys makes a pair's list what it is in k, and sets new IDs.
func (x *tx) saveFormerKeys(ctx context.Context, k *core.KeyPair) error {
	if err := x.exec(ctx, `DELETE FROM former_keys WHERE key_pair_id = $1`, k.ID); err != nil {
		return err
	}
	for i := range k.Former {
		f := &k.Former[i]
		if f.ID == "" {
			f.ID = x.db.newID()
		}
		if err := x.insertFormerKey(ctx, f, k.ID, 0); err != nil {
			return err
		}
	}
	return nil
}

// insertFormerKey saves a former key of a pair or, where provider is not zero, of a
// provider that has left the pair.
func (x *tx) insertFormerKey(ctx context.Context, f *core.FormerKey, pair core.KeyPairID, provider core.ProviderID) error {
	var sealed []byte
	if f.PrivateKey != "" {
		sealed = x.seal(keyPurpose, formerPlace(f.ID), f.PrivateKey)
	}
	left := core.KeyPairID("")
	if provider != 0 { // the pair may be deleted, and this must stay
		pair, left = "", pair
	}
	return x.exec(ctx, `INSERT INTO former_keys (id, key_pair_id, provider_id, left_pair, certificate, private_key, signs_until, verifies_until)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		f.ID, orNull(pair), orNull(provider), orNull(left), f.Certificate, sealed, micros(f.SignsUntil), micros(f.VerifiesUntil))
}

// defaultTokenLife is that of a client that leaves it empty.
const defaultTokenLife = time.Hour

func clientTokenLife(validity core.Timedelta) time.Duration {
	if d := validity.Or(defaultTokenLife); d > 0 {
		return d
	}
	return defaultTokenLife
}

// tokenLife is the longest validity of a token that a key pair may have signed: that
// of any provider that used it, then or now.
func (x *tx) tokenLife(ctx context.Context, k *core.KeyPair) (time.Duration, error) {
	life := k.TokenLife
	err := x.each(ctx, func(s scanner) error {
		var validity core.Timedelta
		err := s.Scan(&validity)
		life = max(life, clientTokenLife(validity))
		return err
	}, `SELECT access_validity FROM oauth2_clients WHERE signing_key = $1`, k.ID)
	return life, err
}

// outlive makes a client's signing key be published for as long as a token of the
// client's is valid, also where it is about to be replaced.
func (x *tx) outlive(ctx context.Context, v *core.Client) error {
	if v.SigningKey == "" {
		return nil
	}
	life := clientTokenLife(v.AccessValidity)
	if err := x.exec(ctx, `UPDATE key_pairs SET token_life = $2 WHERE id = $1 AND token_life < $2`, v.SigningKey, life.Microseconds()); err != nil {
		return err
	}
	n, err := x.count(ctx, `UPDATE former_keys SET verifies_until = signs_until + $2
		WHERE key_pair_id = $1 AND signs_until > $3 AND verifies_until < signs_until + $2`,
		v.SigningKey, (life + keys.Margin).Microseconds(), micros(x.db.now().Add(-keys.Margin)))
	if n > 0 {
		x.changed("keypair", string(v.SigningKey), "update")
	}
	return err
}

// formerChanged tells that a provider's former keys are others.
func (x *tx) formerChanged(id core.ProviderID) {
	x.changed("former_key", strconv.FormatInt(int64(id), 10), "update")
}

// leaveKeyPair keeps what a provider signed with until now, so that it still
// verifies: whoever leaves a key pair has tokens of it.
func (x *tx) leaveKeyPair(ctx context.Context, id core.ProviderID, pair core.KeyPairID) error {
	now := x.db.stamp()
	if err := x.exec(ctx, `DELETE FROM former_keys WHERE provider_id = $1 AND verifies_until <= $2`, id, micros(now)); err != nil {
		return err
	}
	x.formerChanged(id)
	if pair == "" {
		return nil // it signed with the client's secret, which nothing publishes
	}
	k, err := x.keyPair(ctx, pair, "")
	if err != nil {
		return err
	}
	life, err := x.tokenLife(ctx, k)
	if err != nil {
		return err
	}
	keep := append([]core.FormerKey{{Certificate: k.Certificate, VerifiesUntil: now.Add(life + keys.Margin)}}, k.Former...)
	for i := range keep {
		f := &keep[i]
		f.ID, f.PrivateKey, f.SignsUntil = x.db.newID(), "", now
		if f.Certificate == "" || !now.Before(f.VerifiesUntil) {
			continue
		}
		if err := x.insertFormerKey(ctx, f, pair, id); err != nil {
			return err
		}
	}
	// Whoever goes to and fro does not make the JWKS grow without end.
	return x.exec(ctx, `DELETE FROM former_keys WHERE id IN (SELECT id FROM former_keys WHERE provider_id = $1
		ORDER BY verifies_until DESC, id LIMIT 1000 OFFSET $2)`, id, keys.MaxFormer)
}
