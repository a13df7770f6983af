package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/backup"
)

// snapshot reads what tables held at one moment, while others go on writing.
type snapshot interface {
	// tenant gives the databases that a tenant's tables are in. Those of the tenant
	// before are over.
	tenant(ctx context.Context, t core.TenantID) ([]source, error)
	close() error
}

// source is a database seen at one moment.
type source struct {
	q      queryer
	prefix string // of a table's name in a query
	order  string // what sorts a text by bytes
	tables []table
	parts  []part // whose tables it has
}

// version of a part's tables.
func (s *source) version(ctx context.Context, p part) (int64, error) {
	var v sql.NullInt64
	err := s.q.QueryRowContext(ctx, `SELECT max(version_id) FROM `+s.prefix+p.versionTable()).Scan(&v)
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return v.Int64, nil
}

func schemaOf(ctx context.Context, from []source) (backup.Schema, error) {
	var out backup.Schema
	for i := range from {
		for _, p := range from[i].parts {
			v, err := from[i].version(ctx, p)
			if err != nil {
				return out, err
			}
			if p == directory {
				out.Directory = v
			} else {
				out.Sessions = v
			}
		}
	}
	return out, nil
}

// sqliteSnapshot sees each tenant at one moment of its own: tenants share nothing.
type sqliteSnapshot struct {
	e    *sqliteEngine
	ends []func()
}

func (e *sqliteEngine) snapshot(context.Context) (snapshot, error) { return &sqliteSnapshot{e: e}, nil }

// tenant begins to read both files while nobody writes to either.
func (s *sqliteSnapshot) tenant(ctx context.Context, t core.TenantID) (out []source, err error) {
	s.end()
	var writers []func()
	defer func() {
		for _, end := range writers {
			end()
		}
		if err != nil {
			s.end()
		}
	}()
	for p := range parts {
		_, end, err := s.e.begin(ctx, t, p, true)
		if err != nil {
			return nil, err
		}
		writers = append(writers, end)
	}
	for p := range parts {
		q, end, err := s.e.begin(ctx, t, p, false)
		if err != nil {
			return nil, err
		}
		s.ends = append(s.ends, end)
		tables, err := sqliteTables(ctx, q) // the first read: from here on it sees nothing new
		if err != nil {
			return nil, err
		}
		out = append(out, source{q: q, tables: tables, parts: []part{p}})
	}
	return out, nil
}

// begin opens a transaction that is never committed.
func (e *sqliteEngine) begin(ctx context.Context, t core.TenantID, p part, write bool) (queryer, func(), error) {
	c, release, err := e.conn(ctx, t, p, write)
	if err != nil {
		return nil, nil, err
	}
	x, err := c.BeginTx(ctx, nil)
	if err != nil {
		release()
		return nil, nil, err
	}
	return x, func() {
		x.Rollback() //nolint:errcheck,gosec // it has written nothing
		release()
	}, nil
}

func (s *sqliteSnapshot) end() {
	for _, end := range s.ends {
		end()
	}
	s.ends = nil
}

func (s *sqliteSnapshot) close() error {
	s.end()
	return nil
}

// postgresSnapshot sees all tenants at the same moment.
type postgresSnapshot struct {
	e    *postgresEngine
	conn *sql.Conn
	tx   *sql.Tx
}

func (e *postgresEngine) snapshot(ctx context.Context) (snapshot, error) {
	c, err := e.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	x, err := c.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &postgresSnapshot{e: e, conn: c, tx: x}, nil
}

func (s *postgresSnapshot) tenant(ctx context.Context, t core.TenantID) ([]source, error) {
	if !validTenant(t) {
		return nil, core.ErrNotFound
	}
	schema := s.e.schemaOf(t)
	tables, err := postgresTables(ctx, s.tx, schema)
	if err != nil {
		return nil, err
	}
	return []source{{q: s.tx, prefix: quote(schema) + ".", order: ` COLLATE "C"`, tables: tables, parts: []part{directory, sessions}}}, nil
}

func (s *postgresSnapshot) close() error {
	err := s.tx.Rollback()
	if errors.Is(err, sql.ErrTxDone) {
		err = nil
	}
	return errors.Join(err, s.conn.Close())
}
