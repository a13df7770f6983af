package sqldb

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
)

// rotatedLife is how long an API token lives whose key was replaced.
const rotatedLife = 24 * time.Hour

// rotatedKey is how long such a key is, in letters and digits.
const rotatedKey = 60

// expireTokens ends tokens that are past their time. An API token stays, with a new
// key that nobody knows until it is looked at, so that whoever manages it finds it;
// every other is deleted.
func (db *DB) expireTokens(ctx context.Context, t core.TenantID, now time.Time) error {
	for {
		n := 0
		err := db.write(ctx, t, directory, "expire tokens", func(x *tx) error {
			var over []core.Token
			err := x.each(ctx, func(s scanner) error {
				k, err := scanToken(s)
				if err == nil {
					over = append(over, *k)
				}
				return err
			}, `SELECT `+tokenColumns+` FROM tokens k WHERE k.expiring AND k.expires <= $1 ORDER BY k.expires, k.id LIMIT $2`+db.engine.forUpdate(), micros(now), int64(sweepBatch))
			if err != nil {
				return err
			}
			n = len(over)
			for i := range over {
				if err := x.expireToken(ctx, &over[i], now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || n < sweepBatch {
			return err
		}
	}
}

func (x *tx) expireToken(ctx context.Context, k *core.Token, now time.Time) error {
	if k.Intent != core.IntentAPI {
		x.changed("token", k.ID, "delete")
		return x.exec(ctx, `DELETE FROM tokens WHERE id = $1`, k.ID)
	}
	key := core.Secret(core.RandomAlphanumeric(rotatedKey))
	x.changed("token", k.ID, "update")
	err := x.exec(ctx, `UPDATE tokens SET key_hash = $2, key_sealed = $3, expires = $4, updated = $5 WHERE id = $1`,
		k.ID, core.Hash(string(key)), x.seal(tokenPurpose, tokenPlace(k.ID), key), micros(now.Add(rotatedLife)), micros(x.db.stamp()))
	if err != nil {
		return err
	}
	return x.record(ctx, core.Event{
		Action: core.EventSecretRotate, User: k.User, Message: "Token " + k.Identifier + "'s secret was rotated.",
		Context: map[string]any{"model": map[string]any{"app": "authentik_core", "model_name": "token", "pk": k.ID, "name": k.Identifier}},
	})
}
