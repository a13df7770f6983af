package sqldb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
)

// settings reads those of the tenant. What was not there when they were saved is as at
// the beginning.
func (c *conn) settings(ctx context.Context) (*core.Settings, error) {
	s := core.DefaultSettings()
	var data string
	err := c.row(ctx, `SELECT data FROM settings WHERE id = 1`).Scan(&data)
	if errors.Is(err, core.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	flags := s.Flags
	s.Flags = nil
	if err := fromJSON(data, s); err != nil {
		return nil, err
	}
	if s.Flags == nil {
		s.Flags = flags
	}
	return s, nil
}

// Settings are those of the tenant.
func (db *DB) Settings(ctx context.Context, t core.TenantID) (s *core.Settings, err error) {
	err = db.read(ctx, t, directory, "read settings", func(q *conn) error {
		s, err = q.settings(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// UpdateSettings loads the tenant's settings, calls change and saves.
func (db *DB) UpdateSettings(ctx context.Context, t core.TenantID, change func(*core.Settings) error) (s *core.Settings, err error) {
	err = db.write(ctx, t, directory, "update settings", func(x *tx) error {
		// The row is there and held before it is read: two changes take turns.
		now := micros(db.stamp())
		err := x.exec(ctx, `INSERT INTO settings (id, data, updated) VALUES (1, '{}', $1)
			ON CONFLICT (id) DO UPDATE SET updated = excluded.updated`, now)
		if err != nil {
			return err
		}
		if s, err = x.settings(ctx); err != nil {
			return err
		}
		if err := change(s); err != nil {
			return unwrapped{err}
		}
		data, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if len(data) > maxJSON {
			return fmt.Errorf("%d bytes of settings are more than %d", len(data), maxJSON)
		}
		x.changed("settings", "settings", "update")
		return x.exec(ctx, `UPDATE settings SET data = $1 WHERE id = 1`, string(data))
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
