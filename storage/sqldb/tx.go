package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/postern-sso/postern/core"
)

// tries bounds how often a transaction that met another one is run.
const tries = 8

// callWait bounds a call on a database that other processes and a network stand
// before, where the caller sets no limit.
const callWait = 4 * time.Second

// bounded gives a call that has no deadline one.
func (db *DB) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has || !db.engine.shared() {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, callWait)
}

// told says what a call was doing, and core.ErrUnavailable where the database could not
// be asked and asker still waits for the answer.
func (db *DB) told(asker context.Context, t core.TenantID, what string, err error) error {
	if t != core.DefaultTenant && db.engine.missing(err) {
		return fmt.Errorf("%s: the tenant was deleted: %w", what, core.ErrNotFound)
	}
	if asker.Err() == nil && db.engine.away(err) && !errors.Is(err, core.ErrUnavailable) {
		return fmt.Errorf("%s: %w: %w", what, core.ErrUnavailable, flat(err))
	}
	return fmt.Errorf("%s: %w", what, err)
}

// errText: a text that no database can hold alike. A lookup finds nothing by it,
// a write is refused.
var errText = errors.New("text holds a NUL character or is not UTF-8")

// queryer is *sql.Conn or *sql.Tx.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// conn runs queries of one tenant.
type conn struct {
	q      queryer
	tenant core.TenantID
	db     *DB
	call   context.Context //nolint:containedctx // the caller's, with the call's deadline
}

// statement is the context of one statement: the call's, which ends sooner than the
// one that its function has.
func (c *conn) statement(ctx context.Context) context.Context {
	if c.call != nil {
		return c.call
	}
	return ctx
}

// query is the last stop of every statement.
func (c *conn) query(query string, args []any) ([]any, error) {
	if c.db.trace != nil {
		c.db.trace(c.tenant, query, args)
	}
	return plain(args)
}

// row is one row, or the reason for none.
type row struct {
	*sql.Row
	err error
}

func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	if err := r.Row.Scan(dest...); !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return core.ErrNotFound
}

// row returns the first row. Where there is none, Scan gives core.ErrNotFound.
func (c *conn) row(ctx context.Context, query string, args ...any) row {
	args, err := c.query(query, args)
	if err != nil {
		return row{err: err}
	}
	return row{Row: c.q.QueryRowContext(c.statement(ctx), query, args...)}
}

