package api

import (
	"errors"
	"strings"

	"github.com/postern-sso/postern/core"
)

// mappingKind is what differs between the three kinds of property mapping.
type mappingKind struct {
	kind           core.MappingKind
	model, app     string
	verbose        string
	component      string
	filters, order []string
	members        []member
	read           func(f *fields, m *core.PropertyMapping)
	show           func(m *core.PropertyMapping, out object)
}

func scopeMappings() *resource[core.PropertyMapping] {
	return mappings(mappingKind{
		kind: core.MappingScope, model: "ScopeMapping", app: "authentik_providers_oauth2", verbose: "Scope Mapping",
		component: "ak-property-mapping-provider-scope-form",
		filters:   []string{"name", "scope_name"}, order: []string{"name", "managed", "scope_name"},
		read: func(f *fields, m *core.PropertyMapping) {
			text(f, "scope_name", rule{required: true, max: 255}, &m.ScopeName)
			if len(f.errs["scope_name"]) == 0 && strings.ContainsFunc(m.ScopeName, notScopeChar) {
				f.fail("scope_name", "A scope is one word of printable ASCII characters, without quotation marks or backslashes.")
			}
			text(f, "description", rule{blank: true, null: true, lines: true}, &m.Description)
		},
		show: func(m *core.PropertyMapping, out object) {
			out["scope_name"], out["description"] = m.ScopeName, m.Description
		},
	})
}

// notScopeChar: RFC 6749 §3.3, scope-token.
func notScopeChar(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }

func samlMappings() *resource[core.PropertyMapping] {
	return mappings(mappingKind{
		kind: core.MappingSAML, model: "SAMLPropertyMapping", app: "authentik_providers_saml", verbose: "SAML Provider Property Mapping",
		component: "ak-property-mapping-provider-saml-form",
		filters:   []string{"name", "saml_name", "friendly_name"}, order: []string{"name", "managed", "saml_name"},
		members: []member{always("friendly_name", textShape().orNull())},
		read: func(f *fields, m *core.PropertyMapping) {
			text(f, "saml_name", rule{required: true}, &m.SAMLName)
			text(f, "friendly_name", rule{blank: true, null: true}, &m.FriendlyName)
		},
		show: func(m *core.PropertyMapping, out object) {
			out["saml_name"], out["friendly_name"] = m.SAMLName, orNull(m.FriendlyName)
		},
	})
}

func scimMappings() *resource[core.PropertyMapping] {
	return mappings(mappingKind{
		kind: core.MappingSCIM, model: "SCIMMapping", app: "authentik_providers_scim", verbose: "SCIM Provider Mapping",
		component: "ak-property-mapping-provider-scim-form",
		filters:   []string{"name"}, order: []string{"name", "managed"},
		read: func(*fields, *core.PropertyMapping) {},
		show: func(*core.PropertyMapping, object) {},
	})
}

func mappings(k mappingKind) *resource[core.PropertyMapping] {
	filters := map[string]filter{"managed": byTexts, "managed__isnull": byBool}
	for _, name := range k.filters {
		filters[name] = byText
	}
	find := func(c *call, key string) (*core.PropertyMapping, error) {
		id, valid := uuid(key)
		if !valid {
			return nil, core.ErrNotFound
		}
		return c.Store.Mapping(c.ctx(), c.t, k.kind, core.MappingID(id))
	}
	return &resource[core.PropertyMapping]{
		model: k.model, app: k.app, verbose: k.verbose, key: "pm_uuid",
		members: append(append([]member{always("pk", uuidShape()), always("managed", textShape().orNull())}, kindMembers()...), k.members...),
		listing: listing{filters: filters, order: k.order, preset: []string{"name"}},
		find:    find,
		page: func(c *call, q Query) ([]core.PropertyMapping, int, error) {
			return c.Store.ListMappings(c.ctx(), c.t, k.kind, q)
		},
		create: func(c *call, m *core.PropertyMapping) error { return c.Store.CreateMapping(c.ctx(), c.t, m) },
		update: func(c *call, key string, change func(*core.PropertyMapping) error) (*core.PropertyMapping, error) {
			id, _ := uuid(key)
			return c.Store.UpdateMapping(c.ctx(), c.t, k.kind, core.MappingID(id), change)
		},
		remove: func(c *call, key string) error {
			id, _ := uuid(key)
			return c.Store.DeleteMapping(c.ctx(), c.t, k.kind, core.MappingID(id))
		},
		fresh: func(*call) *core.PropertyMapping { return &core.PropertyMapping{Kind: k.kind} },
		// "managed" is not read: it is how the default mappings are told from an
		// administrator's own.
		read: func(f *fields, m *core.PropertyMapping) {
			text(f, "name", rule{required: true, max: 1000}, &m.Name)
			text(f, "expression", rule{required: true, lines: true, max: 64 << 10}, &m.Expression)
			k.read(f, m)
		},
		check: func(c *call, f *fields, m, _ *core.PropertyMapping) error {
			if !f.has("expression") || len(f.errs["expression"]) > 0 {
				return nil
			}
			if c.Expressions == nil {
				return errors.New("no expression parser is set up")
			}
			if err := c.Expressions.Check(m.Expression); err != nil {
				f.fail("expression", "Expression Syntax Error: "+err.Error())
				return nil
			}
			if c.Claims != nil && k.kind == core.MappingScope && len(f.errs) == 0 {
				m.Claims = c.Claims.Claims(c.ctx(), c.t, m)
			}
			return nil
		},
		carry: func(from, to *core.PropertyMapping) { to.Claims = from.Claims },
		show: func(c *call, m *core.PropertyMapping) (any, error) {
			out := object{
				"pk": string(m.ID), "managed": orNull(m.Managed), "name": m.Name, "expression": m.Expression,
				"component": k.component, "verbose_name": k.verbose, "verbose_name_plural": k.verbose + "s",
				"meta_model_name": k.app + "." + strings.ToLower(k.model),
			}
			k.show(m, out)
			return out, nil
		},
		label: func(m *core.PropertyMapping) (string, string) { return string(m.ID), m.Name },
	}
}
