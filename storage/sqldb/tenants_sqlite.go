package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// foundWait bounds what makes or removes a tenant.
	foundWait = time.Minute
	// leaveWait bounds how long a deletion waits for those who are at work in the tenant.
	leaveWait = 10 * time.Second
)

// scrapMark begins the name of a note in the registry: what is stored under the rest of
// the name is no tenant's, but half made or half removed, and may go.
const scrapMark = "scrap/"

// foundFiles makes a tenant's files before its line in the registry, and notes first that
// they are nobody's: a crash leaves no tenant, and what it leaves is removed.
func (db *DB) foundFiles(ctx context.Context, e *sqliteEngine, t *core.Tenant, pair *core.KeyPair) (err error) {
	marked, err := db.markScrap(ctx, t.ID)
	if err != nil {
		return err
	}
	if marked {
		if err := e.drop(t.ID); err != nil { // what an attempt before has left
			return fmt.Errorf("create tenant: %w", err)
		}
	}
	there, err := e.anyFile(t.ID)
	if err == nil && there {
		err = errors.Join(db.unmarkScrap(ctx, t.ID), &core.FieldError{Field: "schema_name",
			Message: "There are files of that name, of no tenant that is registered: move them away, or choose another name."})
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // else the next start would do it
			ctx := context.WithoutCancel(ctx)
			if derr := e.drop(t.ID); derr != nil {
				err = errors.Join(err, derr)
			} else {
				err = errors.Join(err, db.unmarkScrap(ctx, t.ID))
			}
		}
	}()
	if err := e.makeFiles(ctx, t.ID); err != nil {
		return fmt.Errorf("create tenant: %w", err)
	}
	err = db.rawWrite(ctx, t.ID, directory, "create tenant", func(x *tx) error { return x.seed(ctx, t.UUID, pair) })
	if err != nil {
		return err
	}
	return db.write(ctx, core.DefaultTenant, directory, "create tenant", func(x *tx) error {
		if err := x.register(ctx, t); err != nil {
			return err
		}
		return x.exec(ctx, `DELETE FROM meta WHERE name = $1`, scrapMark+string(t.ID))
	})
}

// dropFiles takes the tenant out of the registry before its files go: a crash between
// leaves a note, by which the next start removes them.
func (db *DB) dropFiles(ctx context.Context, e *sqliteEngine, id core.TenantID, uuid string) error {
	err := db.write(ctx, core.DefaultTenant, directory, "delete tenant", func(x *tx) error {
		if err := x.unregister(ctx, id, uuid); err != nil {
			return err
		}
		return x.exec(ctx, `INSERT INTO meta (name, value) VALUES ($1, '') ON CONFLICT (name) DO NOTHING`, scrapMark+string(id))
	})
	if err != nil {
		return err
	}
	if err := db.loadRegistry(ctx); err != nil { // forgets it
		return err
	}
	db.waitLeft(ctx, id)
	if err := e.drop(id); err != nil {
		return fmt.Errorf("delete tenant: it is gone, and its files will be at the next start: %w", err)
	}
	return db.unmarkScrap(ctx, id)
}

// markScrap notes that what is stored under the ID may go. It reports whether that was
// noted before.
func (db *DB) markScrap(ctx context.Context, id core.TenantID) (before bool, err error) {
	err = db.write(ctx, core.DefaultTenant, directory, "create tenant", func(x *tx) error {
		n, err := x.count(ctx, `INSERT INTO meta (name, value) VALUES ($1, '') ON CONFLICT (name) DO NOTHING`, scrapMark+string(id))
		before = n == 0
		return err
	})
	return before, err
}

func (db *DB) unmarkScrap(ctx context.Context, id core.TenantID) error {
	return db.rawWrite(ctx, core.DefaultTenant, directory, "tidy up", func(x *tx) error {
		return x.exec(ctx, `DELETE FROM meta WHERE name = $1`, scrapMark+string(id))
	})
}

// removeScrap ends, at the start, what a crash cut short.
func (db *DB) removeScrap(ctx context.Context) error {
	e, ok := db.engine.(*sqliteEngine)
	if !ok {
		return nil
	}
	var ids []core.TenantID
	err := db.rawRead(ctx, core.DefaultTenant, directory, "tidy up", func(q *conn) error {
		ids = nil
		return q.each(ctx, func(s scanner) error {
			var name string
			err := s.Scan(&name)
			ids = append(ids, core.TenantID(strings.TrimPrefix(name, scrapMark)))
			return err
		}, `SELECT name FROM meta WHERE name LIKE $1`, scrapMark+"%")
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if db.registry.Load().byID[id] != nil {
			return fmt.Errorf("tidy up: the tenant %s is registered, and noted as half removed", id) // nobody writes that
		}
		if err := e.drop(id); err != nil {
			return fmt.Errorf("tidy up: %w", err)
		}
		if err := db.unmarkScrap(ctx, id); err != nil {
			return err
		}
		db.log.InfoContext(ctx, "what a crash left of a tenant, half made or half deleted, is removed", "tenant", id)
	}
	return nil
}
