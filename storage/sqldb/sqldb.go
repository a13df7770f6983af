package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/core/session"
)

var (
	// ErrLocked: another process, or another Open of this one, has the data
	// directory open. The error text names the process.
	ErrLocked = errors.New("in use by another process")
	// ErrPooled: who else is connected cannot be told through a pooler.
	ErrPooled = errors.New("a pooler stands before the database")
	// ErrOtherSecret: the data was written with another master secret.
	ErrOtherSecret = errors.New("written with another secret")
	// ErrForeign: the database holds authentik's own tables. Nothing of it was
	// touched.
	ErrForeign = errors.New("holds authentik's own tables")
)

// Options say where the data is.
type Options struct {
	// URL is "sqlite" or empty, for files under Dir, or a postgres:// URL.
	URL string
	// Dir is the data directory, made where it is absent. On PostgreSQL it is only
	// where snapshots are kept.
	Dir string
	// Product is the version that is running: snapshots name it.
	Product string
	// Master encrypts client secrets, private keys and token keys. Required. What
	// secrets before it sealed is sealed anew when the directory is opened.
	Master *keys.Master
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Log is told what a caller cannot be. Default: slog.Default.
	Log *slog.Logger
	// Mappings are the property mappings that every tenant has: those whose
	// Managed name is missing are made when a tenant is first opened.
	Mappings []core.PropertyMapping
	// NewKeyPair makes the key pair named core.SelfSignedKeyPair where a tenant
	// has none. Nil: none is made.
	NewKeyPair func() (*core.KeyPair, error)
	// MaxOpen is how many tenants' SQLite files are kept open. Default 64; those
	// in use are never closed.
	MaxOpen int

	offline bool              // tables are neither made nor migrated
	more    fs.FS             // see migrationSet
	at      func(what string) // told where an upgrade or a restore is, where a test asks
}

// reached tells a test how far it is.
func (o *Options) reached(what string) {
	if o.at != nil {
		o.at(what)
	}
}

// DB is an open directory. Its methods may be called at the same time from any
// number of goroutines.
type DB struct {
	// OnChange, where set before the first use, is called after each commit with
	// what changed, in the goroutine of the caller: it must be quick.
	OnChange func(core.TenantID, []core.Change)
	// Publish, where set before the first use, is called after OnChange for what this
	// node itself changed, with the last line: other nodes may be given Hints by it.
	Publish func(t core.TenantID, seq int64)

	opt        Options
	now        func() time.Time
	log        *slog.Logger
	master     *keys.Master
	engine     engine
	registry   atomic.Pointer[registry]
	reload     sync.Mutex // held while the registry is read again
	background sync.WaitGroup
	open       context.Context //nolint:containedctx // done when the directory is to be closed: what is in the background ends
	close      context.CancelFunc
	rewrapped  int // set while it is opened
	disk       disk

	maxDomains, maxHosts int // of a tenant
	fewPeople            int // of whom a search asks no index: see maxFound
	textsRoom            int // bytes, of all tenants: see maxAllTexts
	textsIdle            time.Duration
	texting              sync.Mutex // held while a tenant's texts are read, for which there must be room

	founding  sync.Mutex // held while a tenant is made or deleted
	sparing   sync.Mutex // held while the next one's tables are made
	mu        sync.Mutex
	listeners map[int]func(core.TenantID, []core.Change)
	nextID    int
	tenants   map[core.TenantID]*tenantState
	leaving   map[core.TenantID][]<-chan struct{} // of those that were forgotten while somebody was inside
	rooms     sync.Map                            // core.TenantID to *room, of authorization requests

	follower follower
	trace    func(core.TenantID, string, []any) // for tests: hears of every statement
}

var (
	_ core.Tenants         = (*DB)(nil)
	_ core.Users           = (*DB)(nil)
	_ core.Applications    = (*DB)(nil)
	_ core.Events          = (*DB)(nil)
	_ api.Store            = (*DB)(nil)
	_ oidc.Store           = (*DB)(nil)
	_ session.Store        = (*DB)(nil)
	_ login.Store          = (*DB)(nil)
	_ keys.Store           = (*DB)(nil)
	_ expression.Directory = (*DB)(nil)
)

