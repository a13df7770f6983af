package sqldb

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// KeyPairs lists all key pairs, with the keys that they replaced, by name.
func (db *DB) KeyPairs(ctx context.Context, t core.TenantID) (out []core.KeyPair, err error) {
	err = db.read(ctx, t, directory, "list key pairs", func(q *conn) error {
		out = nil
		err := q.each(ctx, func(s scanner) error {
			k, err := q.scanKeyPair(s)
			if err == nil {
				out = append(out, *k)
			}
			return err
		}, `SELECT `+keyPairColumns+` FROM key_pairs k ORDER BY k.name_fold, k.id`)
		for i := range out {
			if err == nil {
				out[i].Former, err = q.formerKeys(ctx, `key_pair_id = $1`, out[i].ID)
			}
		}
		return err
	})
	return out, err
}

// KeyPairUse names the providers that a key pair is used by.
func (db *DB) KeyPairUse(ctx context.Context, t core.TenantID, id core.KeyPairID) (use keys.Use, err error) {
	err = db.read(ctx, t, directory, "read use of key pair", func(q *conn) error {
		use = keys.Use{}
		for _, f := range []struct {
			into  *[]string
			query string
		}{
			{&use.Signing, clientTables + ` WHERE c.signing_key = $1`},
			{&use.Encrypting, clientTables + ` WHERE c.encryption_key = $1`},
			{&use.Other, proxyTables + ` WHERE x.certificate = $1`},
		} {
			err := q.each(ctx, func(s scanner) error {
				var name string
				err := s.Scan(&name)
				*f.into = append(*f.into, name)
				return err
			}, `SELECT p.name`+f.query+` ORDER BY p.name_fold, p.id`, id)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return use, err
}

// RevokeKeyPair changes a key pair as UpdateKeyPair does, notes the keys that must not
// be used again by their kid, and ends all that was granted to the clients that it
// signs for, in one transaction. ended counts the grants.
func (db *DB) RevokeKeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID, kids []string, change func(*core.KeyPair) error) (ended int, err error) {
	err = db.write(ctx, t, directory, "revoke key pair", func(x *tx) error {
		k, err := x.updateKeyPair(ctx, id, change)
		if err != nil {
			return err
		}
		for _, kid := range kids {
			if err := x.exec(ctx, `INSERT INTO revoked_keys (kid, at) VALUES ($1, $2) ON CONFLICT (kid) DO NOTHING`, kid, micros(k.Updated)); err != nil {
				return err
			}
		}
		before := len(x.changes)
		// A provider that left the pair may still have tokens of it.
		err = x.deleteGrants(ctx, `provider_id IN (SELECT provider_id FROM oauth2_clients WHERE signing_key = $1
			UNION SELECT provider_id FROM former_keys WHERE provider_id IS NOT NULL AND left_pair = $1)`, id)
		if err != nil {
			return err
		}
		ended = len(x.changes) - before
		left := map[int64]bool{}
		err = x.each(ctx, func(s scanner) error {
			var provider int64
			err := s.Scan(&provider)
			left[provider] = true
			return err
		}, `DELETE FROM former_keys WHERE left_pair = $1 RETURNING provider_id`, id)
		for provider := range left {
			x.formerChanged(core.ProviderID(provider))
		}
		return err
	})
	return ended, err
}

// RevokedKey tells when a key was revoked. One that was not is core.ErrNotFound.
func (db *DB) RevokedKey(ctx context.Context, t core.TenantID, kid string) (at time.Time, err error) {
	err = db.read(ctx, t, directory, "look for a revoked key", func(q *conn) error {
		var n int64
		err := q.row(ctx, `SELECT at FROM revoked_keys WHERE kid = $1`, kid).Scan(&n)
		at = fromMicros(n)
		return err
	})
	return at, err
}

// WarnedOfKeyPair notes which end of a certificate was warned of, and reports whether
// this is the first word of it.
func (db *DB) WarnedOfKeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID, mark int64) (first bool, err error) {
	err = db.write(ctx, t, directory, "note a warning", func(x *tx) error {
		n, err := x.count(ctx, `UPDATE key_pairs SET warned = $2 WHERE id = $1 AND warned <> $2`, id, mark)
		first = n > 0
		return err
	})
	return first, err
}

// EndAllSessions ends every login of a tenant.
func (db *DB) EndAllSessions(ctx context.Context, t core.TenantID) (int, error) {
	ended := 0
	for {
		ids, err := db.end(ctx, t, `id IN (SELECT id FROM sessions WHERE ended = 0 ORDER BY id LIMIT 500)`)
		ended += len(ids)
		if err != nil || len(ids) == 0 {
			return ended, err
		}
	}
}
