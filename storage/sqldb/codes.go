package sqldb

import (
	"context"
	"errors"
	"maps"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

// SaveCode keeps a code, with the new grant that it is for and the event, where they are not
// nil. Where the grant is gone: core.ErrNotFound.
func (db *DB) SaveCode(ctx context.Context, t core.TenantID, c *oidc.Code, g *oidc.Grant, e *core.Event) error {
	return db.write(ctx, t, directory, "save code", func(x *tx) error {
		if g != nil {
			if err := x.saveGrant(ctx, g); err != nil {
				return err
			}
			c.Grant = g.ID
		}
		err := x.exec(ctx, `INSERT INTO codes (hash, grant_id, client_id, redirect_uri, challenge, method, expires, used) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`,
			c.Hash, c.Grant, c.ClientID, c.RedirectURI, c.Challenge, c.Method, micros(c.Expires))
		if err != nil && db.engine.reference(err) {
			return core.ErrNotFound
		}
		if err = x.taken(err); err != nil || e == nil {
			return err
		}
		told := *e
		told.Context = maps.Clone(e.Context)
		if told.Context == nil {
			told.Context = map[string]any{}
		}
		told.Context["grant"] = string(c.Grant)
		return x.record(ctx, told)
	})
}

// Code finds a code and its grant, which is nil where it has expired. A used code gives
// core.ErrConsumed, still with the code.
func (db *DB) Code(ctx context.Context, t core.TenantID, hash [32]byte) (c *oidc.Code, g *oidc.Grant, err error) {
	err = db.read(ctx, t, directory, "read code", func(q *conn) error {
		var used int64
		c, g, used, err = scanCode(q.row(ctx, `SELECT c.client_id, c.redirect_uri, c.challenge, c.method, c.expires, c.used, `+grantColumns+`
			FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.hash = $1`, hash))
		if err == nil && used != 0 {
			err = core.ErrConsumed
		}
		return err
	})
	switch {
	case errors.Is(err, core.ErrConsumed):
		c.Hash = hash
		return c, nil, err
	case err != nil:
		return nil, nil, err
	}
	c.Hash = hash
	if !db.now().Before(g.Expires) {
		g = nil
	}
	return c, g, nil
}

func scanCode(s scanner) (*oidc.Code, *oidc.Grant, int64, error) {
	var c oidc.Code
	var expires, used int64
	g, err := scanGrant(s, &c.ClientID, &c.RedirectURI, &c.Challenge, &c.Method, &expires, &used)
	if err != nil {
		return nil, nil, 0, err
	}
	c.Grant, c.Expires = g.ID, fromMicros(expires)
	return &c, g, used, nil
}

// ConsumeCode marks a code used, in one statement, and keeps what it was redeemed for with
// it. A second call gives core.ErrConsumed and keeps nothing.
func (db *DB) ConsumeCode(ctx context.Context, t core.TenantID, hash [32]byte, first *oidc.RefreshToken) error {
	return db.write(ctx, t, directory, "consume code", func(x *tx) error {
		// used holds the time, never 0 whatever the clock says.
		err := x.must(ctx, `UPDATE codes SET used = $2 WHERE hash = $1 AND used = 0`, hash, max(1, micros(db.now())))
		if errors.Is(err, core.ErrNotFound) {
			var used int64
			if err = x.row(ctx, `SELECT used FROM codes WHERE hash = $1`, hash).Scan(&used); err == nil {
				err = core.ErrConsumed
			}
		}
		if err == nil && first != nil {
			err = x.saveRefresh(ctx, first)
		}
		return err
	})
}
