package sqldb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxNamed bounds how many tables a refusal names.
const maxNamed = 3

// refuseForeign looks for tables that somebody else's program made: authentik's own, in
// any schema, and in ours those that have the names of Postern's and are not
// its. It changes nothing.
func (e *postgresEngine) refuseForeign(ctx context.Context) error {
	authentik, err := e.tables(ctx, `SELECT schemaname, tablename FROM pg_catalog.pg_tables
		WHERE tablename LIKE 'authentik!_%' ESCAPE '!' OR tablename = 'django_migrations' AND schemaname = $1
		ORDER BY tablename <> 'authentik_core_user', tablename <> 'django_migrations', 1, 2 LIMIT 1000`, e.schema)
	if err != nil {
		return err
	}
	if len(authentik) > 0 {
		return fmt.Errorf("the database %q %w: %s. Postern would have to write beside them, and does not: give it a database of its own, made with `createdb`; nothing was changed",
			e.config.Database, ErrForeign, list(authentik))
	}
	ours, err := ownTables()
	if err != nil {
		return err
	}
	taken, err := e.tables(ctx, `SELECT schemaname, tablename FROM pg_catalog.pg_tables
		WHERE schemaname = $1 AND tablename = ANY (string_to_array($2, ' '))
			AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $3)
		ORDER BY 1, 2`, e.schema, strings.Join(ours, " "), directory.versionTable())
	if err != nil {
		return err
	}
	if len(taken) > 0 {
		return fmt.Errorf("the database %q holds tables of another program that have the names of Postern's (%w): %s. Give Postern a database of its own; nothing was changed",
			e.config.Database, errTaken, list(taken))
	}
	return nil
}

// errTaken: the tables are there, and Postern did not make them.
var errTaken = errors.New("no migration of Postern is recorded there")

// tables reads names as schema.table.
func (e *postgresEngine) tables(ctx context.Context, query string, args ...any) (found []string, err error) {
	rows, err := e.pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var schema, table string
		if err := rows.Scan(&schema, &table); err != nil {
			return nil, err
		}
		found = append(found, schema+"."+table)
	}
	return found, rows.Err()
}

// list names the first tables and counts the others.
func list(tables []string) string {
	text := strings.Join(tables[:min(len(tables), maxNamed)], ", ")
	if more := len(tables) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

var createTable = regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)

// ownTables are the tables that the first migrations make.
func ownTables() ([]string, error) {
	var out []string
	for _, name := range []string{"migrations/0001_init.sql", "migrations/sessions/0001_init.sql"} {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for _, m := range createTable.FindAllSubmatch(text, -1) {
			out = append(out, string(m[1]))
		}
	}
	slices.Sort(out)
	return out, nil
}
