package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/backup"
)

// A backup is loaded into Dir/restore.tmp. Giving that the name Dir/restored is what
// commits it: from there on it takes the place of Dir/tenants, now or at the next
// start, whatever happens.
const (
	stagingName  = "restore.tmp"
	restoredName = "restored"
	replacedName = "tenants.replaced"
)

// sqliteStaging loads files.
type sqliteStaging struct {
	e         *sqliteEngine
	dir       string
	at        func(string)
	now       core.TenantID
	open      []*sqliteLoad
	committed bool
}

// sqliteLoad is one file while it is filled, in one transaction.
type sqliteLoad struct {
	path string
	db   *sql.DB
	tx   *sql.Tx
	has  map[string]table
}

func (e *sqliteEngine) stage(context.Context) (staging, error) {
	abs, err := filepath.Abs(filepath.Join(e.dir, stagingName))
	if err != nil {
		return nil, err
	}
	return &sqliteStaging{e: e, dir: abs, at: e.at}, os.Mkdir(abs, 0o700)
}

func (s *sqliteStaging) begin(ctx context.Context, t core.TenantID, of backup.Schema) error {
	s.now, s.open = t, nil
	for p := range parts {
		version := of.Directory
		if p == sessions {
			version = of.Sessions
		}
		template := filepath.Join(s.dir, fmt.Sprintf("template.%d%s", version, p.suffix()))
		if _, err := os.Stat(template); errors.Is(err, os.ErrNotExist) {
			if err := makeFile(ctx, template, migrationSet{part: p, upTo: version, more: s.e.more}); err != nil {
				return err
			}
		}
		l := &sqliteLoad{path: filepath.Join(s.dir, string(t)+p.suffix())}
		if err := copyFile(template, l.path); err != nil {
			return err
		}
		s.open = append(s.open, l)
		if err := l.begin(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin opens the file as fast as can be: a crash leaves nothing that anybody reads.
func (l *sqliteLoad) begin(ctx context.Context) (err error) {
	v := url.Values{"_pragma": {"foreign_keys(0)", "synchronous(OFF)", "journal_mode(MEMORY)", "trusted_schema(0)"}, "mode": {"rw"}}
	if l.db, err = sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.ToSlash(l.path), RawQuery: v.Encode()}).String()); err != nil {
		return err
	}
	l.db.SetMaxOpenConns(1)
	if l.tx, err = l.db.BeginTx(ctx, nil); err != nil {
		return err
	}
	tables, err := sqliteTables(ctx, l.tx)
	if err != nil {
		return err
	}
	l.has = map[string]table{}
	for _, t := range tables {
		l.has[t.name] = t
		// Migrations put rows into some.
		if _, err := l.tx.ExecContext(ctx, `DELETE FROM `+quote(t.name)); err != nil { //nolint:gosec // quoted
			return err
		}
	}
	return nil
}

func (l *sqliteLoad) close() error {
	var errs []error
	if l.tx != nil {
		if err := l.tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
			errs = append(errs, err)
		}
	}
	if l.db != nil {
		errs = append(errs, l.db.Close())
	}
	return errors.Join(errs...)
}

func (s *sqliteStaging) tables() map[string]table {
	all := map[string]table{}
	for _, l := range s.open {
		for name, t := range l.has {
			all[name] = t
		}
	}
	return all
}

func (s *sqliteStaging) load(ctx context.Context, tab table, columns []string, next func() ([]any, error)) (err error) {
	for _, l := range s.open {
		if _, ok := l.has[tab.name]; !ok {
			continue
		}
		marks := strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")
		query := `INSERT INTO ` + quote(tab.name) + ` (` + quoteAll(columns) + `) VALUES (` + marks + `)` //nolint:gosec // quoted
		insert, err := l.tx.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, insert.Close()) }()
		for {
			values, err := next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if _, err := insert.ExecContext(ctx, values...); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("no table %s", tab.name)
}

func (s *sqliteStaging) end(ctx context.Context, counters map[string]int64, migrated bool) error {
	for p, l := range s.open {
		if err := l.end(ctx, counters); err != nil {
			return errors.Join(err, l.close())
		}
		if err := l.close(); err != nil {
			return err
		}
		if migrated {
			if err := s.e.migrateFile(ctx, l.path, part(p)); err != nil {
				return err
			}
		}
		if err := syncPath(l.path); err != nil {
			return err
		}
	}
	s.open = nil
	return nil
}

func (l *sqliteLoad) end(ctx context.Context, counters map[string]int64) error {
	var dangling string
	err := l.tx.QueryRowContext(ctx, `SELECT coalesce(min("table" || ', which refers to ' || parent), '') FROM pragma_foreign_key_check`).Scan(&dangling)
	if err != nil {
		return err
	}
	if dangling != "" {
		return fmt.Errorf("%w: a row refers to one that is not there: %s", backup.ErrCorrupt, dangling)
	}
	if _, ok := l.has["counters"]; ok {
		for name, value := range counters {
			if _, err := l.tx.ExecContext(ctx, `UPDATE counters SET value = $2 WHERE name = $1 AND value < $2`, name, value); err != nil {
				return err
			}
		}
	}
	return l.tx.Commit()
}

func (s *sqliteStaging) commit(context.Context) error {
	templates, err := filepath.Glob(filepath.Join(s.dir, "template.*"))
	if err != nil {
		return err
	}
	for _, name := range templates {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	if err := s.e.closeFiles(); err != nil { // of what is replaced
		return err
	}
	if err := syncPath(s.dir); err != nil {
		return err
	}
	s.reached("staged")
	if err := os.Rename(s.dir, filepath.Join(s.e.dir, restoredName)); err != nil {
		return err
	}
	s.committed = true
	if err := syncPath(s.e.dir); err != nil {
		return err
	}
	s.reached("committed")
	return finishRestore(s.e.dir)
}

func (s *sqliteStaging) reached(what string) {
	if s.at != nil {
		s.at(what)
	}
}

func (s *sqliteStaging) drop(context.Context) error {
	var errs []error
	for _, l := range s.open {
		errs = append(errs, l.close())
	}
	if !s.committed {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// finishRestore goes on with a restore that a crash ended: one that was not
// committed is removed, one that was takes its place. It is called under the lock.
func finishRestore(dir string) error {
	restored, tenants, replaced := filepath.Join(dir, restoredName), filepath.Join(dir, "tenants"), filepath.Join(dir, replacedName)
	if err := os.RemoveAll(filepath.Join(dir, stagingName)); err != nil {
		return err
	}
	if _, err := os.Stat(restored); err == nil {
		// The templates may be of another version than what comes.
		old, err := filepath.Glob(filepath.Join(dir, "template*.db*"))
		if err != nil {
			return err
		}
		for _, name := range old {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
		if _, err := os.Stat(tenants); err == nil {
			if err := os.RemoveAll(replaced); err != nil {
				return err
			}
			if err := os.Rename(tenants, replaced); err != nil {
				return err
			}
		}
		if err := os.Rename(restored, tenants); err != nil {
			return err
		}
		if err := syncPath(dir); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(replaced)
}
