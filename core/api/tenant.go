package api

import (
	"net/http"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

func tenants() *resource[core.Tenant] {
	return &resource[core.Tenant]{
		model: "Tenant", app: "authentik_tenants", verbose: "Tenant", key: "tenant_uuid",
		members: []member{always("tenant_uuid", uuidShape())},
		listing: listing{order: []string{"schema_name", "name", "ready"}, preset: []string{"schema_name"}},
		find: func(c *call, key string) (*core.Tenant, error) {
			id, valid := uuid(key)
			if !valid {
				return nil, core.ErrNotFound
			}
			return c.Store.RegisteredTenant(c.ctx(), id)
		},
		page: func(c *call, q Query) ([]core.Tenant, int, error) { return c.Store.ListTenants(c.ctx(), q) },
		create: func(c *call, t *core.Tenant) error {
			if err := media.Vacant(c.ctx(), c.Files, t.ID); err != nil {
				return err
			}
			made, err := c.Store.CreateTenant(c.ctx(), t.ID, t.Name)
			if err == nil {
				*t = *made
			}
			return err
		},
		update: func(c *call, key string, change func(*core.Tenant) error) (*core.Tenant, error) {
			old, err := c.tenantByKey(key)
			if err != nil {
				return nil, err
			}
			return c.Store.UpdateTenant(c.ctx(), old.ID, func(t *core.Tenant) error {
				if t.UUID != old.UUID {
					return core.ErrNotFound // another one has its name meanwhile
				}
				return change(t)
			})
		},
		remove: func(c *call, key string) error {
			t, err := c.tenantByKey(key)
			if err != nil {
				return err
			}
			if t.ID == core.DefaultTenant {
				return &problem{http.StatusConflict, "The default tenant cannot be deleted."}
			}
			if err := c.Store.DeleteTenant(c.ctx(), t.ID, t.UUID); err != nil {
				return err
			}
			return media.Vacate(c.ctx(), c.Files, t.ID)
		},
		fresh: func(*call) *core.Tenant { return &core.Tenant{} },
		read: func(f *fields, t *core.Tenant) {
			text(f, "schema_name", rule{required: true, max: 63, about: "t_ and lower-case letters and digits. It stays what it is."}, &t.ID)
			text(f, "name", rule{required: true, max: 1000, about: "For people."}, &t.Name)
			boolean(f, "ready", &t.Ready)
		},
		show: func(_ *call, t *core.Tenant) (any, error) {
			return object{"tenant_uuid": t.UUID, "schema_name": string(t.ID), "name": t.Name, "ready": t.Ready}, nil
		},
		label: func(t *core.Tenant) (string, string) { return t.UUID, string(t.ID) },
	}
}

func (c *call) tenantByKey(key string) (*core.Tenant, error) {
	id, _ := uuid(key)
	return c.Store.RegisteredTenant(c.ctx(), id)
}
