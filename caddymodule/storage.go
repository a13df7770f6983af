package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
)

func init() {
	caddy.RegisterModule(new(Storage))
}

// Storage keeps what Caddy keeps in the database of the app `postern`: certificates with their
// private keys, OCSP staples, ACME accounts, the root of the internal CA, and locks. Nodes that
// share a PostgreSQL database share these, too, and each certificate is ordered once. At rest
// what the files hold is encrypted under the master secret; backups have it.
type Storage struct {
	app *App

	mu     sync.Mutex
	shared *shared
	closed bool
}

// CaddyModule returns the Caddy module information.
func (*Storage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.postern", New: func() caddy.Module { return new(Storage) }}
}

// Provision finds the app, which is there without being configured. It opens nothing: what asks
// first does, which may be the internal CA before any app has started.
func (s *Storage) Provision(ctx caddy.Context) (err error) {
	if ctx.FileSystems() != ctx.FileSystems() { // new each time: there is no configuration
		return errors.New("this command reads nothing but the option `storage`, and where the data is stands in the option `postern`: to carry what Caddy keeps elsewhere use `caddy postern backup` and `restore`")
	}
	s.app, err = loadApp(ctx)
	return err
}

// UnmarshalCaddyfile sets up the module:
//
//	storage postern
func (*Storage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() || d.NextBlock(d.Nesting()) {
		return d.Errf("storage postern takes no settings, and %q is one: the database is that of the option postern, postern { database … }", d.Val())
	}
	return nil
}

// UnmarshalJSON takes no settings.
func (s *Storage) UnmarshalJSON(text []byte) error { return strict(text, s) }

// CertMagicStorage returns the storage itself.
func (s *Storage) CertMagicStorage() (certmagic.Storage, error) { return s, nil }

// Cleanup lets go of the stores. What of this configuration still runs may give back its locks.
func (s *Storage) Cleanup() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := s.closed
	s.closed = true
	if again || s.shared == nil {
		return nil
	}
	return release(s.app.settings.poolKey())
}

// open opens the stores, or takes over those that are open.
func (s *Storage) open() (_ *shared, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.shared != nil:
		return s.shared, nil
	case s.closed:
		return nil, errors.New("storage postern: its configuration has ended")
	}
	if s.shared, err = acquire(s.app.ctx, s.app.settings, s.app.log); err != nil {
		return nil, fmt.Errorf("storage postern: %w", err)
	}
	return s.shared, nil
}

// Store puts value at key.
func (s *Storage) Store(ctx context.Context, key string, value []byte) error {
	sh, err := s.open()
	if err != nil {
		return err
	}
	return sh.db.StoreFile(ctx, key, value)
}

// Load returns the value at key.
func (s *Storage) Load(ctx context.Context, key string) ([]byte, error) {
	sh, err := s.open()
	if err != nil {
		return nil, err
	}
	return sh.db.LoadFile(ctx, key)
}

// Delete removes key and all below it.
func (s *Storage) Delete(ctx context.Context, key string) error {
	sh, err := s.open()
	if err != nil {
		return err
	}
	return sh.db.DeleteFiles(ctx, key)
}

// Exists reports whether there is a value at key or below it.
func (s *Storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List returns the keys below one.
func (s *Storage) List(ctx context.Context, key string, recursive bool) ([]string, error) {
	sh, err := s.open()
	if err != nil {
		return nil, err
	}
	return sh.db.ListFiles(ctx, key, recursive)
}

// Stat tells of what is at key.
func (s *Storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	sh, err := s.open()
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	info, err := sh.db.FileInfo(ctx, key)
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	return certmagic.KeyInfo{Key: key, Modified: info.Modified, Size: info.Size, IsTerminal: !info.Folder}, nil
}

// Lock waits for a lock.
func (s *Storage) Lock(ctx context.Context, name string) error {
	sh, err := s.open()
	if err != nil {
		return err
	}
	return sh.locks.Lock(ctx, name)
}

// TryLock takes a lock if nobody has it.
func (s *Storage) TryLock(ctx context.Context, name string) (bool, error) {
	sh, err := s.open()
	if err != nil {
		return false, err
	}
	return sh.locks.TryLock(ctx, name)
}

// RenewLockLease returns an error where the lock was lost. One that is held is kept for however
// long it takes, and is free soon after its node has died: so the duration does not matter.
func (s *Storage) RenewLockLease(ctx context.Context, name string, _ time.Duration) error {
	sh, err := s.open()
	if err != nil {
		return err
	}
	return sh.locks.Renew(ctx, name)
}

// Unlock gives back a lock that this node has.
func (s *Storage) Unlock(ctx context.Context, name string) error {
	sh, err := s.open()
	if err != nil {
		return err
	}
	return sh.locks.Unlock(ctx, name)
}

// String is how logs call it.
func (*Storage) String() string { return "postern" }

var (
	_ caddy.StorageConverter     = (*Storage)(nil)
	_ caddy.Provisioner          = (*Storage)(nil)
	_ caddy.CleanerUpper         = (*Storage)(nil)
	_ caddyfile.Unmarshaler      = (*Storage)(nil)
	_ json.Unmarshaler           = (*Storage)(nil)
	_ certmagic.Storage          = (*Storage)(nil)
	_ certmagic.TryLocker        = (*Storage)(nil)
	_ certmagic.LockLeaseRenewer = (*Storage)(nil)
)
