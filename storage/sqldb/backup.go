package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/backup"
)

// BackupOptions say how a backup is written.
type BackupOptions struct {
	// Product is the version that writes it.
	Product string
	// Passphrase seals it. Default: the master secret does.
	Passphrase core.Secret
	// Secret is the master secret; a backup that a passphrase seals carries it.
	Secret core.Secret
	// WithoutSessions leaves logins, and requests under way, out.
	WithoutSessions bool
}

// BackupKey is what a backup is sealed with that no passphrase seals.
func BackupKey(m *keys.Master) backup.Key {
	key := m.Derive("", "backup")
	return backup.Key{Secret: &key}
}

// Backup writes all tenants' tables to w, each tenant as it was at one moment (on
// PostgreSQL: all at the same one), while requests go on.
func (db *DB) Backup(ctx context.Context, w io.Writer, opt BackupOptions) error {
	if err := db.loadRegistry(ctx); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	for id := range db.registry.Load().byID {
		leave, err := db.visit(ctx, id) // brings the tables up to date
		if errors.Is(err, core.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return fmt.Errorf("write backup: tenant %s: %w", id, err)
		}
		leave()
	}
	return writeBackup(ctx, db.engine, db.master, w, db.now(), opt)
}

// Backup does the same for a directory that nobody has open, and leaves its tables in
// the version that they are of.
func Backup(ctx context.Context, opt Options, w io.Writer, bo BackupOptions) error {
	return offline(ctx, opt, func(e engine) error {
		at := time.Now
		if opt.Now != nil {
			at = opt.Now
		}
		return writeBackup(ctx, e, opt.Master, w, at(), bo)
	})
}

// Exists reports whether there is data where opt says.
func Exists(ctx context.Context, opt Options) (there bool, err error) {
	e, err := openOffline(ctx, opt)
	if err != nil {
		return true, err // who knows
	}
	defer func() { err = errors.Join(err, e.close()) }()
	return e.exists(ctx, core.DefaultTenant)
}

// offline opens what holds the tables, without a look into them but at whose they are.
func offline(ctx context.Context, opt Options, use func(engine) error) (err error) {
	e, err := openOffline(ctx, opt)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer func() { err = errors.Join(err, e.close()) }()
	there, err := e.exists(ctx, core.DefaultTenant)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	if !there {
		return errors.New("open directory: there is no data yet")
	}
	s, err := e.snapshot(ctx)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	from, err := s.tenant(ctx, core.DefaultTenant)
	if err == nil {
		err = sameSecret(ctx, &from[0], opt.Master)
	}
	if err = errors.Join(err, s.close()); err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	return use(e)
}

// writeBackup writes one of tables that may be of an older version.
func writeBackup(ctx context.Context, e engine, m *keys.Master, w io.Writer, at time.Time, opt BackupOptions) (err error) {
	s, err := e.snapshot(ctx)
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	from, err := s.tenant(ctx, core.DefaultTenant)
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	h := backup.Header{
		Product: opt.Product, Created: at.UTC(), Engine: e.name(), Sessions: !opt.WithoutSessions,
		Fingerprint: fmt.Sprintf("%x", m.Fingerprint()),
	}
	if h.Schema, err = schemaOf(ctx, from); err != nil {
		return err
	}
	if h.Tenants, err = registered(ctx, &from[0]); err != nil {
		return err
	}
	key := backup.Key{Passphrase: opt.Passphrase}
	if opt.Passphrase == "" {
		key = BackupKey(m)
	}
	out, err := backup.NewWriter(w, h, key, opt.Secret)
	if err != nil {
		return err
	}
	b := &backupWriter{out: out}
	if opt.WithoutSessions {
		if b.skip, err = sessionTables(ctx); err != nil {
			return err
		}
	}
	if err := b.tenant(ctx, core.DefaultTenant, from); err != nil {
		return err
	}
	for _, t := range h.Tenants {
		if t.ID == core.DefaultTenant {
			continue
		}
		if from, err = s.tenant(ctx, t.ID); err != nil {
			return deletedMeanwhile(ctx, e, t, fmt.Errorf("write backup: tenant %s: %w", t.ID, err))
		}
		if err := b.tenant(ctx, t.ID, from); err != nil {
			return deletedMeanwhile(ctx, e, t, err)
		}
	}
	return out.Close()
}

// deletedMeanwhile is the reason, or that the tenant is no longer there: what was written says that it is, and so is
// no backup.
func deletedMeanwhile(ctx context.Context, e engine, t backup.Tenant, reason error) error {
	s, err := e.snapshot(ctx)
	if err != nil {
		return reason
	}
	defer func() { _ = s.close() }() // it has only read
	from, err := s.tenant(ctx, core.DefaultTenant)
	if err != nil {
		return reason
	}
	if now, err := registered(ctx, &from[0]); err != nil || slices.Contains(now, t) {
		return reason
	}
	return fmt.Errorf("the tenant %s was deleted while the backup was written, which is not whole now: make it again", t.ID)
}

// registered are the tenants of the registry, by ID.
func registered(ctx context.Context, s *source) (out []backup.Tenant, err error) {
	rows, err := s.q.QueryContext(ctx, `SELECT id, uuid FROM `+s.prefix+`tenants ORDER BY id`+s.order)
	if err != nil {
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var t backup.Tenant
		if err := rows.Scan(&t.ID, &t.UUID); err != nil {
			return nil, err
		}
		if !validTenant(t.ID) {
			return nil, fmt.Errorf("read tenants: %q is no tenant's ID", t.ID)
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// backupWriter writes tables as sections.
type backupWriter struct {
	out  *backup.Writer
	skip map[string]bool
	buf  []byte
}

func (b *backupWriter) tenant(ctx context.Context, t core.TenantID, from []source) error {
	schema, err := schemaOf(ctx, from)
	if err != nil {
		return err
	}
	if err := b.out.Section(backup.Section{Kind: "tenant", Tenant: t, Schema: &schema}); err != nil {
		return err
	}
	for i := range from {
		for _, tab := range from[i].tables {
			if b.skip[tab.name] {
				continue
			}
			if err := b.out.Section(backup.Section{Kind: "table", Tenant: t, Name: tab.name, Columns: tab.columns}); err != nil {
				return err
			}
			err := from[i].rows(ctx, tab, false, func(values []any) error {
				b.buf = appendRow(b.buf[:0], values)
				return b.out.Record(b.buf)
			})
			if err != nil {
				return fmt.Errorf("write backup: tenant %s, table %s: %w", t, tab.name, err)
			}
		}
	}
	return nil
}

// rows gives a table's rows, one at a time; sorted, in the order of the primary key.
func (s *source) rows(ctx context.Context, tab table, sorted bool, row func([]any) error) (err error) {
	query := `SELECT ` + quoteAll(columnNames(tab.columns)) + ` FROM ` + s.prefix + quote(tab.name)
	if sorted {
		by := make([]string, 0, len(tab.key))
		for _, c := range tab.columns {
			for i, name := range tab.key {
				if name != c.Name {
					continue
				}
				for len(by) <= i {
					by = append(by, "")
				}
				by[i] = quote(name)
				if c.Kind == "text" {
					by[i] += s.order
				}
			}
		}
		if len(by) == 0 {
			return errors.New("it has no primary key")
		}
		query += ` ORDER BY ` + strings.Join(by, ", ")
	}
	rows, err := s.q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]any, len(tab.columns))
	dest := make([]any, len(values))
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i, c := range tab.columns {
			if values[i], err = plainValue(c.Kind, values[i]); err != nil {
				return fmt.Errorf("column %s: %w", c.Name, err)
			}
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return rows.Err()
}
