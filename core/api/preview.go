package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
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
	all, err := c.Preview.Preview(c.ctx(), v, app, user, nil)
	if err != nil {
		return reply{}, err
	}
	seen, asked := all, strings.Fields(c.param("scope"))
	if len(asked) > 0 {
		if seen, err = c.Preview.Preview(c.ctx(), v, app, user, asked); err != nil {
			return reply{}, err
		}
	}
	mappings, err := c.Store.Mappings(c.ctx(), c.t, v.Mappings)
	if err != nil {
		return reply{}, err
	}
	found, err := c.failing(v, app, user, mappings, asked)
	if err != nil {
		return reply{}, err
	}
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

// failing tells which scopes the provider does not have, and which mappings fail for
// the user, with the line.
func (c *call) failing(v *core.Client, app *core.Application, user *core.User, mappings []core.PropertyMapping, asked []string) ([]warning, error) {
	var out []warning
	for _, scope := range asked {
		if scope != "openid" && scope != "offline_access" && !slices.ContainsFunc(mappings, func(m core.PropertyMapping) bool { return m.ScopeName == scope }) {
			out = append(out, warning{"scope", fmt.Sprintf("None of the provider's mappings is for the scope %q, so it is not granted: add one, or do not request it.", scope)})
		}
	}
	if c.Evaluator == nil {
		return out, nil
	}
	groups, err := c.Store.UserGroups(c.ctx(), c.t, user.ID)
	if err != nil {
		return nil, err
	}
	for i := range mappings {
		m := &mappings[i]
		if len(asked) > 0 && !slices.Contains(asked, m.ScopeName) {
			continue
		}
		_, err := c.Evaluator.Eval(c.ctx(), c.t, m.Expression, expression.Env{
			User: user, Groups: list(groups), HashedUserID: user.HashedID(c.info.Tenant.UUID), Request: c.info, Provider: v, Application: app, Mapping: m,
			Context: map[string]any{"oauth_scopes": asked},
		})
		if err == nil {
			continue
		}
		if c.ctx().Err() != nil {
			return nil, c.ctx().Err()
		}
		consequence := "its claims are left out"
		if m.Managed == "" {
			consequence = "the claims of all mappings that are not built in are left out"
		}
		out = append(out, warning{"property_mappings", fmt.Sprintf("The mapping %q fails for this user: %v; %s.", m.Name, err, consequence)})
	}
	return out, nil
}
