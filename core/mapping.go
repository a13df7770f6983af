package core

import "time"

// MappingID is a UUIDv7 in text form.
type MappingID string

// MappingKind is what a property mapping feeds.
type MappingKind string

// The kinds of property mapping.
const (
	MappingScope MappingKind = "scope"
	MappingSAML  MappingKind = "saml"
	MappingSCIM  MappingKind = "scim"
)

// PropertyMapping is an expression from a user and a request to claims, SAML
// attributes or SCIM fields.
type PropertyMapping struct {
	ID   MappingID
	Kind MappingKind
	// Managed is the stable name of a default mapping, such as
	// "goauthentik.io/providers/oauth2/scope-email"; empty for an admin's own.
	Managed    string
	Name       string // unique per kind in the tenant
	Expression string // Python, as core/expression takes it

	ScopeName   string // scope: the scope that releases it
	Description string // scope: shown on the consent page; empty: not shown there

	SAMLName     string // saml: the attribute's Name
	FriendlyName string // saml: the attribute's FriendlyName

	// Claims are the top-level keys that the expression gave for no user when it
	// was saved: claims_supported of discovery, so that discovery runs nothing.
	Claims []string

	Created time.Time
	Updated time.Time
}

// A MappingFailure tells why a mapping gave a user nothing.
type MappingFailure struct {
	Mapping PropertyMapping
	Err     error
}
