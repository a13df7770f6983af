package sqldb

import (
	"context"
	"fmt"

	"github.com/postern-sso/postern/core"
)

// spareSchema is a clone of the template that is nobody's: the tables of the next tenant, made
// beforehand. PostgreSQL before 17 syncs the disk for each index that is made, and once for all of
// them when they get another name. No tenant can be called so.
const spareSchema = templateSchema + "_spare"

// spareLock keeps those apart, until their transactions end, who make the spare schema or take it.
const spareLock = 0x706f737465726e03 // "postern", 3

// KeepSpare makes the tables of the next tenant in the background, where making them takes long:
// on PostgreSQL. Without them it is made all the same, later. What it gives is closed when that is over.
func (db *DB) KeepSpare(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	e, ok := db.engine.(*postgresEngine)
	if !ok {
		close(done)
		return done
	}
	db.background.Go(func() {
		defer close(done)
		db.sparing.Lock()
		defer db.sparing.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), foundWait)
		defer cancel()
		defer context.AfterFunc(db.open, cancel)()
		err := e.makeTemplate(ctx)
		if err == nil {
			err = db.rawWrite(ctx, core.DefaultTenant, directory, "make the tables of the next tenant", func(x *tx) error { return e.makeSpare(ctx, x.q) })
		}
		if err != nil && db.open.Err() == nil {
			db.log.WarnContext(ctx, "the tables of the next tenant were not made beforehand", "schema", spareSchema, "error", err)
		}
	})
	return done
}

// makeSpare makes the spare schema where there is none, or an old one.
func (e *postgresEngine) makeSpare(ctx context.Context, q queryer) error {
	there, current, err := e.spare(ctx, q)
	if err != nil || current {
		return err
	}
	if there {
		if _, err := q.ExecContext(ctx, `DROP SCHEMA `+spareSchema+` CASCADE`); err != nil {
			return err
		}
	}
	return e.clone(ctx, q, spareSchema)
}

// takeSpare makes the spare schema a tenant's. It reports false where none is up to date.
func (e *postgresEngine) takeSpare(ctx context.Context, q queryer, to string) (bool, error) {
	_, current, err := e.spare(ctx, q)
	if err != nil || !current {
		return false, err
	}
	if _, err := q.ExecContext(ctx, `ALTER SCHEMA `+spareSchema+` RENAME TO `+quote(to)); err != nil {
		return false, e.taken(err)
	}
	return true, nil
}

// spare reports whether there is a spare schema, and whether it is of the template's version. Until
// the transaction ends nobody else makes or takes it. One that another program made is never there:
// to make it then fails, and tenants are cloned.
func (*postgresEngine) spare(ctx context.Context, q queryer) (there, current bool, err error) {
	if _, err := q.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(spareLock)); err != nil {
		return false, false, err
	}
	d, s := directory.versionTable(), sessions.versionTable()
	err = q.QueryRowContext(ctx, `SELECT count(*) = 4 FROM pg_catalog.pg_tables WHERE schemaname IN ($1, $2) AND tablename IN ($3, $4)`,
		templateSchema, spareSchema, d, s).Scan(&there)
	if err != nil || !there {
		return false, false, err
	}
	same := func(table string) string {
		return fmt.Sprintf(`(SELECT max(version_id) FROM %s.%s) = (SELECT max(version_id) FROM %s.%[2]s)`, templateSchema, table, spareSchema)
	}
	err = q.QueryRowContext(ctx, `SELECT `+same(d)+` AND `+same(s)).Scan(&current)
	return there, current, err
}
