package sqldb

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-sso/postern/core"
)

// Anybody may start an authorization request: what one takes, in bytes, and how
// many wait at once is bounded.
const (
	maxAuthRequest  = 64 << 10
	maxAuthRequests = 10000
)

// SaveAuthRequest keeps an authorization request until it expires. Where too many
// wait, or one is too long, it is refused.
func (db *DB) SaveAuthRequest(ctx context.Context, t core.TenantID, id string, data []byte, expires time.Time) error {
	if len(data) > maxAuthRequest {
		return fmt.Errorf("save authorization request: %d bytes are more than %d", len(data), maxAuthRequest)
	}
	if data == nil {
		data = []byte{}
	}
	return db.write(ctx, t, sessions, "save authorization request", func(x *tx) error {
		var waiting int
		if err := x.row(ctx, `SELECT count(*) FROM auth_requests WHERE expires > $1`, micros(db.now())).Scan(&waiting); err != nil {
			return err
		}
		if waiting >= maxAuthRequests {
			return fmt.Errorf("%d requests wait already", waiting)
		}
		return x.exec(ctx, `INSERT INTO auth_requests (id, data, expires) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires = excluded.expires`, id, data, micros(expires))
	})
}

// AuthRequest returns core.ErrNotFound where there is none or it has expired.
func (db *DB) AuthRequest(ctx context.Context, t core.TenantID, id string) (data []byte, err error) {
	err = db.read(ctx, t, sessions, "read authorization request", func(q *conn) error {
		return q.row(ctx, `SELECT data FROM auth_requests WHERE id = $1 AND expires > $2`, id, micros(db.now())).Scan(&data)
	})
	return data, err
}
