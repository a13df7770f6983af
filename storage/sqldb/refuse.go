package sqldb

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
)

// taken turns a violated unique constraint into the field that the caller used.
func (x *tx) taken(err error) error {
	if err == nil {
		return nil
	}
	column, ok := x.db.engine.unique(err)
	if !ok {
		return err
	}
	what, field := uniqueField(column)
	if field == "" {
		return fmt.Errorf("%s: %w", column, core.ErrExists)
	}
	return &core.FieldError{Field: field, Message: what + " with this " + field + " already exists.", Err: core.ErrExists}
}

// uniqueField names each unique column as the API does.
func uniqueField(column string) (what, field string) {
	switch column {
	case "users.username_fold":
		return "User", "username"
	case "groups.name":
		return "Group", "name"
	case "roles.name":
		return "Role", "name"
	case "key_pairs.name":
		return "Certificate-Key Pair", "name"
	case "key_pairs.managed":
		return "Certificate-Key Pair", "managed"
	case "mappings.kind_name":
		return "Property Mapping", "name"
	case "mappings.managed":
		return "Property Mapping", "managed"
	case "providers.name":
		return "Provider", "name"
	case "providers.client_id":
		return "Provider", "client_id"
	case "applications.slug":
		return "Application", "slug"
	case "applications.provider_id":
		return "Application", "provider"
	case "policies.name":
		return "Policy", "name"
	case "entitlements.application_id_name":
		return "Application Entitlement", "name"
	case "tokens.identifier":
		return "Token", "identifier"
	case "tokens.managed":
		return "Token", "managed"
	case "tokens.key_hash":
		return "Token", "key"
	case "brands.domain_fold":
		return "Brand", "domain"
	case "domains.domain":
		return "Domain", "domain"
	}
	return "", ""
}

// missing refuses a reference to what does not exist, in the words of the API.
func missing(field string, id any) error {
	return &core.FieldError{Field: field, Message: fmt.Sprintf(`Invalid pk "%v" - object does not exist.`, id), Err: core.ErrNotFound}
}

// refers refuses a reference that finds no row by $1.
func (x *tx) refers(ctx context.Context, field string, id any, query string) error {
	var one int
	err := x.row(ctx, query, id).Scan(&one)
	if errors.Is(err, core.ErrNotFound) || errors.Is(err, errText) {
		return missing(field, id)
	}
	return err
}

// seal encrypts a secret for one place in the tenant's tables.
func (c *conn) seal(purpose, place string, secret core.Secret) []byte {
	return c.db.master.Seal(c.tenant, purpose, place, []byte(secret))
}

func (c *conn) unseal(purpose, place string, sealed []byte) (core.Secret, error) {
	b, err := c.db.master.Open(c.tenant, purpose, place, sealed)
	if err != nil {
		return "", fmt.Errorf("%s: %w", place, err)
	}
	return core.Secret(b), nil
}