// each calls scan for every row.
func (c *conn) each(ctx context.Context, scan func(scanner) error, query string, args ...any) (err error) {
	args, err = c.query(query, args)
	if err != nil {
		return err
	}
	rows, err := c.q.QueryContext(c.statement(ctx), query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// scanner is a row of either kind.
type scanner interface{ Scan(dest ...any) error }

// tx is a transaction. What it changed goes to the outbox at its end, so that
// the counter's row is held for as short as can be.
type tx struct {
	conn
	changes   []core.Change
	at        int64         // of what it changed, set at the end
	concerned []core.Change // what a delegation must be allowed beside changes
}

func (x *tx) exec(ctx context.Context, query string, args ...any) error {
	_, err := x.count(ctx, query, args...)
	return err
}

// count runs a statement and returns how many rows it touched.
func (x *tx) count(ctx context.Context, query string, args ...any) (int64, error) {
	args, err := x.query(query, args)
	if err != nil {
		return 0, err
	}
	res, err := x.q.ExecContext(x.statement(ctx), query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// must runs a statement that has to touch a row: none is core.ErrNotFound.
func (x *tx) must(ctx context.Context, query string, args ...any) error {
	n, err := x.count(ctx, query, args...)
	if err == nil && n == 0 {
		err = core.ErrNotFound
	}
	return err
}

// changed notes a line for the outbox.
func (x *tx) changed(kind, id, op string) {
	x.changes = append(x.changes, core.Change{Kind: kind, ID: id, Op: op})
}

// next gives the next integer of a counter.
func (x *tx) next(ctx context.Context, counter string) (int64, error) {
	var n int64
	err := x.row(ctx, `UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value`, counter).Scan(&n)
	return n, err
}

// read runs f on a tenant's tables, again where the connection was lost, so f must
// not keep what a run did. A tenant that is none is core.ErrNotFound.
func (db *DB) read(ctx context.Context, t core.TenantID, p part, what string, f func(*conn) error) error {
	leave, err := db.visit(ctx, t)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer leave()
	return db.rawRead(ctx, t, p, what, f)
}

// write runs f in a transaction, again where another one was in its way, so f
// must not keep what a run did.
func (db *DB) write(ctx context.Context, t core.TenantID, p part, what string, f func(*tx) error) error {
	leave, err := db.visit(ctx, t)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer leave()
	return db.rawWrite(ctx, t, p, what, f)
}

// rawRead is read while a tenant is being readied.
func (db *DB) rawRead(ctx context.Context, t core.TenantID, p part, what string, f func(*conn) error) error {
	asker := ctx
	ctx, cancel := db.bounded(ctx)
	defer cancel()
	err := db.readOnce(ctx, t, p, f)
	for i := 1; i < tries && err != nil && db.engine.lost(err) && ctx.Err() == nil; i++ {
		// The server closed idle connections; others may lie in the pool.
		err = db.readOnce(ctx, t, p, f)
	}
	if errors.Is(err, errText) {
		err = core.ErrNotFound
	}
	if err != nil {
		return db.told(asker, t, what, err)
	}
	return nil
}

func (db *DB) readOnce(ctx context.Context, t core.TenantID, p part, f func(*conn) error) error {
	c, release, err := db.engine.conn(ctx, t, p, false)
	if err != nil {
		return err
	}
	defer release()
	if !db.engine.pooled() {
		return f(&conn{q: c, tenant: t, db: db, call: ctx})
	}
	x, err := c.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = x.Rollback() }() // where f panics: to give the connection back waits for the transaction
	if err := db.engine.enter(ctx, x, t); err != nil {
		return rollback(x, err)
	}
	return rollback(x, f(&conn{q: x, tenant: t, db: db, call: ctx}))
}

// rawWrite is write while a tenant is being readied.
func (db *DB) rawWrite(ctx context.Context, t core.TenantID, p part, what string, f func(*tx) error) error {
	asker := ctx
	ctx, cancel := db.bounded(ctx)
	defer cancel()
	for i := 1; ; i++ {
		changes, err := db.watched(ctx, t, p, f)
		if err == nil {
			db.notify(t, changes)
			if len(changes) > 0 && db.Publish != nil {
				db.Publish(t, changes[len(changes)-1].Seq)
			}
			return nil
		}
		var own unwrapped
		if errors.As(err, &own) {
			return own.err
		}
		var end commitError
		again := db.engine.busy(err) || db.engine.lost(err) && !errors.As(err, &end)
		if i == tries || !again {
			if errors.Is(err, errText) {
				err = &core.FieldError{Field: "non_field_errors", Message: "Null characters and text that is not UTF-8 are not allowed."}
			}
			if db.engine.tooLong(err) {
				err = &core.FieldError{Field: "non_field_errors", Message: "A name or an identifier is too long."}
			}
			return db.told(asker, t, what, err)
		}
		pause(ctx, time.Duration(i)*time.Duration(1+rand.IntN(10))*time.Millisecond) //nolint:gosec // a pause is no secret
		if ctx.Err() != nil {
			return db.told(asker, t, what, ctx.Err())
		}
	}
}

func (db *DB) once(ctx context.Context, t core.TenantID, p part, f func(*tx) error) ([]core.Change, error) {
	if g := db.engine.commits(t, p); g != nil {
		return g.write(ctx, db, t, p, f)
	}
	return db.alone(ctx, t, p, f)
}

// alone runs f in a transaction of its own.
func (db *DB) alone(ctx context.Context, t core.TenantID, p part, f func(*tx) error) ([]core.Change, error) {
	c, release, err := db.engine.conn(ctx, t, p, true)
	if err != nil {
		return nil, err
	}
	defer release()
	t2, err := c.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = t2.Rollback() }() // where f panics: to give the connection back waits for the transaction
	if db.engine.pooled() {
		if err := db.engine.enter(ctx, t2, t); err != nil {
			return nil, rollback(t2, err)
		}
	}
	x := &tx{conn: conn{q: t2, tenant: t, db: db, call: ctx}}
	if err := x.run(ctx, p, f); err != nil {
		err = rollback(t2, err)
		db.engine.spoil(c, err)
		return nil, err
	}
	if err := t2.Commit(); err != nil {
		return nil, commitError{err}
	}
	db.follower.wrote(t, x.changes, x.at)
	return x.changes, nil
}

// run does the work of the transaction and what each one owes.
func (x *tx) run(ctx context.Context, p part, f func(*tx) error) error {
	var l *limits
	if p == directory {
		var err error
		if l, err = x.limit(ctx); err != nil {
			return err
		}
	}
	if err := f(x); err != nil {
		return err
	}
	if err := x.within(ctx, l); err != nil {
		return err
	}
	return x.appendOutbox(ctx)
}

// rollback keeps err, the reason: a rollback that fails leaves a dead connection,
// which database/sql drops.
func rollback(t *sql.Tx, err error) error {
	if rerr := t.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
		return errors.Join(err, rerr)
	}
	return err
}

// commitError is an error of the commit itself: it may have happened.
type commitError struct{ err error }

func (c commitError) Error() string { return "commit: " + c.err.Error() }
func (c commitError) Unwrap() error { return c.err }

// unwrapped is an error of the caller's own function, which gets it back as it is.
type unwrapped struct{ err error }

func (u unwrapped) Error() string { return u.err.Error() }
func (u unwrapped) Unwrap() error { return u.err }
