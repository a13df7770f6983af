package sqldb

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/backup"
)

// dumpedText is the longest text, in bytes, that a dump shows as it is.
const dumpedText = 4096

// Dump writes all tables as text, a line for each value, sorted so that two
// directories that hold the same give the same text, whatever database they are in.
// Of secrets, hashes and long texts it shows a hash. It is for comparing, and cannot be restored.
func (db *DB) Dump(ctx context.Context, w io.Writer) error { return dump(ctx, db.engine, w) }

// Dump does the same for a directory that nobody has open, and changes nothing in it.
func Dump(ctx context.Context, opt Options, w io.Writer) error {
	return offline(ctx, opt, func(e engine) error { return dump(ctx, e, w) })
}

func dump(ctx context.Context, e engine, w io.Writer) (err error) {
	s, err := e.snapshot(ctx)
	if err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	from, err := s.tenant(ctx, core.DefaultTenant)
	if err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	tenants, err := registered(ctx, &from[0])
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	for _, t := range tenants {
		if from, err = s.tenant(ctx, t.ID); err != nil {
			return fmt.Errorf("dump: tenant %s: %w", t.ID, err)
		}
		if err := dumpTenant(ctx, out, t.ID, from); err != nil {
			return err
		}
	}
	return out.Flush()
}

func dumpTenant(ctx context.Context, out io.Writer, t core.TenantID, from []source) error {
	schema, err := schemaOf(ctx, from)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "tenant %s, schema %d and %d\n", t, schema.Directory, schema.Sessions); err != nil {
		return err
	}
	type found struct {
		from *source
		tab  table
	}
	var all []found
	for i := range from {
		for _, tab := range from[i].tables {
			slices.SortFunc(tab.columns, func(a, b backup.Column) int { return strings.Compare(a.Name, b.Name) })
			all = append(all, found{&from[i], tab})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.tab.name, b.tab.name) })
	for _, f := range all {
		err := f.from.rows(ctx, f.tab, true, func(values []any) error {
			line := []string{string(t) + " " + f.tab.name}
			for i, c := range f.tab.columns {
				line = append(line, c.Name+"="+dumpValue(c.Name, values[i]))
			}
			_, err := fmt.Fprintln(out, strings.Join(line, "\n\t"))
			return err
		})
		if err != nil {
			return fmt.Errorf("dump: tenant %s, table %s: %w", t, f.tab.name, err)
		}
	}
	return nil
}

func dumpValue(column string, v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case string:
		if v == "" || len(v) <= dumpedText && !strings.HasSuffix(column, "_hash") {
			return strconv.Quote(v)
		}
		return fmt.Sprintf("text of SHA-256 %x", sha256.Sum256([]byte(v)))
	case []byte:
		return fmt.Sprintf("%d bytes of SHA-256 %x", len(v), sha256.Sum256(v))
	}
	return fmt.Sprintf("%v", v)
}
