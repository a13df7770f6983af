package sqldb

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/oidc"
)

// sealedColumn is a column whose ciphertexts the master secret made.
type sealedColumn struct {
	part              part
	table, id, column string
	// seal names the purposes that a row's ciphertext may have, and its place.
	seal func(id any) (purposes []string, place string)
	// brief: what it holds is over in minutes, or can be had again. One that cannot be opened
	// is left.
	brief bool
}

// sealedColumns are all of them: a column that is missing here is lost when the master
// secret changes.
func sealedColumns() []sealedColumn {
	one := func(purpose string, place func(string) string) func(any) ([]string, string) {
		return func(id any) ([]string, string) { return []string{purpose}, place(fmt.Sprint(id)) }
	}
	return []sealedColumn{
		{table: "key_pairs", id: "id", column: "private_key", seal: one(keyPurpose, func(id string) string { return keyPlace(core.KeyPairID(id)) })},
		{table: "former_keys", id: "id", column: "private_key", seal: one(keyPurpose, formerPlace)},
		{table: "oauth2_clients", id: "provider_id", column: "secret", seal: one(secretPurpose, func(id string) string { return "oauth2_clients/secret/" + id })},
		{table: "caddy_files", id: "path", column: "value", brief: true, seal: one(filePurpose, filePlace)},
		{table: "tokens", id: "id", column: "key_sealed", seal: one(tokenPurpose, tokenPlace)},
		{table: "refresh_tokens", id: "hash", column: "answer", brief: true, seal: func(id any) ([]string, string) {
			hash, _ := id.([]byte)
			return []string{oidc.PurposeRefresh}, hex.EncodeToString(hash)
		}},
		{part: sessions, table: "auth_requests", id: "id", column: "data", brief: true, seal: func(id any) ([]string, string) {
			return oidc.RequestPurposes(), oidc.RequestPlace(fmt.Sprint(id))
		}},
	}
}

// rewrapBatch bounds one transaction. A process that dies loses the last one.
const rewrapBatch = 100

