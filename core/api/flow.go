package api

import (
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// Flows are built in: they can be found and named, and not changed.

func flowListing() listing {
	return listing{
		filters: map[string]filter{"slug": byText, "designation": byText, "name": byText, "flow_uuid": byUUID, "denied_action": byText},
		order:   []string{"slug", "name", "designation"},
	}
}

func listFlows(c *call) (reply, error) {
	q, p, err := c.query()
	if err != nil {
		return reply{}, err
	}
	flows := slices.DeleteFunc(core.Flows(c.info.Tenant.UUID), func(f core.Flow) bool {
		if c.single != "" && !c.rights.HasOn(c.single, f.ID) {
			return true
		}
		for name, values := range q.Where {
			if !slices.Contains(values, flowField(f, name)) {
				return true
			}
		}
		for word := range strings.FieldsSeq(core.Fold(q.Search)) {
			if !strings.Contains(core.Fold(f.Slug+" "+f.Name), word) {
				return true
			}
		}
		return false
	})
	for _, name := range slices.Backward(q.Order) {
		field, descending := strings.CutPrefix(name, "-")
		slices.SortStableFunc(flows, func(a, b core.Flow) int {
			if descending {
				a, b = b, a
			}
			return strings.Compare(flowField(a, field), flowField(b, field))
		})
	}
	var results []any
	for _, f := range cut(flows, p) {
		results = append(results, showFlow(f))
	}
	return envelope(p, len(flows), results)
}

func flowField(f core.Flow, name string) string {
	switch name {
	case "slug":
		return f.Slug
	case "name":
		return f.Name
	case "designation":
		return f.Designation
	case "flow_uuid":
		return f.ID
	case "denied_action":
		return "message_continue"
	}
	return ""
}

func retrieveFlow(c *call) (reply, error) {
	f, found := core.FlowBySlug(c.info.Tenant.UUID, c.key)
	if !found || !c.mayOn(f.ID) {
		return reply{}, noSuch("Flow")
	}
	return ok(showFlow(f))
}

func hasFlow(c *call, pk string) (bool, error) {
	_, found := core.FlowByID(c.info.Tenant.UUID, pk)
	return found, nil
}

func showFlow(f core.Flow) object {
	return object{
		"pk": f.ID, "policybindingmodel_ptr_id": f.ID, "slug": f.Slug, "name": f.Name, "title": f.Title,
		"designation": f.Designation, "authentication": f.Authentication,
		"background": "", "background_url": "", "background_themed_urls": nil,
		"stages": []string{}, "policies": []string{}, "cache_count": 0, "policy_engine_mode": "any",
		"compatibility_mode": false, "export_url": "", "layout": "stacked", "denied_action": "message_continue",
	}
}

func flowShape() shape {
	return objectShape("Flow",
		always("pk", uuidShape()), always("policybindingmodel_ptr_id", uuidShape()), always("name", textShape()), always("slug", textShape()), always("title", textShape()),
		always("designation", choiceShape("authentication", "authorization", "invalidation", "enrollment", "unenrollment", "recovery", "stage_configuration")),
		always("background", textShape()), always("background_url", textShape()), always("background_themed_urls", themedURLsShape().orNull()),
		always("stages", listShape(uuidShape())), always("policies", listShape(uuidShape())), always("cache_count", integerShape()),
		always("policy_engine_mode", choiceShape("all", "any")), always("compatibility_mode", booleanShape()), always("export_url", textShape()),
		always("layout", choiceShape("stacked", "content_left", "content_right", "sidebar_left", "sidebar_right", "sidebar_left_frame_background", "sidebar_right_frame_background")),
		always("denied_action", choiceShape("message_continue", "message", "continue")),
		always("authentication", choiceShape("none", "require_authenticated", "require_unauthenticated", "require_superuser", "require_redirect", "require_outpost")),
	)
}

// flow reads a field that names a flow by its ID, and checks what it is for.
func flow(f *fields, name string, r rule, into *string) { reference(f, name, r, into) }

// checkFlow checks that id, where it is not empty, names a flow of the
// designation.
func checkFlow(c *call, f *fields, name, id, designation string) {
	if id == "" || len(f.errs[name]) > 0 {
		return
	}
	switch fl, found := core.FlowByID(c.info.Tenant.UUID, id); {
	case !found:
		f.fail(name, noPK(id))
	case fl.Designation != designation:
		f.fail(name, "The flow "+fl.Slug+" is for "+fl.Designation+"; this field takes one for "+designation+".")
	}
}

// noPK words a reference to what does not exist, as Django REST Framework does.
func noPK(id string) string { return `Invalid pk "` + id + `" - object does not exist.` }
