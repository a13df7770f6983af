package expression

import (
	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// entitlements is user.app_entitlements(app): none where app is None, as in authentik.
func (r *run) entitlements(p *person, app starlark.Value) []*object {
	if app == starlark.None || p.user == nil {
		return nil
	}
	o, _ := app.(*object)
	if o == nil || o.kind != "Application" {
		fail("TypeError: an application is needed here, not %s: provider.application, or request.obj of a policy", quote(typeName(app)))
	}
	if r.Entitlements == nil {
		return nil
	}
	teams := p.all(r)
	groups := make([]core.Group, len(teams))
	r.alloc(160 * len(teams))
	for i, g := range teams {
		groups[i] = *asGroup(g).group
	}
	var all []core.Entitlement
	r.askOther("find the entitlements of a user", func() (err error) {
		all, err = r.Entitlements(r.ctx, r.tenant, p.user, groups, core.ApplicationID(o.id))
		return err
	})
	out := make([]*object, len(all))
	for i := range all {
		out[i] = r.entitlement(&all[i], o)
	}
	return out
}

func (r *run) entitlement(e *core.Entitlement, app *object) *object {
	r.alloc(320 + weight(e.Attributes))
	o := &object{kind: "ApplicationEntitlement", id: string(e.ID), text: func() string { return e.Name }, data: e}
	o.get = func(name string) starlark.Value {
		switch name {
		case "pk", "pbm_uuid", "app_entitlement_uuid":
			return starlark.String(string(e.ID))
		case "name":
			return starlark.String(e.Name)
		case "app":
			return app
		case "attributes":
			r.alloc(weight(e.Attributes) / 4)
			return r.fromGo(orEmpty(e.Attributes), 0)
		}
		return nil
	}
	return o
}

// entitlementAttributes is user.app_entitlements_attributes(app): the attributes of all, merged
// in the order of their names.
func (r *run) entitlementAttributes(p *person, app starlark.Value) starlark.Value {
	merged := map[string]any{}
	for _, o := range r.entitlements(p, app) {
		e, _ := o.data.(*core.Entitlement)
		r.alloc(2 * weight(e.Attributes))
		Merge(merged, e.Attributes)
	}
	v := r.fromGo(merged, 0)
	thaw(v)
	return v
}
