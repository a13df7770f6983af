package sqldb

import (
	"context"
	"errors"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

// saveRefresh keeps a refresh token. Where its grant is gone: core.ErrNotFound.
func (x *tx) saveRefresh(ctx context.Context, r *oidc.RefreshToken) error {
	err := x.exec(ctx, `INSERT INTO refresh_tokens (hash, grant_id, issued, expires, used) VALUES ($1, $2, $3, $4, 0)`,
		r.Hash, r.Grant, micros(r.Issued), micros(r.Expires))
	if err != nil && x.db.engine.reference(err) {
		return core.ErrNotFound
	}
	return x.taken(err)
}

// Refresh finds a refresh token, used or not, and its grant, which is nil where it has
// expired. It does not look at the token's Expires.
func (db *DB) Refresh(ctx context.Context, t core.TenantID, hash [32]byte) (*oidc.RefreshToken, *oidc.Grant, error) {
	var g *oidc.Grant
	var issued, expires, used int64
	err := db.read(ctx, t, directory, "read refresh token", func(q *conn) (err error) {
		g, err = scanGrant(q.row(ctx, `SELECT r.issued, r.expires, r.used, `+grantColumns+`
			FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id WHERE r.hash = $1`, hash), &issued, &expires, &used)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	r := &oidc.RefreshToken{Hash: hash, Grant: g.ID, Issued: fromMicros(issued), Expires: fromMicros(expires), Used: fromMicros(used)}
	if !db.now().Before(g.Expires) {
		g = nil
	}
	return r, g, nil
}

// RotateRefresh replaces a refresh token. Where r.Old was used before: core.ErrConsumed
// and, within r.Grace of that use, the answer kept then. Where it is unknown, or r.Next
// is of another grant: core.ErrNotFound.
func (db *DB) RotateRefresh(ctx context.Context, t core.TenantID, r *oidc.Rotation) ([]byte, error) {
	err := db.write(ctx, t, directory, "rotate refresh token", func(x *tx) error {
		err := x.must(ctx, `UPDATE refresh_tokens SET used = $2, answer = $3 WHERE hash = $1 AND used = 0 AND grant_id = $4`,
			r.Old, max(1, micros(db.now())), r.Sealed, r.Next.Grant)
		if err == nil && !r.Until.IsZero() {
			err = x.extendGrant(ctx, r.Next.Grant, r.Until)
		}
		if err == nil {
			err = x.saveRefresh(ctx, r.Next)
		}
		return err
	})
	if !errors.Is(err, core.ErrNotFound) {
		return nil, err
	}
	var answer []byte
	err = db.read(ctx, t, directory, "rotate refresh token", func(q *conn) error {
		var used int64
		if err := q.row(ctx, `SELECT used, answer FROM refresh_tokens WHERE hash = $1`, r.Old).Scan(&used, &answer); err != nil {
			return err
		}
		if used == 0 {
			answer = nil
			return core.ErrNotFound
		}
		// A clock that was set back by more than Grace does not open the answer again.
		since := db.now().Sub(fromMicros(used))
		if since > r.Grace || since < -r.Grace {
			answer = nil
		}
		return core.ErrConsumed
	})
	return answer, err
}
