package sqldb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/backup"
)

// upgradeTold is how often a long upgrade says how far it is.
const upgradeTold = 5 * time.Second

// upgrade migrates all tenants where the default one's tables are older than this
// version's. First it looks whether they are sound and makes a snapshot: without one
// it changes nothing. What new tenants are copied from comes first, so that none begins old, and the default tenant comes last: as long as it is old, the
// upgrade is not done, and the next start goes on with it.
func (db *DB) upgrade(ctx context.Context) error {
	there, err := db.engine.exists(ctx, core.DefaultTenant)
	if err != nil || !there {
		return err
	}
	to, err := newestSchema(db.opt.more)
	if err != nil {
		return err
	}
	from, tenants, err := db.preflight(ctx, to)
	if err != nil || tenants == nil {
		return err
	}
	what := fmt.Sprintf("upgrade of the tables from version %d and %d to %d and %d", from.Directory, from.Sessions, to.Directory, to.Sessions)
	path, again := readUnderWay(db.opt.Dir, to)
	if !again {
		if path, err = takeSnapshot(ctx, db.engine, &db.opt, db.now(), beforeUpgrade); err != nil {
			return fmt.Errorf("the %s was not begun, because the snapshot that it could be taken back with cannot be made: %w; nothing was changed", what, err)
		}
		if err := writeUnderWay(db.opt.Dir, underWay{To: to, Snapshot: path}); err != nil {
			return fmt.Errorf("the %s was not begun: %w; nothing was changed", what, err)
		}
	}
	db.opt.reached("snapshot")
	db.log.WarnContext(ctx, what, "snapshot", path, "continued", again)
	if err := db.engine.updateTemplate(ctx); err != nil {
		return fmt.Errorf("%s: the template of new tenants: %w; `caddy postern rollback` puts back what was there before", what, err)
	}
	db.opt.reached("migrated the template")
	tenants = append(tenants, backup.Tenant{ID: core.DefaultTenant})
	told := time.Now()
	for i, t := range tenants {
		if err := db.engine.update(ctx, t.ID); err != nil {
			return fmt.Errorf("%s: tenant %s: %w; `caddy postern rollback` puts back what was there before", what, t.ID, err)
		}
		db.opt.reached("migrated " + string(t.ID))
		if time.Since(told) > upgradeTold {
			told = time.Now()
			db.log.WarnContext(ctx, what, "tenants done", i+1, "of", len(tenants))
		}
	}
	return endUnderWay(db.opt.Dir)
}

// preflight gives the version of the default tenant's tables and, where they are to be
// upgraded, the other tenants. It refuses what an upgrade would make worse.
func (db *DB) preflight(ctx context.Context, to backup.Schema) (from backup.Schema, tenants []backup.Tenant, err error) {
	s, err := db.engine.snapshot(ctx)
	if err != nil {
		return from, nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	sources, err := s.tenant(ctx, core.DefaultTenant)
	if err != nil {
		return from, nil, err
	}
	if from, err = schemaOf(ctx, sources); err != nil {
		return from, nil, err
	}
	if from.Directory == 0 || from.Directory >= to.Directory && from.Sessions >= to.Sessions {
		return from, nil, nil
	}
	if err := sameSecret(ctx, &sources[0], db.master); err != nil {
		return from, nil, err
	}
	all, err := registered(ctx, &sources[0])
	if err != nil {
		return from, nil, err
	}
	tenants = []backup.Tenant{}
	for _, t := range all {
		if t.ID != core.DefaultTenant {
			tenants = append(tenants, t)
			if sources, err = s.tenant(ctx, t.ID); err != nil {
				return from, nil, fmt.Errorf("tenant %s: %w", t.ID, err)
			}
		} else if sources, err = s.tenant(ctx, core.DefaultTenant); err != nil {
			return from, nil, err
		}
		for i := range sources {
			if err := sources[i].sound(ctx, db.engine.name()); err != nil {
				return from, nil, fmt.Errorf("the tables are to be upgraded, and those of the tenant %s are not sound: %w; nothing was changed", t.ID, err)
			}
		}
	}
	return from, tenants, nil
}

// sameSecret is checkSecret before anything may be written. While the secret changes,
// there are two, and both must be known.
func sameSecret(ctx context.Context, s *source, m *keys.Master) (err error) {
	rows, err := s.q.QueryContext(ctx, `SELECT value FROM `+s.prefix+`meta WHERE name IN ('secret', 'secret_next')`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	mine := fmt.Sprintf("%x", m.Fingerprint())
	for rows.Next() {
		var stored string
		if err := rows.Scan(&stored); err != nil {
			return err
		}
		if stored != mine && !m.Old(stored) {
			return refuseOtherSecret()
		}
	}
	return rows.Err()
}

// sound looks for damage. PostgreSQL looks after itself.
func (s *source) sound(ctx context.Context, engine string) error {
	if engine != "sqlite" {
		return nil
	}
	for _, query := range []string{
		`SELECT quick_check FROM pragma_quick_check`,
		`SELECT coalesce(min("table"), 'ok') FROM pragma_foreign_key_check`,
	} {
		var found string
		if err := s.q.QueryRowContext(ctx, query).Scan(&found); err != nil {
			return err
		}
		if found != "ok" {
			return fmt.Errorf("%s says: %s", query[len("SELECT "):], found)
		}
	}
	return nil
}
