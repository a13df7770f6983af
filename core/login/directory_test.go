package login_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/storage/sqldb"
)

// directory is the real store, of two tenants, in SQLite. It notes the calls
// that a login makes, can be out of reach, and lists applications as an overlay
// in front of it does: those of a Caddyfile, with their allow_groups.
type directory struct {
	*sqldb.DB

	mu       sync.Mutex
	apps     map[core.TenantID][]core.Application
	provider map[core.ProviderID]core.Provider
	events   map[core.TenantID][]core.Event
	tokens   map[[32]byte]bool // hashes of links that were saved
	calls    []string          // names of methods, in order
	down     error             // what a method returns, where set
}

func newDirectory(t testing.TB, opt sqldb.Options) *directory {
	t.Helper()
	db, err := sqldb.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &directory{
		DB: db, apps: map[core.TenantID][]core.Application{}, provider: map[core.ProviderID]core.Provider{},
		events: map[core.TenantID][]core.Event{}, tokens: map[[32]byte]bool{},
	}
}

func (d *directory) called(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, name)
	return d.down
}

// callsSince returns the calls noted since it was last asked.
func (d *directory) callsSince() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.calls
	d.calls = nil
	return out
}

func (d *directory) UserByLogin(ctx context.Context, t core.TenantID, name string) (*core.User, error) {
	if err := d.called("UserByLogin"); err != nil {
		return nil, err
	}
	return d.DB.UserByLogin(ctx, t, name)
}

func (d *directory) PasswordHash(ctx context.Context, t core.TenantID, u core.UserID) (string, error) {
	if err := d.called("PasswordHash"); err != nil {
		return "", err
	}
	return d.DB.PasswordHash(ctx, t, u)
}

func (d *directory) RehashPassword(ctx context.Context, t core.TenantID, u core.UserID, old, hash string) error {
	if err := d.called("RehashPassword"); err != nil {
		return err
	}
	return d.DB.RehashPassword(ctx, t, u, old, hash)
}

func (d *directory) Failures(ctx context.Context, t core.TenantID, counters ...core.Counter) ([]core.Failures, error) {
	if err := d.called("Failures"); err != nil {
		return nil, err
	}
	return d.DB.Failures(ctx, t, counters...)
}

func (d *directory) Fail(ctx context.Context, t core.TenantID, accept func([]int) bool, counters ...core.Counter) ([]int, error) {
	if err := d.called("Fail"); err != nil {
		return nil, err
	}
	return d.DB.Fail(ctx, t, accept, counters...)
}

func (d *directory) FindSession(ctx context.Context, t core.TenantID, key [32]byte) (*core.Session, error) {
	if err := d.called("FindSession"); err != nil {
		return nil, err
	}
	return d.DB.FindSession(ctx, t, key)
}

func (d *directory) SaveSession(ctx context.Context, t core.TenantID, key [32]byte, s *core.Session) error {
	if err := d.called("SaveSession"); err != nil {
		return err
	}
	return d.DB.SaveSession(ctx, t, key, s)
}

func (d *directory) SaveLink(ctx context.Context, t core.TenantID, l *login.Link) error {
	d.mu.Lock()
	d.tokens[l.Hash] = true
	d.mu.Unlock()
	return d.DB.SaveLink(ctx, t, l)
}

func (d *directory) SetLastLogin(ctx context.Context, t core.TenantID, u core.UserID, at time.Time, e *core.Event) error {
	if err := d.called("SetLastLogin"); err != nil {
		return err
	}
	if e != nil {
		d.mu.Lock()
		d.events[t] = append(d.events[t], *e)
		d.mu.Unlock()
	}
	return d.DB.SetLastLogin(ctx, t, u, at, e)
}

func (d *directory) Record(ctx context.Context, t core.TenantID, e core.Event) error {
	if err := d.called("Record"); err != nil {
		return err
	}
	d.mu.Lock()
	d.events[t] = append(d.events[t], e)
	d.mu.Unlock()
	return d.DB.Record(ctx, t, e)
}

func (d *directory) Applications(_ context.Context, t core.TenantID) ([]core.Application, error) {
	return slices.SortedFunc(slices.Values(d.apps[t]), func(a, b core.Application) int {
		return cmp.Compare(core.Fold(a.Name), core.Fold(b.Name))
	}), d.called("Applications")
}

func (d *directory) ApplicationBySlug(_ context.Context, t core.TenantID, slug string) (*core.Application, error) {
	for _, a := range d.apps[t] {
		if a.Slug == slug {
			return &a, nil
		}
	}
	return nil, fmt.Errorf("application: %w", core.ErrNotFound)
}

func (d *directory) Provider(_ context.Context, _ core.TenantID, id core.ProviderID) (core.Provider, error) {
	if p, ok := d.provider[id]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("provider: %w", core.ErrNotFound)
}
