package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/backup"
)

var (
	// ErrNotEmpty: there is data where a backup was to be restored.
	ErrNotEmpty = errors.New("is not empty")
	// ErrNewer: the backup was made by a newer version of Postern.
	ErrNewer = errors.New("was made by a newer version")
)

// RestoreOptions say how a backup is restored.
type RestoreOptions struct {
	// Replace what is there. A snapshot of it is made first.
	Replace bool
	// WithoutSessions leaves out logins and requests under way: everybody logs in
	// again. Refresh tokens stay, as they outlive a logout.
	WithoutSessions bool
	// AsItWas leaves the tables in the version of the backup, for the version of
	// Postern that made it. Default: they are brought up to date.
	AsItWas bool
}

// staging is where a backup is loaded, beside the tables that it is to replace.
type staging interface {
	// begin makes a tenant's tables, of a version and empty.
	begin(ctx context.Context, t core.TenantID, of backup.Schema) error
	// tables are those.
	tables() map[string]table
	// load fills one of them until next gives io.EOF. References to rows that come
	// later are no error.
	load(ctx context.Context, tab table, columns []string, next func() ([]any, error)) error
	// end completes a tenant: references must hold, counters are no smaller than
	// these, and the tables, where they are to be, are migrated.
	end(ctx context.Context, counters map[string]int64, migrated bool) error
	// commit puts what was loaded in the place of what was there, all or nothing.
	commit(ctx context.Context) error
	// drop removes what was loaded and not committed, and lets go of everything.
	drop(ctx context.Context) error
}

// Restore loads a backup into the directory that opt names, which nobody may have
// open. Until all of it was read, found whole and loaded, nothing is changed, and
// then everything at once. The path of the snapshot of what was replaced is returned.
func Restore(ctx context.Context, opt Options, src *backup.Reader, ro RestoreOptions) (replaced string, err error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if err := acceptable(&opt, &src.Header); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	e, err := openOffline(ctx, opt)
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, e.close()) }()
	s, err := e.stage(ctx)
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, s.drop(context.WithoutCancel(ctx))) }()
	l := &loader{src: src, into: s, opt: ro}
	if replaced, err = l.clear(ctx, e, &opt); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if err := l.run(ctx); err != nil {
		return replaced, fmt.Errorf("restore: %w; nothing was changed", err)
	}
	opt.reached("loaded")
	if opt.Dir != "" {
		// What is half upgraded is what is replaced.
		if err := endUnderWay(opt.Dir); err != nil {
			return replaced, fmt.Errorf("restore: %w; nothing was changed", err)
		}
	}
	if err := s.commit(ctx); err != nil {
		return replaced, fmt.Errorf("restore: put the data in place: %w", err)
	}
	return replaced, nil
}

// openOffline opens what holds the tables, and leaves them as they are.
func openOffline(ctx context.Context, opt Options) (engine, error) {
	opt.offline = true
	switch scheme, _, _ := strings.Cut(opt.URL, ":"); scheme {
	case "", "sqlite":
		return openSQLite(ctx, opt)
	default:
		return openPostgres(ctx, opt)
	}
}

// acceptable refuses a backup by its header.
func acceptable(opt *Options, h *backup.Header) error {
	newest, err := newestSchema(opt.more)
	if err != nil {
		return err
	}
	if h.Schema.Directory > newest.Directory || h.Schema.Sessions > newest.Sessions {
		return fmt.Errorf("the backup %w (%s): its tables are of version %d and %d, and this one knows those up to %d and %d",
			ErrNewer, h.Product, h.Schema.Directory, h.Schema.Sessions, newest.Directory, newest.Sessions)
	}
	if h.Fingerprint != fmt.Sprintf("%x", opt.Master.Fingerprint()) {
		return fmt.Errorf("the data in the backup was %w: set `secret` (or AUTHENTIK_SECRET_KEY) to the one it was made with", ErrOtherSecret)
	}
	return nil
}

// loader reads a backup into tables.
type loader struct {
	src      *backup.Reader
	into     staging
	opt      RestoreOptions
	counters map[core.TenantID]map[string]int64 // of what is replaced

	want          map[core.TenantID]bool // tenants to come
	now           core.TenantID
	due           map[string]bool // its tables to come
	skip, mayMiss func(table string) bool
}

// clear sees to what is there: it is nothing, or to be replaced.
func (l *loader) clear(ctx context.Context, e engine, opt *Options) (string, error) {
	there, err := e.exists(ctx, core.DefaultTenant)
	if err != nil || !there {
		return "", err
	}
	if !l.opt.Replace {
		return "", fmt.Errorf("the directory %w: restore into a new one, or say --replace; nothing was changed", ErrNotEmpty)
	}
	if err := l.readCounters(ctx, e, opt); err != nil {
		return "", fmt.Errorf("look at what is to be replaced: %w; nothing was changed", err)
	}
	path, err := takeSnapshot(ctx, e, opt, opt.Now(), beforeRestore)
	if err != nil {
		return "", fmt.Errorf("make a snapshot of what is to be replaced: %w; nothing was changed", err)
	}
	return path, nil
}

