package sqldb

import (
	"context"
	"errors"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

func (c *conn) code(ctx context.Context, hash [32]byte) (code *oidc.Code, used bool, err error) {
	code = &oidc.Code{Hash: hash}
	var expires, at int64
	err = c.row(ctx, `SELECT grant_id, client_id, redirect_uri, challenge, method, expires, used FROM codes WHERE hash = $1`, hash).
		Scan(&code.Grant, &code.ClientID, &code.RedirectURI, &code.Challenge, &code.Method, &expires, &at)
	if err != nil {
		return nil, false, err
	}
	code.Expires = fromMicros(expires)
	return code, at != 0, nil
}

// SaveCode keeps a code. Where its grant is gone: core.ErrNotFound.
func (db *DB) SaveCode(ctx context.Context, t core.TenantID, c *oidc.Code) error {
	return db.write(ctx, t, directory, "save code", func(x *tx) error {
		err := x.exec(ctx, `INSERT INTO codes (hash, grant_id, client_id, redirect_uri, challenge, method, expires, used) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`,
			c.Hash, c.Grant, c.ClientID, c.RedirectURI, c.Challenge, c.Method, micros(c.Expires))
		if err != nil && db.engine.reference(err) {
			return core.ErrNotFound
		}
		return x.taken(err)
	})
}

// Code finds a code and its grant, which is nil where it has expired. A used code gives
// core.ErrConsumed, still with the code.
func (db *DB) Code(ctx context.Context, t core.TenantID, hash [32]byte) (c *oidc.Code, g *oidc.Grant, err error) {
	err = db.read(ctx, t, directory, "read code", func(q *conn) error {
		var used bool
		if c, used, err = q.code(ctx, hash); err != nil {
			return err
		}
		if used {
			return core.ErrConsumed
		}
		g, err = q.grant(ctx, c.Grant)
		if errors.Is(err, core.ErrNotFound) {
			return nil
		}
		return err
	})
	switch {
	case errors.Is(err, core.ErrConsumed):
		return c, nil, err
	case err != nil:
		return nil, nil, err
	}
	return c, g, nil
}

// ConsumeCode marks a code used, in one statement, and keeps what it was redeemed for with
// it. A second call gives core.ErrConsumed and keeps nothing.
func (db *DB) ConsumeCode(ctx context.Context, t core.TenantID, hash [32]byte, first *oidc.RefreshToken, e *core.Event) error {
	return db.write(ctx, t, directory, "consume code", func(x *tx) error {
		// used holds the time, never 0 whatever the clock says.
		err := x.must(ctx, `UPDATE codes SET used = $2 WHERE hash = $1 AND used = 0`, hash, max(1, micros(db.now())))
		if errors.Is(err, core.ErrNotFound) {
			if _, _, err = x.code(ctx, hash); err == nil {
				err = core.ErrConsumed
			}
		}
		if err == nil && first != nil {
			err = x.saveRefresh(ctx, first)
		}
		if err == nil && e != nil {
			err = x.record(ctx, *e)
		}
		return err
	})
}
