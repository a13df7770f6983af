package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/postern-sso/postern/core"
)

// Readers of one file. SQLite in WAL mode reads without waiting for its writer.
const sqliteReaders = 4

// sqliteEngine keeps each tenant in two files of its own under Dir/tenants, copied
// from a template that was migrated once.
type sqliteEngine struct {
	dir  string
	max  int
	lock *dirLock
	more fs.FS // see migrationSet
	at   func(string)

	mu   sync.Mutex
	open map[core.TenantID]*sqliteFiles
	tick int64 // grows with each use: the least recent is closed first

	writers sync.Map // file to *commits
}

// file is one of a tenant's.
type file struct {
	tenant core.TenantID
	part   part
}

// sqliteFiles are a tenant's open files.
type sqliteFiles struct {
	pools [parts]sqlitePool
	users int   // connections given out
	used  int64 // tick of the last use
}

// sqlitePool has one connection that writes and some that read.
type sqlitePool struct{ read, write *sql.DB }

func openSQLite(ctx context.Context, opt Options) (_ engine, err error) {
	if opt.Dir == "" {
		return nil, errors.New("no data directory given")
	}
	e := &sqliteEngine{dir: opt.Dir, max: opt.MaxOpen, more: opt.more, at: opt.at, open: map[core.TenantID]*sqliteFiles{}}
	if e.max <= 0 {
		e.max = 64
	}
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	if e.lock, err = lockDir(opt.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.lock.release())
		}
	}()
	if err := finishRestore(opt.Dir); err != nil {
		return nil, err
	}
	tenants := filepath.Join(opt.Dir, "tenants")
	if err := os.Mkdir(tenants, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Chmod(tenants, 0o700); err != nil { //nolint:gosec // a directory needs its x bit
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	if opt.offline {
		return e, nil
	}
	for p := range parts {
		if err := e.makeTemplate(ctx, p); err != nil {
			return nil, fmt.Errorf("make template: %w", err)
		}
	}
	return e, nil
}

// suffix of a part's file name.
func (p part) suffix() string {
	if p == sessions {
		return ".sessions.db"
	}
	return ".db"
}

// path of a tenant's file. An ID that is none never becomes one.
func (e *sqliteEngine) path(t core.TenantID, p part) (string, error) {
	if !validTenant(t) {
		return "", core.ErrNotFound
	}
	return filepath.Join(e.dir, "tenants", string(t)+p.suffix()), nil
}

func (*sqliteEngine) name() string { return "sqlite" }

func (e *sqliteEngine) exists(_ context.Context, t core.TenantID) (bool, error) {
	for p := range parts {
		path, err := e.path(t, p)
		if err != nil {
			return false, err
		}
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

func (e *sqliteEngine) create(ctx context.Context) error { return e.makeFiles(ctx, core.DefaultTenant) }

// updateTemplate has nothing to do: the files are brought up to date when the directory is opened.
func (*sqliteEngine) updateTemplate(context.Context) error { return nil }

func (e *sqliteEngine) update(ctx context.Context, t core.TenantID) error {
	path, err := e.path(t, directory)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("the file of the tenant %s: %w", t, err)
	}
	return e.makeFiles(ctx, t)
}

// makeFiles copies the template, which is up to date, where the tenant has no file, and migrates
// one that is there.
func (e *sqliteEngine) makeFiles(ctx context.Context, t core.TenantID) error {
	for p := range parts {
		path, err := e.path(t, p)
		if err != nil {
			return err
		}
		if err := removeScraps(path); err != nil {
			return err
		}
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if err := copyFile(filepath.Join(e.dir, "template"+p.suffix()), path); err != nil {
				return fmt.Errorf("copy template: %w", err)
			}
		} else if err != nil {
			return err
		} else if err := e.migrateFile(ctx, path, p); err != nil {
			return err
		}
	}
	return nil
}

func (e *sqliteEngine) migrateFile(ctx context.Context, path string, p part) error {
	return migrateFile(ctx, path, migrationSet{part: p, more: e.more})
}

func migrateFile(ctx context.Context, path string, set migrationSet) (err error) {
	db, err := openFile(path, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return migrate(ctx, db, sqliteDialect, set)
}

// undoInMemory keeps what a savepoint may have to put back, which else is a file of its own: a few pages of each
// of the writes that share a commit.
const undoInMemory = "temp_store(MEMORY)"

// openFile opens a pool on one file. With write set it has one connection, whose
// transactions take the write lock when they begin, so that none fails halfway.
func openFile(path string, write bool, pragmas ...string) (*sql.DB, error) {
	v := url.Values{"_pragma": pragmas}
	v.Add("_pragma", "busy_timeout(10000)")
	v.Add("_pragma", "foreign_keys(1)")
	v.Add("_pragma", "synchronous(FULL)")
	v.Add("_pragma", "trusted_schema(0)")
	v.Add("_pragma", "cache_size(-512)") // KiB, for each connection
	v.Set("mode", "rw")                  // never make a file: create does
	if write {
		v.Add("_pragma", "journal_mode(WAL)")
		v.Add("_pragma", "wal_autocheckpoint(4000)") // pages, 16 MB: a page that many transactions write is copied once for all of them
		v.Set("_txlock", "immediate")
	} else {
		v.Set("_query_only", "1")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	db, err := openConns((&url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: v.Encode()}).String())
	if err != nil {
		return nil, err
	}
	n := sqliteReaders
	if write {
		n = 1
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

func (e *sqliteEngine) conn(ctx context.Context, t core.TenantID, p part, write bool) (*sql.Conn, func(), error) {
	f, err := e.acquire(t)
	if err != nil {
		return nil, nil, err
	}
	pool := f.pools[p].read
	if write {
		pool = f.pools[p].write
	}
	c, err := pool.Conn(ctx)
	if err != nil {
		e.release(f)
		return nil, nil, err
	}
	return c, func() {
		c.Close() //nolint:gosec // gives the connection back; it has no error to tell
		e.release(f)
	}, nil
}

// acquire opens a tenant's files where they are not open, and closes those
// least recently used where too many are.
func (e *sqliteEngine) acquire(t core.TenantID) (*sqliteFiles, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open == nil {
		return nil, errors.New("directory is closed")
	}
	f := e.open[t]
	if f == nil {
		f = new(sqliteFiles)
		for p := range parts {
			path, err := e.path(t, p)
			if err == nil {
				f.pools[p].read, err = openFile(path, false)
			}
			if err == nil {
				f.pools[p].write, err = openFile(path, true, undoInMemory)
			}
			if err != nil {
				return nil, errors.Join(err, f.close())
			}
		}
		e.open[t] = f
	}
	f.users++
	e.tick++
	f.used = e.tick
	for len(e.open) > e.max && e.closeOldest() {
	}
	return f, nil
}

func (e *sqliteEngine) closeOldest() bool {
	var oldest core.TenantID
	for t, f := range e.open {
		if f.users == 0 && t != core.DefaultTenant && (oldest == "" || f.used < e.open[oldest].used) {
			oldest = t
		}
	}
	if oldest == "" {
		return false
	}
	f := e.open[oldest]
	delete(e.open, oldest)
	f.close() //nolint:gosec // idle: every transaction has ended
	return true
}

func (e *sqliteEngine) release(f *sqliteFiles) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f.users--
}

// drop removes a tenant's files. Nobody may be using them.
func (e *sqliteEngine) drop(t core.TenantID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	if f := e.open[t]; f != nil {
		delete(e.open, t)
		errs = append(errs, f.close())
	}
	for p := range parts {
		e.writers.Delete(file{t, p})
		path, err := e.path(t, p)
		if err != nil {
			return err
		}
		// The file itself first: its log alone is replayed into nothing.
		for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
			if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		errs = append(errs, removeScraps(path))
	}
	return errors.Join(append(errs, syncPath(filepath.Join(e.dir, "tenants")))...)
}

func (f *sqliteFiles) close() error {
	var errs []error
	for _, p := range f.pools {
		// The writer last: the last connection to close folds the log into the file.
		for _, db := range []*sql.DB{p.read, p.write} {
			if db != nil {
				errs = append(errs, db.Close())
			}
		}
	}
	return errors.Join(errs...)
}

func (e *sqliteEngine) close() error {
	return errors.Join(e.closeFiles(), e.lock.release())
}

// closeFiles closes all tenants, for good.
func (e *sqliteEngine) closeFiles() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, f := range e.open {
		errs = append(errs, f.close())
	}
	e.open = nil
	return errors.Join(errs...)
}

func (*sqliteEngine) pooled() bool     { return false }
func (*sqliteEngine) writable() string { return `SELECT 'off'` }
func (*sqliteEngine) shared() bool     { return false }
func (*sqliteEngine) joined() bool     { return false }
func (e *sqliteEngine) commits(t core.TenantID, p part) *commits {
	k := file{t, p}
	if g, ok := e.writers.Load(k); ok {
		return g.(*commits)
	}
	g, _ := e.writers.LoadOrStore(k, new(commits))
	return g.(*commits)
}

func (*sqliteEngine) forUpdate() string { return "" }

func (*sqliteEngine) clock() string { return `CAST(unixepoch('subsec') * 1000000 AS INTEGER)` }

func (*sqliteEngine) busy(err error) bool {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return false
	}
	code := se.Code() & 0xff
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

func (*sqliteEngine) unique(err error) (string, bool) {
	var se *sqlite.Error
	if !errors.As(err, &se) || (se.Code() != sqlite3.SQLITE_CONSTRAINT_UNIQUE && se.Code() != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return "", false
	}
	// "… UNIQUE constraint failed: mappings.kind, mappings.name (2067)"
	_, list, _ := strings.Cut(se.Error(), "constraint failed: UNIQUE constraint failed: ")
	list, _, _ = strings.Cut(list, " (")
	var table string
	var columns []string
	for name := range strings.SplitSeq(list, ", ") {
		tab, col, _ := strings.Cut(name, ".")
		table = tab
		columns = append(columns, col)
	}
	return table + "." + strings.Join(columns, "_"), true
}

// A file has no connection to lose.
func (*sqliteEngine) lost(error) bool { return false }

func (*sqliteEngine) away(error) bool { return false }

func (*sqliteEngine) spoil(*sql.Conn, error) {}

func (*sqliteEngine) enter(context.Context, queryer, core.TenantID) error { return nil }

// Nobody else deletes a file.
func (*sqliteEngine) missing(error) bool { return false }

// announce has nobody to tell.
func (*sqliteEngine) announce(context.Context, queryer, core.TenantID) error { return nil }

// SQLite's indexes take any length.
func (*sqliteEngine) tooLong(error) bool { return false }

func (*sqliteEngine) reference(err error) bool {
	var se *sqlite.Error
	return errors.As(err, &se) && se.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}
