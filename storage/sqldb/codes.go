package sqldb

import (
	"context"
	"errors"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

const codeColumns = `hash, grant_id, client_id, redirect_uri, challenge, method, expires`

func scanCode(s scanner) (*oidc.Code, error) {
	var c oidc.Code
	var hash []byte
	var expires int64
	if err := s.Scan(&hash, &c.Grant, &c.ClientID, &c.RedirectURI, &c.Challenge, &c.Method, &expires); err != nil {
		return nil, err
	}
	copy(c.Hash[:], hash)
	c.Expires = fromMicros(expires)
	return &c, nil
}

// SaveCode keeps a code. Where its grant is gone: core.ErrNotFound.
func (db *DB) SaveCode(ctx context.Context, t core.TenantID, c *oidc.Code) error {
	return db.write(ctx, t, directory, "save code", func(x *tx) error {
		err := x.exec(ctx, `INSERT INTO codes (`+codeColumns+`, used) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`,
			c.Hash, c.Grant, c.ClientID, c.RedirectURI, c.Challenge, c.Method, micros(c.Expires))
		if err != nil && db.engine.reference(err) {
			return core.ErrNotFound
		}
		return x.taken(err)
	})
}

// ConsumeCode returns a code and marks it used, in one statement. A second call
// gives core.ErrConsumed, still with the code.
func (db *DB) ConsumeCode(ctx context.Context, t core.TenantID, hash [32]byte) (c *oidc.Code, err error) {
	err = db.write(ctx, t, directory, "consume code", func(x *tx) error {
		// used holds the time, never 0 whatever the clock says.
		c, err = scanCode(x.row(ctx, `UPDATE codes SET used = $2 WHERE hash = $1 AND used = 0 RETURNING `+codeColumns, hash, max(1, micros(db.now()))))
		return err
	})
	if !errors.Is(err, core.ErrNotFound) {
		return c, err
	}
	rerr := db.read(ctx, t, directory, "consume code", func(q *conn) error {
		c, err = scanCode(q.row(ctx, `SELECT `+codeColumns+` FROM codes WHERE hash = $1`, hash))
		if err == nil {
			err = core.ErrConsumed
		}
		return err
	})
	return c, rerr
}
