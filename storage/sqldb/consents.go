package sqldb

import (
	"context"
	"slices"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/oidc"
)

// Consent returns core.ErrNotFound where there is none or it has expired.
func (db *DB) Consent(ctx context.Context, t core.TenantID, u core.UserID, clientID string) (*oidc.Consent, error) {
	c := &oidc.Consent{User: u, ClientID: clientID}
	err := db.read(ctx, t, directory, "read consent", func(q *conn) error {
		var scopes string
		var expires int64
		err := q.row(ctx, `SELECT scopes, expires FROM consents WHERE user_id = $1 AND client_id = $2 AND expires > $3`,
			u, clientID, micros(db.now())).Scan(&scopes, &expires)
		if err != nil {
			return err
		}
		c.Expires = fromMicros(expires)
		return fromJSON(scopes, &c.Scopes)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// SaveConsent keeps a consent in place of the one before.
func (db *DB) SaveConsent(ctx context.Context, t core.TenantID, c *oidc.Consent) error {
	return db.write(ctx, t, directory, "save consent", func(x *tx) error {
		scopes, err := toJSON(slices.Sorted(slices.Values(c.Scopes)))
		if err != nil {
			return err
		}
		err = x.exec(ctx, `INSERT INTO consents (user_id, client_id, scopes, expires) VALUES ($1, $2, $3, $4)
			ON CONFLICT (user_id, client_id) DO UPDATE SET scopes = excluded.scopes, expires = excluded.expires`,
			c.User, c.ClientID, scopes, micros(c.Expires))
		if err != nil && db.engine.reference(err) {
			return core.ErrNotFound
		}
		return err
	})
}

// DeleteConsent forgets a consent. Absent is no error.
func (db *DB) DeleteConsent(ctx context.Context, t core.TenantID, u core.UserID, clientID string) error {
	return db.write(ctx, t, directory, "delete consent", func(x *tx) error {
		return x.exec(ctx, `DELETE FROM consents WHERE user_id = $1 AND client_id = $2`, u, clientID)
	})
}
