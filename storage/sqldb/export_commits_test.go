package sqldb

import (
	"context"

	"github.com/postern-sso/postern/core"
)

// ObserveCommits is told of each commit of a tenant's directory.
func (db *DB) ObserveCommits(t core.TenantID, f func(together int)) {
	db.engine.commits(t, directory).observe = f
}

// WaitingCommits counts who waits for the writer.
func (db *DB) WaitingCommits(t core.TenantID) int {
	g := db.engine.commits(t, directory)
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// HoldWriter keeps the writer until release is closed.
func (db *DB) HoldWriter(t core.TenantID, held chan<- struct{}, release <-chan struct{}) error {
	return db.rawWrite(context.Background(), t, directory, "test", func(*tx) error {
		close(held)
		<-release
		return nil
	})
}

// ExecThen runs SQL in a tenant's directory, then f.
func (db *DB) ExecThen(ctx context.Context, t core.TenantID, f func() error, query string) error {
	return db.rawWrite(ctx, t, directory, "test", func(x *tx) error {
		if err := x.exec(ctx, query); err != nil {
			return err
		}
		return f()
	})
}
