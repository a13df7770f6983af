package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// lookup reports whether there is an object with a key.
type lookup func(c *call, pk string) (bool, error)

// singly are the kinds on whose single objects rights are given, by app.model: those that
// are served by what asks for each object, under a key that never becomes another's. A path that names
// an application or a token by what can be renamed is held to the key by the store.
func singly() map[string]lookup {
	return map[string]lookup{
		"authentik_core.user":                            users().has,
		"authentik_core.group":                           groups().has,
		"authentik_core.application":                     applications().has,
		"authentik_core.token":                           tokens().has,
		"authentik_brands.brand":                         brands().has,
		"authentik_flows.flow":                           hasFlow,
		"authentik_core.applicationentitlement":          entitlements().has,
		"authentik_providers_oauth2.oauth2provider":      clients().has,
		"authentik_providers_oauth2.scopemapping":        scopeMappings().has,
		"authentik_providers_proxy.proxyprovider":        proxyProviders().has,
		"authentik_providers_saml.samlpropertymapping":   samlMappings().has,
		"authentik_providers_scim.scimmapping":           scimMappings().has,
		"authentik_crypto.certificatekeypair":            keyPairs().has,
		"authentik_policies.policybinding":               bindings().has,
		"authentik_policies_expression.expressionpolicy": policies().has,
		"authentik_rbac.role":                            roles().has,
	}
}

// has looks for an object by its key.
func (s *resource[T]) has(c *call, pk string) (bool, error) {
	rows, _, err := s.page(c, Query{Only: []string{pk}, Limit: 1})
	var field *core.FieldError
	if errors.As(err, &field) {
		return false, nil // it is no key of this kind
	}
	return len(rows) > 0, err
}

// onObject reports whether a permission can be given on a single object: to view, change
// or delete it.
func (p permission) onObject() bool {
	verb, _, _ := strings.Cut(p.Codename(), "_")
	return slices.Contains([]string{"view", "change", "delete"}, verb) && p.Permission == right(verb, p.kind.app, p.kind.model)
}

// readObject reads which object the permissions are on, if on a single one.
func (a *assignment) readObject(f *fields) {
	text(f, "model", rule{null: true, blank: true, max: 255}, &a.model)
	text(f, "object_pk", rule{null: true, blank: true, max: 255}, &a.object)
	if a.object == "" {
		if a.model != "" {
			f.fail("object_pk", "Name the object, or leave out model to give permissions on all objects.")
		}
		return
	}
	if _, there := singly()[a.model]; !there {
		f.fail("model", "Permissions are not given on single objects of this kind. Name one as authentik_core.user or authentik_core.group.")
		return
	}
	for _, p := range a.permissions {
		if k, _ := known(p); !k.onObject() || k.kind.app+"."+k.kind.model != a.model {
			f.fail("permissions", fmt.Sprintf("%s cannot be given on a single %s: only those to view, change and delete it can.", p, a.model))
		}
	}
}

// checkObject refuses an object that is not there. Whoever has not the rights learns
// nothing of it.
func (a *assignment) checkObject(c *call) error {
	if a.object == "" {
		return nil
	}
	for _, p := range a.permissions {
		if !c.rights.HasOn(p, a.object) {
			return errBeyond
		}
	}
	there, err := singly()[a.model](c, a.object)
	if err == nil && !there {
		return invalid{"object_pk": {noPK(a.object)}}
	}
	return err
}
