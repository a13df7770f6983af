package sqldb

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// How many hosts may be a tenant's: each may have a certificate, and one that has too many uses up what
// a certificate authority gives the server. The default tenant's applications are the operator's.
const (
	maxDomains          = 10_000
	maxApplicationHosts = 1000 // registered ones, of each tenant but the default one
)

const domainColumns = `d.id, d.domain, d.is_primary, d.tenant_id`

func scanDomain(s scanner, more ...any) (*core.Domain, error) {
	var d core.Domain
	return &d, s.Scan(append([]any{&d.ID, &d.Name, &d.Primary, &d.Tenant}, more...)...)
}

func domainFilter(name string) (filter, bool) {
	switch name {
	case "pk", "id":
		return number("d.id"), true
	case "domain":
		return equals("d.domain"), true
	case "is_primary":
		return truth("d.is_primary"), true
	case "tenant":
		return equals("t.uuid"), true
	case "tenant__schema_name":
		return equals("t.id"), true
	}
	return filter{}, false
}

func domainOrder(name string) (string, bool) {
	switch name {
	case "id":
		return "d.id", true
	case "domain":
		return "d.domain", true
	case "is_primary":
		return "d.is_primary", true
	case "tenant":
		return "t.id", true
	}
	return "", false
}

const domainTables = `domains d JOIN tenants t ON t.id = d.tenant_id`

// ListDomains lists the domains of all tenants: see api.Query.
func (db *DB) ListDomains(ctx context.Context, q api.Query) (out []core.Domain, total int, err error) {
	r := &resource{filter: domainFilter, order: domainOrder, search: []string{"d.domain", "t.id", "t.name_fold"}, pk: "d.id"}
	clauses, args, err := r.list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, core.DefaultTenant, directory, "list domains", func(c *conn) error {
		out, total = nil, 0
		err := c.each(ctx, func(s scanner) error {
			d, err := scanDomain(s, &total)
			if err == nil {
				out = append(out, *d)
			}
			return err
		}, `SELECT `+domainColumns+`, count(*) OVER () FROM `+domainTables+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, domainTables, clauses, args)
		}
		return err
	})
	return out, total, err
}

func (c *conn) domain(ctx context.Context, id int64, lock string) (*core.Domain, error) {
	return scanDomain(c.row(ctx, `SELECT `+domainColumns+` FROM domains d WHERE d.id = $1`+lock, id))
}

