package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// Evaluator runs the expressions of property mappings, for people who test them.
type Evaluator interface {
	Eval(ctx context.Context, t core.TenantID, source string, env expression.Env) (any, error)
}

// kindsOfMapping are the resources of the three kinds.
func kindsOfMapping() map[core.MappingKind]*resource[core.PropertyMapping] {
	return map[core.MappingKind]*resource[core.PropertyMapping]{
		core.MappingScope: scopeMappings(), core.MappingSAML: samlMappings(), core.MappingSCIM: scimMappings(),
	}
}

func mappingRoutes() []route {
	const all = "propertymappings/all/"
	one := all + "{pm_uuid}/"
	return []route{
		{"GET", all, "authentik_core.view_propertymapping", listMappings, about("List property mappings of every kind").lists(mappingShape(), mappingListing())},
		{"GET", all + "types/", "authentik_core.view_propertymapping", mappingTypes, about("List the kinds of property mapping").gives(listShape(typeShape()))},
		{"GET", one, "authentik_core.view_propertymapping", retrieveMapping, about("Show a property mapping of any kind").gives(mappingShape())},
		{"DELETE", one, "authentik_core.delete_propertymapping", deleteMapping, about("Delete a property mapping of any kind")},
		{"POST", one + "test/", "authentik_core.view_propertymapping", testMapping, about("Run a property mapping for a user, by who may change it").by(
			flag("format_result", false, "Indent the result.")).takes("PropertyMappingTestRequest", new(mappingTest).read).gives(mappingResultShape())},
	}
}

// mappingShape is what mappings of every kind have.
func mappingShape() shape {
	members := []member{always("pk", uuidShape()), always("managed", textShape().orNull()), always("name", textShape()), always("expression", textShape())}
	return objectShape("PropertyMapping", append(members, kindMembers()...)...)
}

func mappingListing() listing {
	return listing{
		filters: map[string]filter{"name": byText, "managed": byTexts, "managed__isnull": byBool},
		order:   []string{"name", "managed"}, preset: []string{"name"},
	}
}

func listMappings(c *call) (reply, error) {
	q, p, err := c.query()
	if err != nil {
		return reply{}, err
	}
	var rows []core.PropertyMapping
	for kind := range kindsOfMapping() {
		some, err := every(q, func(q Query) ([]core.PropertyMapping, int, error) { return c.Store.ListMappings(c.ctx(), c.t, kind, q) })
		if err != nil {
			return reply{}, err
		}
		rows = append(rows, some...)
	}
	field, down := strings.CutPrefix(q.Order[0], "-")
	key := func(m *core.PropertyMapping) string {
		if field == "managed" {
			return m.Managed + "\x00" + string(m.ID)
		}
		return core.Fold(m.Name) + "\x00" + string(m.ID)
	}
	slices.SortFunc(rows, func(a, b core.PropertyMapping) int {
		if down {
			a, b = b, a
		}
		return strings.Compare(key(&a), key(&b))
	})
	var results []any
	for _, m := range cut(rows, p) {
		out, err := kindsOfMapping()[m.Kind].show(c, &m)
		if err != nil {
			return reply{}, err
		}
		results = append(results, out)
	}
	return envelope(p, len(rows), results)
}

// anyMapping finds a mapping of whatever kind.
func anyMapping(c *call) (*core.PropertyMapping, *resource[core.PropertyMapping], error) {
	for _, s := range kindsOfMapping() {
		m, err := s.find(c, c.key)
		if !errors.Is(err, core.ErrNotFound) {
			return m, s, err
		}
	}
	return nil, nil, noSuch("PropertyMapping")
}

func retrieveMapping(c *call) (reply, error) {
	m, s, err := anyMapping(c)
	if err != nil {
		return reply{}, err
	}
	return s.answer(c, m, ok)
}

func deleteMapping(c *call) (reply, error) {
	_, s, err := anyMapping(c)
	if err != nil {
		return reply{}, err
	}
	return s.serveDelete(c)
}

