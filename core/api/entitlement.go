package api

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"

	"github.com/postern-sso/postern/core"
)

func entitlements() *resource[core.Entitlement] {
	return &resource[core.Entitlement]{
		model: "ApplicationEntitlement", app: "authentik_core", verbose: "Application Entitlement", key: "pbm_uuid",
		members: []member{always("pbm_uuid", uuidShape())},
		listing: listing{
			filters: map[string]filter{"pbm_uuid": byUUID, "name": byText, "app": byUUID, "attributes": byText},
			order:   []string{"name", "app", "pbm_uuid"},
			preset:  []string{"name"},
		},
		find: func(c *call, key string) (*core.Entitlement, error) {
			id, valid := uuid(key)
			if !valid {
				return nil, core.ErrNotFound
			}
			return c.Store.Entitlement(c.ctx(), c.t, core.EntitlementID(id))
		},
		page:   pageEntitlements,
		create: func(c *call, e *core.Entitlement) error { return c.Store.CreateEntitlement(c.ctx(), c.t, e) },
		update: func(c *call, key string, change func(*core.Entitlement) error) (*core.Entitlement, error) {
			id, _ := uuid(key)
			return c.Store.UpdateEntitlement(c.ctx(), c.t, core.EntitlementID(id), change)
		},
		remove: func(c *call, key string) error {
			id, _ := uuid(key)
			return c.Store.DeleteEntitlement(c.ctx(), c.t, core.EntitlementID(id))
		},
		fresh: func(*call) *core.Entitlement { return &core.Entitlement{Attributes: object{}} },
		read: func(f *fields, e *core.Entitlement) {
			text(f, "name", rule{required: true, max: 1000}, &e.Name)
			reference(f, "app", rule{required: true, about: "The application, by its UUID."}, &e.Application)
			dict(f, "attributes", &e.Attributes)
		},
		check: func(c *call, f *fields, e, old *core.Entitlement) error {
			if !f.has("app") || len(f.errs["app"]) > 0 || old != nil && old.Application == e.Application {
				return nil
			}
			_, err := c.Store.Application(c.ctx(), c.t, e.Application)
			if errors.Is(err, core.ErrNotFound) {
				f.fail("app", noPK(string(e.Application)))
				return nil
			}
			return err
		},
		show: func(_ *call, e *core.Entitlement) (any, error) {
			return object{"pbm_uuid": string(e.ID), "name": e.Name, "app": string(e.Application), "attributes": attributes(e.Attributes)}, nil
		},
		label: func(e *core.Entitlement) (string, string) { return string(e.ID), e.Name },
	}
}

// pageEntitlements looks at attributes here: an application has few entitlements.
func pageEntitlements(c *call, q Query) ([]core.Entitlement, int, error) {
	given := q.Where["attributes"]
	if given == nil {
		return c.Store.ListEntitlements(c.ctx(), c.t, q)
	}
	var wanted object
	if json.Unmarshal([]byte(given[0]), &wanted) != nil || wanted == nil {
		return nil, 0, invalid{"attributes": {"Value must be a JSON object."}}
	}
	delete(q.Where, "attributes")
	offset, limit := q.Offset, q.Limit
	rows, err := every(q, func(q Query) ([]core.Entitlement, int, error) { return c.Store.ListEntitlements(c.ctx(), c.t, q) })
	if err != nil {
		return nil, 0, err
	}
	rows = slices.DeleteFunc(rows, func(e core.Entitlement) bool {
		data, err := json.Marshal(e.Attributes)
		var is object
		if err != nil || json.Unmarshal(data, &is) != nil {
			return true
		}
		for name, value := range wanted {
			if v, there := is[name]; !there || !reflect.DeepEqual(v, value) {
				return true
			}
		}
		return false
	})
	start := min(offset, len(rows))
	return rows[start:min(start+limit, len(rows))], len(rows), nil
}
