package sqldb

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const keyPairColumns = `k.id, k.name, coalesce(k.managed, ''), k.certificate, k.private_key, k.generated,
	k.signs_from, k.token_life, k.created, k.updated`

const keyPurpose = "private key"

func keyPlace(id core.KeyPairID) string { return "key_pairs/private_key/" + string(id) }

func (c *conn) scanKeyPair(s scanner, more ...any) (*core.KeyPair, error) {
	var k core.KeyPair
	var sealed []byte
	var signs, life, created, updated int64
	err := s.Scan(append([]any{&k.ID, &k.Name, &k.Managed, &k.Certificate, &sealed, &k.Generated, &signs, &life, &created, &updated}, more...)...)
	if err != nil {
		return nil, err
	}
	k.SignsFrom, k.TokenLife = fromMicros(signs), time.Duration(life)*time.Microsecond
	k.Created, k.Updated = fromMicros(created), fromMicros(updated)
	if sealed != nil {
		k.PrivateKey, err = c.unseal(keyPurpose, keyPlace(k.ID), sealed)
	}
	return &k, err
}

func (c *conn) keyPair(ctx context.Context, id core.KeyPairID, lock string) (*core.KeyPair, error) {
	k, err := c.scanKeyPair(c.row(ctx, `SELECT `+keyPairColumns+` FROM key_pairs k WHERE k.id = $1`+lock, id))
	if err != nil {
		return nil, err
	}
	k.Former, err = c.formerKeys(ctx, `key_pair_id = $1`, id)
	return k, err
}

// sealKey is the column of a private key: NULL where there is none.
func (x *tx) sealKey(k *core.KeyPair, id core.KeyPairID) []byte {
	if k.PrivateKey == "" {
		return nil
	}
	return x.seal(keyPurpose, keyPlace(id), k.PrivateKey)
}

// KeyPair finds a key pair by ID, with its private key and those that it replaced.
func (db *DB) KeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID) (k *core.KeyPair, err error) {
	err = db.read(ctx, t, directory, "read key pair", func(q *conn) error {
		k, err = q.keyPair(ctx, id, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

func keyPairFilter(name string) (filter, bool) {
	switch name {
	case "pk", "kp_uuid":
		return equals("k.id"), true
	case "name":
		return equals("k.name"), true
	case "managed":
		return equals("k.managed"), true
	case "has_key":
		return truth("k.private_key IS NOT NULL"), true
	}
	return filter{}, false
}

func keyPairOrder(name string) (string, bool) {
	switch name {
	case "pk":
		return "k.id", true
	case "name":
		return "k.name_fold", true
	case "managed":
		return "coalesce(k.managed, '')", true
	}
	return "", false
}

// ListKeyPairs lists key pairs, without the keys that they replaced: see api.Query.
func (db *DB) ListKeyPairs(ctx context.Context, t core.TenantID, q api.Query) (out []core.KeyPair, total int, err error) {
	r := &resource{filter: keyPairFilter, order: keyPairOrder, search: []string{"k.name_fold"}, pk: "k.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list key pairs", func(c *conn) error {
		out = nil
		err := c.each(ctx, func(s scanner) error {
			k, err := c.scanKeyPair(s, &total)
			if err == nil {
				out = append(out, *k)
			}
			return err
		}, `SELECT `+keyPairColumns+`, count(*) OVER () FROM key_pairs k`+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, `key_pairs k`, clauses, args)
		}
		return err
	})
	return out, total, err
}

// CreateKeyPair saves a new key pair and sets ID, Created and Updated.
func (db *DB) CreateKeyPair(ctx context.Context, t core.TenantID, k *core.KeyPair) error {
	return db.write(ctx, t, directory, "create key pair", func(x *tx) error { return x.createKeyPair(ctx, k) })
}

func (x *tx) createKeyPair(ctx context.Context, k *core.KeyPair) error {
	id, now := core.KeyPairID(x.db.newID()), x.db.stamp()
	err := x.exec(ctx, `INSERT INTO key_pairs (id, name, name_fold, managed, certificate, private_key, generated, created, updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)`,
		id, k.Name, core.Fold(k.Name), orNull(k.Managed), k.Certificate, x.sealKey(k, id), k.Generated, micros(now))
	if err != nil {
		return x.taken(err)
	}
	x.changed("keypair", string(id), "create")
	k.ID, k.Created, k.Updated = id, now, now
	return nil
}

// UpdateKeyPair loads a key pair, calls change and saves.
func (db *DB) UpdateKeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID, change func(*core.KeyPair) error) (k *core.KeyPair, err error) {
	err = db.write(ctx, t, directory, "update key pair", func(x *tx) error {
		k, err = x.updateKeyPair(ctx, id, change)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (x *tx) updateKeyPair(ctx context.Context, id core.KeyPairID, change func(*core.KeyPair) error) (*core.KeyPair, error) {
	k, err := x.keyPair(ctx, id, x.db.engine.forUpdate())
	if err != nil {
		return nil, err
	}
	created := k.Created
	if k.TokenLife, err = x.tokenLife(ctx, k); err != nil {
		return nil, err
	}
	if err := change(k); err != nil {
		return nil, unwrapped{err}
	}
	k.ID, k.Created, k.Updated = id, created, x.db.stamp()
	err = x.must(ctx, `UPDATE key_pairs SET name = $2, name_fold = $3, managed = $4, certificate = $5, private_key = $6, generated = $7,
			signs_from = $8, token_life = $9, updated = $10 WHERE id = $1`,
		id, k.Name, core.Fold(k.Name), orNull(k.Managed), k.Certificate, x.sealKey(k, id), k.Generated,
		micros(k.SignsFrom), k.TokenLife.Microseconds(), micros(k.Updated))
	if err != nil {
		return nil, x.taken(err)
	}
	if err := x.saveFormerKeys(ctx, k); err != nil {
		return nil, err
	}
	x.changed("keypair", string(id), "update")
	return k, nil
}

// DeleteKeyPair deletes a key pair. One that a provider uses is core.ErrInUse.
func (db *DB) DeleteKeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID) error {
	return db.write(ctx, t, directory, "delete key pair", func(x *tx) error {
		x.changed("keypair", string(id), "delete")
		err := x.must(ctx, `DELETE FROM key_pairs WHERE id = $1`, id)
		if err != nil && db.engine.reference(err) {
			return core.ErrInUse
		}
		return err
	})
}