func mappingTypes(*call) (reply, error) {
	out := []object{}
	for _, t := range []struct{ name, text, component, model string }{
		{"Scope Mapping", "What an OpenID Connect client learns of a user, by scope.", "ak-property-mapping-provider-scope-form", "scopemapping"},
		{"SAML Provider Property Mapping", "An attribute of a SAML assertion.", "ak-property-mapping-provider-saml-form", "samlpropertymapping"},
		{"SCIM Provider Mapping", "Fields of what is provisioned by SCIM.", "ak-property-mapping-provider-scim-form", "scimmapping"},
	} {
		out = append(out, object{"name": t.name, "description": t.text, "component": t.component, "model_name": t.model, "requires_enterprise": false})
	}
	return ok(out)
}

// mappingTest is for whom a mapping is tried, and with what.
type mappingTest struct {
	user    int64
	group   core.GroupID
	context map[string]any
	source  string
}

func (t *mappingTest) read(f *fields) {
	integer(f, "user", rule{null: true}, &t.user)
	reference(f, "group", rule{null: true}, &t.group)
	dict(f, "context", &t.context)
	text(f, "expression", rule{null: true, blank: true, lines: true, max: 64 << 10, about: "What is run instead of what is stored."}, &t.source)
}

func mappingResultShape() shape {
	return objectShape("PropertyMappingTestResult", always("result", textShape()), always("successful", booleanShape()))
}

// testMapping runs a mapping in the same sandbox, and within the same limits, as a
// login does. Who may not change the mapping may not run it, neither as it is stored
// nor as the body has it.
func testMapping(c *call) (reply, error) {
	m, s, err := anyMapping(c)
	if err != nil {
		return reply{}, err
	}
	if err := c.require(right("change", s.app, s.model)); err != nil {
		return reply{}, err
	}
	var test mappingTest
	test.read(c.body)
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	if c.Evaluator == nil {
		return reply{}, errors.New("nothing that runs mappings is set up")
	}
	env := expression.Env{Request: c.info, Mapping: m, Context: orEmpty(test.context), Vars: map[string]any{}}
	if err := test.about(c, &env); err != nil {
		return reply{}, err
	}
	source := m.Expression
	if test.source != "" {
		source = test.source
	}
	value, err := c.Evaluator.Eval(c.ctx(), c.t, source, env)
	var out []byte
	switch {
	case errors.Is(err, expression.ErrBusy):
		return reply{}, errors.Join(core.ErrBusy, err)
	case c.ctx().Err() != nil:
		return reply{}, c.ctx().Err()
	case err == nil && c.param("format_result") == "true":
		out, err = json.MarshalIndent(value, "", "    ")
	case err == nil:
		out, err = json.Marshal(value)
	}
	if err != nil {
		return ok(object{"result": err.Error(), "successful": false})
	}
	return ok(object{"result": string(out), "successful": true})
}

// about puts whom a test is about into env, where they may be seen.
func (t *mappingTest) about(c *call, env *expression.Env) error {
	if t.user != 0 {
		if t.user != c.user.PK {
			if err := c.require("authentik_core.view_user"); err != nil {
				return err
			}
		}
		u, err := c.Store.UserByPK(c.ctx(), c.t, t.user)
		if errors.Is(err, core.ErrNotFound) {
			return invalid{"user": {noPK(strconv.FormatInt(t.user, 10))}}
		}
		if err != nil {
			return err
		}
		groups, err := c.Store.UserGroups(c.ctx(), c.t, u.ID)
		if err != nil {
			return err
		}
		env.User, env.Groups, env.HashedUserID = u, list(groups), u.HashedID(c.info.Tenant.UUID)
	}
	if t.group != "" {
		if err := c.require("authentik_core.view_group"); err != nil {
			return err
		}
		g, err := c.group(t.group)
		if errors.Is(err, core.ErrNotFound) {
			return invalid{"group": {noPK(string(t.group))}}
		}
		if err != nil {
			return err
		}
		env.Vars["group"] = g
	}
	return nil
}