// checkSecret stores the master's fingerprint at first open and compares it ever
// after. Where the data was written with a secret before this one, it notes that
// everything is about to be sealed anew, before anything is: from then on neither
// secret opens the data alone until that is done.
func (db *DB) checkSecret(ctx context.Context) (rewrap bool, err error) {
	mine := fmt.Sprintf("%x", db.master.Fingerprint())
	err = db.rawWrite(ctx, core.DefaultTenant, directory, "check secret", func(x *tx) error {
		if err := x.exec(ctx, `INSERT INTO meta (name, value) VALUES ('secret', $1) ON CONFLICT (name) DO NOTHING`, mine); err != nil {
			return err
		}
		var stored, next string
		if err := x.row(ctx, `SELECT value FROM meta WHERE name = 'secret'`).Scan(&stored); err != nil {
			return err
		}
		err := x.row(ctx, `SELECT value FROM meta WHERE name = 'secret_next'`).Scan(&next)
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			return err
		}
		known := func(fingerprint string) bool { return fingerprint == mine || db.master.Old(fingerprint) }
		switch {
		case next != "" && (!known(stored) || !known(next)):
			return fmt.Errorf("the data was partly %w: the change from one secret to another was begun and has not ended; start with both, the new one as `secret` and the one before as `old_secret`, and it goes on where it stopped", ErrOtherSecret)
		case !known(stored):
			return refuseOtherSecret()
		}
		if rewrap = db.master.HasOld() || next != ""; !rewrap {
			return nil
		}
		err = x.knowsAll(ctx)
		if errors.Is(err, errNewerTables) && stored == mine && next == "" {
			rewrap = false // the change has ended, and `old_secret` is only still there
			return nil
		}
		if err != nil {
			return err
		}
		return x.exec(ctx, `INSERT INTO meta (name, value) VALUES ('secret_next', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, mine)
	})
	return rewrap, err
}

// MayRewrap is nil where this version may change the master secret, and else says why not.
func (db *DB) MayRewrap(ctx context.Context) error {
	return db.rawWrite(ctx, core.DefaultTenant, directory, "look whether the secret may be changed", func(x *tx) error { return x.knowsAll(ctx) })
}

var errNewerTables = errors.New("the database is of a newer version of Postern")

// knowsAll refuses tables of a version to come: it may have sealed what sealedColumns does not list, and a change of the
// secret would lose that.
func (x *tx) knowsAll(ctx context.Context) error {
	known, err := newestSchema(x.db.opt.more)
	if err != nil {
		return err
	}
	var version int64
	if err := x.row(ctx, `SELECT max(version_id) FROM `+directory.versionTable()).Scan(&version); err != nil {
		return err
	}
	if version > known.Directory {
		return fmt.Errorf("%w (its tables are of version %d, this one knows %d), and only that one changes the master secret: use it, or leave out the secret before (`old_secret`); nothing was changed", errNewerTables, version, known.Directory)
	}
	return nil
}

func refuseOtherSecret() error {
	return fmt.Errorf("the data was %w: set `secret` (or AUTHENTIK_SECRET_KEY) to the one it was made with, or give that one as `old_secret` to change it; nothing was changed", ErrOtherSecret)
}

// rewrap seals anew, under the master secret, what one before it sealed: every tenant,
// in small transactions. It may be ended at any point and goes on at the next start.
func (db *DB) rewrap(ctx context.Context) error {
	for id := range db.registry.Load().byID {
		if err := db.engine.update(ctx, id); err != nil {
			return err
		}
		for _, c := range sealedColumns() {
			if err := db.rewrapColumn(ctx, id, c); err != nil {
				return fmt.Errorf("seal %s of tenant %s anew: %w", c.table, id, err)
			}
		}
	}
	mine := fmt.Sprintf("%x", db.master.Fingerprint())
	return db.rawWrite(ctx, core.DefaultTenant, directory, "end the change of the secret", func(x *tx) error {
		if err := x.exec(ctx, `UPDATE meta SET value = $1 WHERE name = 'secret'`, mine); err != nil {
			return err
		}
		return x.exec(ctx, `DELETE FROM meta WHERE name = 'secret_next'`)
	})
}

func (db *DB) rewrapColumn(ctx context.Context, t core.TenantID, c sealedColumn) error {
	keyID := db.master.KeyID()
	var ids []any
	err := db.rawRead(ctx, t, c.part, "look for old ciphertext", func(q *conn) error {
		ids = nil
		return q.each(ctx, func(s scanner) error {
			var id any
			err := s.Scan(&id)
			ids = append(ids, id)
			return err
		}, `SELECT `+c.id+` FROM `+c.table+` WHERE `+c.column+` IS NOT NULL AND substr(`+c.column+`, 1, 4) <> $1`, keyID[:])
	})
	if err != nil {
		return err
	}
	for len(ids) > 0 {
		n := min(len(ids), rewrapBatch)
		err := db.rawWrite(ctx, t, c.part, "seal anew", func(x *tx) error {
			for _, id := range ids[:n] {
				if err := x.rewrapRow(ctx, c, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		db.rewrapped += n
		db.log.DebugContext(ctx, "sealed anew", "tenant", t, "table", c.table, "rows", n)
		ids = ids[n:]
	}
	return nil
}

func (x *tx) rewrapRow(ctx context.Context, c sealedColumn, id any) error {
	var sealed []byte
	err := x.row(ctx, `SELECT `+c.column+` FROM `+c.table+` WHERE `+c.id+` = $1`+x.db.engine.forUpdate(), id).Scan(&sealed)
	if errors.Is(err, core.ErrNotFound) || err == nil && sealed == nil {
		return nil // gone meanwhile
	}
	if err != nil {
		return err
	}
	purposes, place := c.seal(id)
	for _, purpose := range purposes {
		anew, changed, err := x.db.master.Reseal(x.tenant, purpose, place, sealed)
		if errors.Is(err, keys.ErrSealed) {
			continue
		}
		if err != nil || !changed {
			return err
		}
		return x.exec(ctx, `UPDATE `+c.table+` SET `+c.column+` = $2 WHERE `+c.id+` = $1`, id, anew)
	}
	if c.brief {
		x.db.log.WarnContext(ctx, "cannot be opened, neither with this secret nor with the one before: left as it is", "tenant", x.tenant, "table", c.table)
		return nil
	}
	return fmt.Errorf("%s: %w", place, keys.ErrSealed)
}

// Rewrapped counts what this Open sealed anew.
func (db *DB) Rewrapped() int { return db.rewrapped }