// Domain finds a domain by its number.
func (db *DB) Domain(ctx context.Context, id int64) (d *core.Domain, err error) {
	err = db.read(ctx, core.DefaultTenant, directory, "find domain", func(q *conn) error {
		d, err = q.domain(ctx, id, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// CreateDomain gives a tenant a host, sets its number, and brings its name into the form
// that a Host header is compared with. A host has one owner. The first of a tenant is
// its primary one, whatever it says; a new primary one takes the place of the one before.
func (db *DB) CreateDomain(ctx context.Context, d *core.Domain) error {
	return db.changeDomains(ctx, "create domain", func(x *tx) error {
		if err := x.checkDomain(ctx, d); err != nil {
			return err
		}
		if err := x.roomForDomain(ctx, d.Tenant); err != nil {
			return err
		}
		var err error
		if d.ID, err = x.next(ctx, "domain"); err != nil {
			return err
		}
		err = x.taken(x.exec(ctx, `INSERT INTO domains (id, domain, is_primary, tenant_id) VALUES ($1, $2, $3, $4)`, d.ID, d.Name, d.Primary, d.Tenant))
		if err != nil {
			return err
		}
		return x.onePrimary(ctx, d)
	})
}

// UpdateDomain changes a domain's name, whether it is the primary one, and whose it is.
// Of a tenant's domains one is always primary: where that one no longer is, the oldest
// takes its place.
func (db *DB) UpdateDomain(ctx context.Context, id int64, change func(*core.Domain) error) (d *core.Domain, err error) {
	err = db.changeDomains(ctx, "update domain", func(x *tx) error {
		if d, err = x.domain(ctx, id, db.engine.forUpdate()); err != nil {
			return err
		}
		before := d.Tenant
		if err := change(d); err != nil {
			return unwrapped{err}
		}
		d.ID = id
		if err := x.checkDomain(ctx, d); err != nil {
			return err
		}
		if before != d.Tenant {
			if err := x.roomForDomain(ctx, d.Tenant); err != nil {
				return err
			}
		}
		err := x.taken(x.exec(ctx, `UPDATE domains SET domain = $2, is_primary = $3, tenant_id = $4 WHERE id = $1`, id, d.Name, d.Primary, d.Tenant))
		if err != nil {
			return err
		}
		if before != d.Tenant {
			if err := x.onePrimary(ctx, &core.Domain{Tenant: before}); err != nil {
				return err
			}
		}
		return x.onePrimary(ctx, d)
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// DeleteDomain takes a host from its tenant. Where it was the primary one, the oldest of
// the others takes its place.
func (db *DB) DeleteDomain(ctx context.Context, id int64) error {
	return db.changeDomains(ctx, "delete domain", func(x *tx) error {
		d, err := x.domain(ctx, id, db.engine.forUpdate())
		if err != nil {
			return err
		}
		if err := x.exec(ctx, `DELETE FROM domains WHERE id = $1`, id); err != nil {
			return err
		}
		return x.onePrimary(ctx, &core.Domain{Tenant: d.Tenant})
	})
}

// changeDomains runs f in the registry, which is read again afterwards.
func (db *DB) changeDomains(ctx context.Context, what string, f func(*tx) error) error {
	if err := db.write(ctx, core.DefaultTenant, directory, what, f); err != nil {
		return err
	}
	return db.loadRegistry(ctx)
}

// checkDomain brings the name into its form, and locks the tenant: changes of its domains
// take turns.
func (x *tx) checkDomain(ctx context.Context, d *core.Domain) error {
	host, port, err := core.NormalizeHost(d.Name)
	if err != nil || port != "" {
		return unwrapped{&core.FieldError{Field: "domain", Message: "Enter a host name without scheme, port and path."}}
	}
	d.Name = host
	return x.lockTenant(ctx, d.Tenant)
}

// roomForDomain refuses one more than a tenant may have. The tenant is locked.
func (x *tx) roomForDomain(ctx context.Context, id core.TenantID) error {
	var n int
	err := x.row(ctx, `SELECT count(*) FROM domains WHERE tenant_id = $1`, id).Scan(&n)
	if err == nil && n >= x.db.maxDomains {
		err = unwrapped{&core.FieldError{Field: "domain", Message: fmt.Sprintf("A tenant has at most %d domains: delete one that is not used.", x.db.maxDomains)}}
	}
	return err
}

// roomForHost does the same for hosts of registered applications. The provider's number was taken, by
// which those who make one wait for each other.
func (x *tx) roomForHost(ctx context.Context) error {
	if x.tenant == core.DefaultTenant {
		return nil
	}
	var n int
	err := x.row(ctx, `SELECT count(*) FROM proxy_providers`).Scan(&n)
	if err == nil && n >= x.db.maxHosts {
		err = unwrapped{&core.FieldError{Field: "external_host", Message: fmt.Sprintf("A tenant has at most %d proxy providers: delete one that is not used.", x.db.maxHosts)}}
	}
	return err
}

func (x *tx) lockTenant(ctx context.Context, id core.TenantID) error {
	var one int
	err := x.row(ctx, `SELECT 1 FROM tenants WHERE id = $1`+x.db.engine.forUpdate(), id).Scan(&one)
	if errors.Is(err, core.ErrNotFound) || errors.Is(err, errText) {
		return unwrapped{missing("tenant", id)}
	}
	return err
}

// onePrimary leaves a tenant with one primary domain: d, where it is to be that; else the
// one that is, or the oldest. It tells d what it is.
func (x *tx) onePrimary(ctx context.Context, d *core.Domain) error {
	if err := x.lockTenant(ctx, d.Tenant); err != nil {
		return err
	}
	x.changed("tenant", string(d.Tenant), "update")
	var primary int64
	// The newest is compared last: one that is made primary takes the place of another.
	err := x.row(ctx, `SELECT id FROM domains WHERE tenant_id = $1
		ORDER BY CASE WHEN is_primary AND id = $2 THEN 0 WHEN is_primary THEN 1 WHEN id = $2 THEN 3 ELSE 2 END, id LIMIT 1`, d.Tenant, d.ID).Scan(&primary)
	if errors.Is(err, core.ErrNotFound) {
		return nil // it has none
	}
	if err != nil {
		return fmt.Errorf("find the primary domain: %w", err)
	}
	d.Primary = primary == d.ID
	return x.exec(ctx, `UPDATE domains SET is_primary = (id = $2) WHERE tenant_id = $1 AND is_primary <> (id = $2)`, d.Tenant, primary)
}
