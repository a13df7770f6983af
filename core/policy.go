package core

import "time"

// PolicyID is a UUIDv7 in text form.
type PolicyID string

// ExpressionPolicy is an expression that lets a request pass or not. It decides
// nothing until it is bound to an application: see core/policy.
type ExpressionPolicy struct {
	ID         PolicyID
	Name       string // unique in the tenant
	Expression string // Python, as core/expression takes it
	// Logging records each run as an event, not only those that fail.
	Logging bool
	Created time.Time
	Updated time.Time
}

// EntitlementID is a UUIDv7 in text form.
type EntitlementID string

// Entitlement is what some users of one application may do in it, by name. Who has
// it follows from the bindings to users and groups that target it.
type Entitlement struct {
	ID          EntitlementID
	Application ApplicationID
	Name        string // unique in the application
	Attributes  map[string]any
	Created     time.Time
	Updated     time.Time
}
