package sqldb

import (
	"database/sql"
	"testing"
)

// OpenConns opens a pool of connections that keep their statements.
func OpenConns(dsn string) (*sql.DB, error) { return openConns(dsn) }

// KeptStatements counts what a connection keeps.
func KeptStatements(t *testing.T, c *sql.Conn) (n int) {
	t.Helper()
	err := c.Raw(func(raw any) error {
		n = len(raw.(*keepingConn).kept)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
