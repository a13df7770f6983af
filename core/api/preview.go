package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

func previewShape() shape {
	return objectShape("PropertyMappingPreview", always("preview", dictShape()),
		always("warnings", listShape(objectShape("PreviewWarning", texts("field", "message")...))))
}

// previewUser is what the client would learn of a user: the one who asks, or
// for_user.
func previewUser(c *call) (reply, error) {
	v, err := findProvider[*core.Client](c, c.key)
	if err != nil {
		return reply{}, found(err, "OAuth2Provider")
	}
	if c.Preview == nil {
		return reply{}, &problem{400, "A preview is not available on this server."}
	}
	user, err := c.forUser()
	if err != nil {
		return reply{}, err
	}
	app, err := c.Store.ApplicationByProvider(c.ctx(), c.t, v.ID)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return reply{}, err
	}
	all, failed, err := c.Preview.Preview(c.ctx(), v, app, user, nil)
	if err != nil {
		return reply{}, err
	}
	seen, asked := all, strings.Fields(c.param("scope"))
	if len(asked) > 0 {
		if seen, failed, err = c.Preview.Preview(c.ctx(), v, app, user, asked); err != nil {
			return reply{}, err
		}
	}
	mappings, err := c.Store.Mappings(c.ctx(), c.t, v.Mappings)
	if err != nil {
		return reply{}, err
	}
	found := append(notGranted(mappings, asked), failing(failed)...)
	m := &minioClient{client: v, app: app, mappings: mappings, all: all, given: seen, asked: asked}
	if m.isMinIO() {
		found = append(found, m.warnings()...)
	}
	warnings := []object{}
	for _, w := range found {
		warnings = append(warnings, object{"field": w.field, "message": w.message})
	}
	return ok(object{"preview": seen, "warnings": warnings})
}

// notGranted tells which scopes the provider does not have.
func notGranted(mappings []core.PropertyMapping, asked []string) []warning {
	var out []warning
	for _, scope := range asked {
		if scope != "openid" && scope != "offline_access" && !slices.ContainsFunc(mappings, func(m core.PropertyMapping) bool { return m.ScopeName == scope }) {
			out = append(out, warning{"scope", fmt.Sprintf("None of the provider's mappings is for the scope %q, so it is not granted: add one, or do not request it.", scope)})
		}
	}
	return out
}

// failing tells which mappings fail for the user, with the line.
func failing(failed []core.MappingFailure) []warning {
	var out []warning
	for _, f := range failed {
		consequence := "its claims are left out"
		if f.Mapping.Managed == "" {
			consequence = "the claims of all mappings that are not built in are left out"
		}
		out = append(out, warning{"property_mappings", fmt.Sprintf("The mapping %q fails for this user: %v; %s.", f.Mapping.Name, f.Err, consequence)})
	}
	return out
}