// Open opens the directory, makes it where it is absent, migrates it, and
// checks that the master secret is the one it was written with. A directory of
// a newer version opens as long as the tables that this version needs are there.
// The errors ErrLocked, ErrOtherSecret and ErrForeign may be in what it returns.
func Open(ctx context.Context, opt Options) (*DB, error) {
	if opt.Master == nil {
		return nil, errors.New("open directory: no master secret given")
	}
	db := &DB{opt: opt, maxDomains: maxDomains, maxHosts: maxApplicationHosts, fewPeople: maxFound, textsRoom: maxAllTexts, textsIdle: textsIdle, now: opt.Now, log: opt.Log, master: opt.Master,
		listeners: map[int]func(core.TenantID, []core.Change){}, tenants: map[core.TenantID]*tenantState{}, leaving: map[core.TenantID][]<-chan struct{}{},
		follower: follower{places: map[core.TenantID]place{}, echoes: map[core.TenantID]echoes{}}}
	db.open, db.close = context.WithCancel(context.Background())
	if db.now == nil {
		db.now = time.Now
	}
	if db.log == nil {
		db.log = slog.Default()
	}
	var err error
	switch scheme, _, _ := strings.Cut(opt.URL, ":"); scheme {
	case "", "sqlite":
		db.engine, err = openSQLite(ctx, opt)
	case "postgres", "postgresql":
		db.engine, err = openPostgres(ctx, opt)
	default:
		// The URL itself may hold a password: it is not printed.
		return nil, fmt.Errorf("open directory: database %q is not known: write sqlite or a postgres:// URL", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	if err := db.start(ctx); err != nil {
		return nil, fmt.Errorf("open directory: %w", errors.Join(err, db.engine.close()))
	}
	return db, nil
}

// start readies the default tenant and reads the registry.
func (db *DB) start(ctx context.Context) error {
	if err := db.upgrade(ctx); err != nil {
		return err
	}
	if err := db.engine.create(ctx); err != nil {
		return err
	}
	rewrap, err := db.checkSecret(ctx)
	if err != nil {
		return err
	}
	if err := db.registerDefault(ctx); err != nil {
		return err
	}
	if err := db.loadRegistry(ctx); err != nil {
		return err
	}
	if err := db.removeScrap(ctx); err != nil {
		return err
	}
	if err := db.endLeases(ctx); err != nil {
		return err
	}
	if rewrap {
		if err := db.rewrap(ctx); err != nil {
			return err
		}
	}
	if err := db.seed(ctx, core.DefaultTenant); err != nil {
		return err
	}
	db.tenants[core.DefaultTenant] = &tenantState{ready: true}
	return db.followFrom(ctx, core.DefaultTenant)
}

// Close expects that callers have ended their work. What was committed is on the
// disk.
func (db *DB) Close() error {
	db.close()
	db.background.Wait()
	if err := db.engine.close(); err != nil {
		return fmt.Errorf("close directory: %w", err)
	}
	return nil
}

// Now is the directory's clock.
func (db *DB) Now() time.Time { return db.now() }

// Ping tells whether the directory answers, and whether it takes writes.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.writes(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return db.read(ctx, core.DefaultTenant, directory, "ping", func(q *conn) error {
		var readOnly string
		err := q.row(ctx, db.engine.writable()).Scan(&readOnly)
		if err == nil && readOnly != "off" {
			return fmt.Errorf("the database is read-only: %w", core.ErrUnavailable)
		}
		return err
	})
}

// Listen calls f as OnChange is called, until stop is called.
func (db *DB) Listen(f func(core.TenantID, []core.Change)) (stop func()) {
	db.mu.Lock()
	defer db.mu.Unlock()
	id := db.nextID
	db.nextID++
	db.listeners[id] = f
	return func() {
		db.mu.Lock()
		defer db.mu.Unlock()
		delete(db.listeners, id)
	}
}

func (db *DB) notify(t core.TenantID, changes []core.Change) {
	if len(changes) == 0 {
		return
	}
	if db.OnChange != nil {
		db.OnChange(t, changes)
	}
	db.mu.Lock()
	call := make([]func(core.TenantID, []core.Change), 0, len(db.listeners))
	for _, f := range db.listeners {
		call = append(call, f)
	}
	db.mu.Unlock()
	for _, f := range call {
		f(t, changes)
	}
}
