package api

import (
	"errors"
	"strconv"

	"github.com/postern-sso/postern/core"
)

// domainRow is a domain, and its tenant as the API names it.
type domainRow struct {
	core.Domain
	tenant string // UUID
}

func domains() *resource[domainRow] {
	return &resource[domainRow]{
		model: "Domain", app: "authentik_tenants", verbose: "Domain", key: "id",
		members: []member{always("id", integerShape())},
		listing: listing{order: []string{"domain", "id", "is_primary", "tenant"}, preset: []string{"domain"}},
		find: func(c *call, key string) (*domainRow, error) {
			id, err := domainID(key)
			if err != nil {
				return nil, err
			}
			d, err := c.Store.Domain(c.ctx(), id)
			if err != nil {
				return nil, err
			}
			return &domainRow{Domain: *d}, nil
		},
		page: func(c *call, q Query) ([]domainRow, int, error) {
			list, count, err := c.Store.ListDomains(c.ctx(), q)
			rows := make([]domainRow, len(list))
			for i := range list {
				rows[i].Domain = list[i]
			}
			return rows, count, err
		},
		create: func(c *call, d *domainRow) error { return c.Store.CreateDomain(c.ctx(), &d.Domain) },
		update: func(c *call, key string, change func(*domainRow) error) (*domainRow, error) {
			id, err := domainID(key)
			if err != nil {
				return nil, err
			}
			d, err := c.Store.UpdateDomain(c.ctx(), id, func(d *core.Domain) error {
				row := &domainRow{Domain: *d}
				err := change(row)
				*d = row.Domain
				return err
			})
			if err != nil {
				return nil, err
			}
			return &domainRow{Domain: *d}, nil
		},
		remove: func(c *call, key string) error {
			id, err := domainID(key)
			if err != nil {
				return err
			}
			return c.Store.DeleteDomain(c.ctx(), id)
		},
		fresh: func(*call) *domainRow { return &domainRow{Domain: core.Domain{Primary: true}} },
		read: func(f *fields, d *domainRow) {
			text(f, "domain", rule{required: true, max: 253, about: "A host name, without scheme and port."}, &d.Name)
			boolean(f, "is_primary", &d.Primary)
			reference(f, "tenant", rule{required: true, about: "The tenant that answers on this host."}, &d.tenant)
		},
		check: func(c *call, f *fields, d, _ *domainRow) error {
			if d.tenant == "" {
				return nil
			}
			t, err := c.Store.RegisteredTenant(c.ctx(), d.tenant)
			if errors.Is(err, core.ErrNotFound) {
				f.fail("tenant", noPK(d.tenant))
				return nil
			}
			if err != nil {
				return err
			}
			d.Tenant = t.ID
			return nil
		},
		carry: func(from, to *domainRow) {
			if from.tenant != "" {
				to.Tenant = from.Tenant
			}
		},
		gather: func(c *call, rows []domainRow) error {
			c.looked.tenants = map[core.TenantID]string{}
			var names []string
			for i := range rows {
				if _, met := c.looked.tenants[rows[i].Tenant]; !met {
					c.looked.tenants[rows[i].Tenant] = ""
					names = append(names, string(rows[i].Tenant))
				}
			}
			if len(names) == 0 {
				return nil
			}
			list, _, err := c.Store.ListTenants(c.ctx(), Query{Where: map[string][]string{"schema_name": names}, Limit: len(names)})
			for i := range list {
				c.looked.tenants[list[i].ID] = list[i].UUID
			}
			return err
		},
		show: func(c *call, d *domainRow) (any, error) {
			return object{"id": d.ID, "domain": d.Name, "is_primary": d.Primary, "tenant": c.looked.tenants[d.Tenant]}, nil
		},
		label: func(d *domainRow) (string, string) { return strconv.FormatInt(d.ID, 10), d.Name },
	}
}

func domainID(key string) (int64, error) {
	id, err := strconv.ParseInt(key, 10, 32)
	if err != nil || id < 1 {
		return 0, core.ErrNotFound
	}
	return id, nil
}