// readCounters notes which numbers were given since the backup: they are not given
// again.
func (l *loader) readCounters(ctx context.Context, e engine, opt *Options) (err error) {
	s, err := e.snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	from, err := s.tenant(ctx, core.DefaultTenant)
	if err != nil {
		return err
	}
	if err := sameSecret(ctx, &from[0], opt.Master); err != nil {
		return err
	}
	tenants, err := registered(ctx, &from[0])
	if err != nil {
		return err
	}
	l.counters = map[core.TenantID]map[string]int64{}
	for _, t := range tenants {
		if from, err = s.tenant(ctx, t.ID); err != nil {
			return fmt.Errorf("tenant %s: %w", t.ID, err)
		}
		of := map[string]int64{}
		l.counters[t.ID] = of
		tab := table{name: "counters", columns: []backup.Column{{Name: "name", Kind: "text"}, {Name: "value", Kind: "int"}}}
		err := from[0].rows(ctx, tab, false, func(values []any) error {
			name, _ := values[0].(string)
			of[name], _ = values[1].(int64)
			return nil
		})
		if err != nil {
			return fmt.Errorf("tenant %s: %w", t.ID, err)
		}
	}
	return nil
}

// run loads everything. What it finds that does not fit ends it.
func (l *loader) run(ctx context.Context) error {
	logins, err := sessionTables(ctx)
	if err != nil {
		return err
	}
	l.skip = func(name string) bool { return l.opt.WithoutSessions && logins[name] }
	l.mayMiss = func(name string) bool { return !l.src.Header.Sessions && logins[name] }
	l.want = map[core.TenantID]bool{}
	for _, t := range l.src.Header.Tenants {
		l.want[t.ID] = true
	}
	for {
		s, err := l.src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case s.Kind == "tenant":
			err = l.tenant(ctx, s)
		case s.Kind != "table":
			err = fmt.Errorf("a section of the backup (%s) %w", s.Kind, ErrNewer)
		case s.Tenant != l.now || !l.due[s.Name]:
			err = fmt.Errorf("%w: the table %s of tenant %q is not where it belongs", backup.ErrCorrupt, s.Name, s.Tenant)
		default:
			delete(l.due, s.Name)
			if !l.skip(s.Name) {
				err = l.table(ctx, s)
			}
		}
		if err != nil {
			return err
		}
	}
	if len(l.want) > 0 {
		return fmt.Errorf("%w: %d tenants of its header are missing", backup.ErrCorrupt, len(l.want))
	}
	return l.finish(ctx)
}

// tenant begins with one: the header has to name it, and it comes once.
func (l *loader) tenant(ctx context.Context, s *backup.Section) error {
	if err := l.finish(ctx); err != nil {
		return err
	}
	if !l.want[s.Tenant] || !validTenant(s.Tenant) {
		return fmt.Errorf("%w: the tenant %q comes twice, or is not in its header", backup.ErrCorrupt, s.Tenant)
	}
	delete(l.want, s.Tenant)
	most := l.src.Header.Schema
	if v := s.Schema; v == nil || v.Directory < 1 || v.Sessions < 1 || v.Directory > most.Directory || v.Sessions > most.Sessions {
		return fmt.Errorf("%w: tenant %s has tables of an odd version", backup.ErrCorrupt, s.Tenant)
	}
	if err := l.into.begin(ctx, s.Tenant, *s.Schema); err != nil {
		return fmt.Errorf("tenant %s: %w", s.Tenant, err)
	}
	l.now, l.due = s.Tenant, map[string]bool{}
	for name := range l.into.tables() {
		l.due[name] = true
	}
	return nil
}

// finish completes the tenant that was begun.
func (l *loader) finish(ctx context.Context) error {
	if l.now == "" {
		return nil
	}
	for name := range l.due {
		if !l.mayMiss(name) {
			return fmt.Errorf("%w: tenant %s: the table %s is missing", backup.ErrCorrupt, l.now, name)
		}
	}
	if err := l.into.end(ctx, l.counters[l.now], !l.opt.AsItWas); err != nil {
		return fmt.Errorf("tenant %s: %w", l.now, err)
	}
	return nil
}

// table loads one. Its columns have to be those of the table of that version.
func (l *loader) table(ctx context.Context, s *backup.Section) error {
	tab := l.into.tables()[s.Name]
	has := map[backup.Column]bool{}
	for _, c := range tab.columns {
		has[c] = true
	}
	for _, c := range s.Columns {
		if !has[c] {
			return fmt.Errorf("%w: table %s has no column %s of %s", backup.ErrCorrupt, s.Name, c.Name, c.Kind)
		}
		delete(has, c)
	}
	for c := range has {
		return fmt.Errorf("%w: the column %s.%s is missing", backup.ErrCorrupt, s.Name, c.Name)
	}
	err := l.into.load(ctx, tab, columnNames(s.Columns), func() ([]any, error) {
		record, err := l.src.Record()
		if err != nil {
			return nil, err
		}
		return readRow(record, s.Columns)
	})
	if err != nil {
		return fmt.Errorf("tenant %s, table %s: %w", s.Tenant, s.Name, err)
	}
	return nil
}
