package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
)

// maxStatements bounds the prepared statements that one connection keeps: more than
// are in daily use, a few KiB each.
const maxStatements = 128

// openConns opens a pool of connections that keep their prepared statements.
func openConns(dsn string) (*sql.DB, error) {
	base, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(keepingConnector{base}), nil
}

// keepingConnector makes connections that keep their prepared statements: to parse and
// plan a query takes longer than to run it, where it finds one row by its key.
type keepingConnector struct{ driver.Connector }

// Connect opens one connection.
func (k keepingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := c.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the SQLite driver's connection is a %T", c), c.Close())
	}
	return &keepingConn{sqliteConn: full, kept: map[string]*keptStmt{}}, nil
}

// sqliteConn is what the driver's connection can do.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// keepingConn is one connection. database/sql lets one goroutine at a time use it.
type keepingConn struct {
	sqliteConn
	kept map[string]*keptStmt
}

// keptStmt is a prepared statement. While its rows are open it cannot run again.
type keptStmt struct {
	stmt interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}
	busy bool
}

// stmt finds or prepares a statement. It is nil for what is not kept: scripts of several
// statements, and one whose rows are being read.
func (c *keepingConn) stmt(ctx context.Context, query string) (*keptStmt, error) {
	if s, ok := c.kept[query]; ok {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	if strings.Contains(query, ";") {
		return nil, nil
	}
	if len(c.kept) >= maxStatements && !c.dropOne() {
		return nil, nil
	}
	prepared, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &keptStmt{}
	var ok bool
	if s.stmt, ok = prepared.(interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}); !ok {
		return nil, errors.Join(fmt.Errorf("the SQLite driver's statement is a %T", prepared), prepared.Close())
	}
	c.kept[query] = s
	return s, nil
}

// dropOne makes room: any that is not in use, as those in daily use are prepared
// again soon.
func (c *keepingConn) dropOne() bool {
	for query, s := range c.kept {
		if !s.busy {
			delete(c.kept, query)
			s.stmt.Close() //nolint:gosec // frees memory; it has no error that matters
			return true
		}
	}
	return false
}

// ExecContext runs a statement.
func (c *keepingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	return s.stmt.ExecContext(ctx, args)
}

// QueryContext runs a query.
func (c *keepingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.stmt.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &keptRows{rows, s}, nil
}

// Close ends the statements, then the connection.
func (c *keepingConn) Close() error {
	var errs []error
	for _, s := range c.kept {
		errs = append(errs, s.stmt.Close())
	}
	c.kept = nil
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// keptRows are the rows of a kept statement.
type keptRows struct {
	driver.Rows
	of *keptStmt
}

// Close makes the statement free again.
func (r *keptRows) Close() error {
	err := r.Rows.Close()
	r.of.busy = false
	return err
}
