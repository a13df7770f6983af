package sqldb

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

// Grant returns core.ErrNotFound for one that never was, was revoked or has expired.
func (db *DB) Grant(ctx context.Context, t core.TenantID, id oidc.GrantID) (g *oidc.Grant, err error) {
	err = db.read(ctx, t, directory, "read grant", func(q *conn) error {
		g, err = scanGrant(q.row(ctx, `SELECT `+grantColumns+` FROM grants g WHERE g.id = $1 AND g.expires > $2`, id, micros(db.now())))
		return err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

const grantColumns = `g.id, g.client_id, coalesce(g.provider_id, 0), g.user_id, g.session_id, g.scopes, g.nonce, g.auth_time, g.amr, g.acr, g.created, g.expires`

// scanGrant reads grantColumns, and what comes before them into the rest.
func scanGrant(s scanner, before ...any) (*oidc.Grant, error) {
	var g oidc.Grant
	var scopes, amr string
	var auth, created, expires int64
	err := s.Scan(append(before, &g.ID, &g.ClientID, &g.Provider, &g.User, &g.Session, &scopes, &g.Nonce, &auth, &amr, &g.ACR, &created, &expires)...)
	if err != nil {
		return nil, err
	}
	g.AuthTime, g.Created, g.Expires = fromMicros(auth), fromMicros(created), fromMicros(expires)
	if err := fromJSON(scopes, &g.Scopes); err != nil {
		return nil, err
	}
	return &g, fromJSON(amr, &g.AMR)
}

// SaveGrant keeps a new grant, or replaces the one of its ID, and sets an empty
// ID. A user that is gone or not active gets none: core.ErrNotFound or
// core.ErrDenied.
func (db *DB) SaveGrant(ctx context.Context, t core.TenantID, g *oidc.Grant) error {
	return db.write(ctx, t, directory, "save grant", func(x *tx) error { return x.saveGrant(ctx, g) })
}

func (x *tx) saveGrant(ctx context.Context, g *oidc.Grant) error {
	var active bool
	// Held until commit, so that a deactivation waits and ends this grant too.
	if err := x.row(ctx, `SELECT active FROM users WHERE id = $1`+x.db.engine.forUpdate(), g.User).Scan(&active); err != nil {
		return err
	}
	if !active {
		return core.ErrDenied
	}
	scopes, err := toJSON(g.Scopes)
	if err != nil {
		return err
	}
	amr, err := toJSON(g.AMR)
	if err != nil {
		return err
	}
	if g.ID == "" {
		g.ID = oidc.GrantID(x.db.newID())
	}
	n, err := x.count(ctx, `INSERT INTO grants (id, client_id, provider_id, user_id, session_id, scopes, nonce, auth_time, amr, acr, created, expires)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (id) DO UPDATE SET scopes = excluded.scopes, session_id = excluded.session_id, nonce = excluded.nonce,
			auth_time = excluded.auth_time, amr = excluded.amr, acr = excluded.acr, expires = excluded.expires
		WHERE grants.user_id = excluded.user_id AND grants.client_id = excluded.client_id`,
		g.ID, g.ClientID, orNull(g.Provider), g.User, g.Session, scopes, g.Nonce, micros(g.AuthTime), amr, g.ACR, micros(g.Created), micros(g.Expires))
	if err != nil && x.db.engine.reference(err) {
		return core.ErrNotFound // the provider is gone
	}
	if err == nil && n == 0 {
		err = core.ErrExists // another user's or client's
	}
	return err
}

// RevokeGrant ends a grant with its code and refresh tokens. Absent is no error.
func (db *DB) RevokeGrant(ctx context.Context, t core.TenantID, id oidc.GrantID) error {
	return db.write(ctx, t, directory, "revoke grant", func(x *tx) error { return x.deleteGrants(ctx, `id = $1`, id) })
}

// ExtendGrant moves Expires to a later time, never to an earlier one. A grant
// that was revoked or has expired stays so: core.ErrNotFound.
func (db *DB) ExtendGrant(ctx context.Context, t core.TenantID, id oidc.GrantID, expires time.Time) error {
	return db.write(ctx, t, directory, "extend grant", func(x *tx) error { return x.extendGrant(ctx, id, expires) })
}

func (x *tx) extendGrant(ctx context.Context, id oidc.GrantID, expires time.Time) error {
	return x.must(ctx, `UPDATE grants SET expires = CASE WHEN expires < $2 THEN $2 ELSE expires END WHERE id = $1 AND expires > $3`,
		id, micros(expires), micros(x.db.now()))
}

// RevokeGrants revokes all grants that match every field that is not empty.
func (db *DB) RevokeGrants(ctx context.Context, t core.TenantID, match oidc.GrantMatch) error {
	b := new(builder)
	var conds []string
	for _, c := range []struct{ column, value string }{
		{"session_id", string(match.Session)}, {"user_id", string(match.User)}, {"client_id", match.ClientID},
	} {
		if c.value != "" {
			conds = append(conds, c.column+" = "+b.add(c.value))
		}
	}
	if len(conds) == 0 {
		return errors.New("revoke grants: nothing names which ones")
	}
	return db.write(ctx, t, directory, "revoke grants", func(x *tx) error {
		return x.deleteGrants(ctx, strings.Join(conds, " AND "), b.args...)
	})
}

// deleteGrants ends the grants that a condition finds; codes and refresh tokens
// go by their foreign keys.
func (x *tx) deleteGrants(ctx context.Context, where string, args ...any) error {
	return x.each(ctx, func(s scanner) error {
		var id string
		err := s.Scan(&id)
		x.changed("grant", id, "delete")
		return err
	}, `DELETE FROM grants WHERE `+where+` RETURNING id`, args...)
}
