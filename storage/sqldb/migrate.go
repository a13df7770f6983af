package sqldb

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/postern-sso/postern/storage/backup"
)

//go:embed migrations/*.sql migrations/sessions/*.sql
var migrations embed.FS

const (
	sqliteDialect   = database.DialectSQLite3
	postgresDialect = database.DialectPostgres
)

// versionTable is where goose keeps the version of a part.
func (p part) versionTable() string {
	if p == sessions {
		return "postern_sessions_version"
	}
	return "postern_version"
}

// migrationSet says which of a part's migrations are to run.
type migrationSet struct {
	part part
	upTo int64 // 0: all
	more fs.FS // of a version to come, where a test brings some
}

// migrate brings a part's tables up to date. A database of a newer version is
// left as it is: this version uses the tables and columns that it knows.
func migrate(ctx context.Context, db *sql.DB, dialect database.Dialect, set migrationSet) error {
	p := set.part
	files, newest, err := migrationFiles(dialect, set)
	if err != nil {
		return err
	}
	if dialect == sqliteDialect { // for PostgreSQL it was asked before: see postgresEngine.due
		// goose would do the same check with many more queries: this one is all
		// that most starts do.
		var version sql.NullInt64
		err = db.QueryRowContext(ctx, `SELECT max(version_id) FROM `+p.versionTable()).Scan(&version)
		if err == nil && version.Int64 >= newest {
			return nil
		}
	}
	provider, err := goose.NewProvider(dialect, db, files, goose.WithTableName(p.versionTable()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// migrationFiles are the migrations in the words of a dialect, and the newest
// version among them. (fstest.MapFS is just a file system in memory.)
func migrationFiles(dialect database.Dialect, set migrationSet) (fs.FS, int64, error) {
	dir := "migrations"
	if set.part == sessions {
		dir = "migrations/sessions"
	}
	out := fstest.MapFS{}
	var newest int64
	for _, from := range []fs.FS{migrations, set.more} {
		if from == nil {
			continue
		}
		entries, err := fs.ReadDir(from, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, err
		}
		for _, e := range entries {
			if e.IsDir() || !written(e.Name(), dialect) {
				continue
			}
			v, err := goose.NumericComponent(e.Name())
			if err != nil {
				return nil, 0, err
			}
			if set.upTo != 0 && v > set.upTo {
				continue
			}
			text, err := fs.ReadFile(from, dir+"/"+e.Name())
			if err != nil {
				return nil, 0, err
			}
			if dialect == postgresDialect {
				text = bytes.ReplaceAll(text, []byte("COLLATE BINARY"), []byte(`COLLATE "C"`))
			}
			newest = max(newest, v)
			out[e.Name()] = &fstest.MapFile{Data: text, Mode: 0o444}
		}
	}
	return out, newest, nil
}

// written reports whether a migration is for a dialect: few have two texts, of which each names
// the database that it is for.
func written(name string, dialect database.Dialect) bool {
	other := ".postgres.sql"
	if dialect == postgresDialect {
		other = ".sqlite.sql"
	}
	return !strings.HasSuffix(name, other)
}

// newestSchema is what this version's tables are.
func newestSchema(more fs.FS) (out backup.Schema, err error) {
	if _, out.Directory, err = migrationFiles(sqliteDialect, migrationSet{part: directory, more: more}); err != nil {
		return out, err
	}
	_, out.Sessions, err = migrationFiles(sqliteDialect, migrationSet{part: sessions, more: more})
	return out, err
}
