package sqldb

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/postern-sso/postern/core"
)

// templateSchema is like a tenant's, without what each tenant has of its own: it is
// migrated, and those of new tenants are its clones. No tenant can be called so.
const templateSchema = "template"

//go:embed clone.sql
var cloneSQL string

// foundSchema takes a clone of the template, seeds it and registers it, in one transaction.
func (db *DB) foundSchema(ctx context.Context, e *postgresEngine, t *core.Tenant, pair *core.KeyPair) error {
	if err := e.makeTemplate(ctx); err != nil {
		return fmt.Errorf("create tenant: %w", err)
	}
	return db.write(ctx, core.DefaultTenant, directory, "create tenant", func(x *tx) error {
		// Two nodes that make the same tenant take turns, and the second is told so.
		if err := x.register(ctx, t); err != nil {
			return err
		}
		taken, err := e.takeSpare(ctx, x.q, e.schemaOf(t.ID))
		if err == nil && !taken {
			err = e.clone(ctx, x.q, e.schemaOf(t.ID))
		}
		if err != nil {
			return err
		}
		if err := e.enter(ctx, x.q, t.ID); err != nil {
			return err
		}
		inside := &tx{conn: conn{q: x.q, tenant: t.ID, db: db, call: x.call}}
		if err := inside.seed(ctx, t.UUID, pair); err != nil {
			return fmt.Errorf("seed tenant: %w", err)
		}
		if err := inside.appendOutbox(ctx); err != nil {
			return err
		}
		return e.enter(ctx, x.q, core.DefaultTenant)
	})
}

// makeTemplate makes the schema that tenants are cloned from, or brings it up to date. A
// schema of that name that somebody else made is left alone.
func (e *postgresEngine) makeTemplate(ctx context.Context) error {
	foreign, err := e.tables(ctx, `SELECT schemaname, tablename FROM pg_catalog.pg_tables
		WHERE schemaname = $1 AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2)
		ORDER BY 1, 2`, templateSchema, directory.versionTable())
	if err != nil {
		return err
	}
	if len(foreign) > 0 {
		return fmt.Errorf("the schema %q is another program's (%s): new tenants are cloned from a schema of that name; give Postern a database of its own", templateSchema, list(foreign))
	}
	return e.migrateWhereDue(ctx, templateSchema, true)
}

// updateTemplate leaves alone what is not there or another program's.
func (e *postgresEngine) updateTemplate(ctx context.Context) error {
	there, err := e.hasTables(ctx, templateSchema)
	if err != nil || !there {
		return err
	}
	return e.migrateWhereDue(ctx, templateSchema, false)
}

// clone makes a schema with the template's tables, in all that the catalog knows of them,
// and its rows. Names are taken over, too: later migrations ask for them.
func (e *postgresEngine) clone(ctx context.Context, q queryer, to string) error {
	text := strings.NewReplacer("'FROM'", literal(templateSchema), "'TO'", literal(to)).Replace(cloneSQL)
	_, err := q.ExecContext(ctx, text, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return fmt.Errorf("clone the schema %q: %w", templateSchema, e.taken(err))
	}
	return nil
}

// taken says it where there is a schema of a new tenant's name.
func (*postgresEngine) taken(err error) error {
	if sqlState(err) != "42P06" { // duplicate_schema
		return err
	}
	return unwrapped{&core.FieldError{Field: "schema_name",
		Message: "The database has a schema of that name, of no tenant that is registered: move it away, or choose another name."}}
}

// literal makes a text a constant of SQL.
func literal(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }

// dropSchema removes the tenant's tables and its line in the registry in one transaction.
// Who is at work in them ends first, or finds none.
func (db *DB) dropSchema(ctx context.Context, e *postgresEngine, id core.TenantID, uuid string) error {
	err := db.write(ctx, core.DefaultTenant, directory, "delete tenant", func(x *tx) error {
		if err := x.unregister(ctx, id, uuid); err != nil {
			return err
		}
		// In the order in which nodes that follow the outbox lock them, so that neither
		// waits for the other.
		schema := quote(e.schemaOf(id))
		for _, table := range []string{"counters", "outbox"} {
			if err := x.exec(ctx, `LOCK TABLE `+schema+`.`+table+` IN ACCESS EXCLUSIVE MODE`); err != nil {
				return err
			}
		}
		return x.exec(ctx, `DROP SCHEMA `+schema+` CASCADE`)
	})
	if err != nil {
		return err
	}
	if err := db.loadRegistry(ctx); err != nil { // forgets it
		return errors.Join(errors.New("delete tenant: it is gone, and the registry could not be read"), err)
	}
	return nil
}
