package core

import (
	"crypto/sha1" //nolint:gosec // UUID version 5 is defined with SHA-1 (RFC 9562 §5.5); it guards nothing here
	"fmt"
	"strings"
)

// Flow is one of the built-in sequences of pages that other programs name by
// slug or ID. Flows are not an engine: the list is fixed, and each is one
// sequence of steps in core/login.
type Flow struct {
	ID    string // a UUID: differs from tenant to tenant, the same at every start
	Slug  string
	Name  string
	Title string
	// Designation is what the flow is for: "authentication", "authorization",
	// "invalidation" or "stage_configuration".
	Designation string
	// Authentication says who may enter: "none" or "require_authenticated".
	Authentication string
}

// The slugs of the built-in flows.
const (
	FlowAuthentication       = "default-authentication-flow"
	FlowInvalidation         = "default-invalidation-flow"
	FlowProviderInvalidation = "default-provider-invalidation-flow"
	FlowImplicitConsent      = "default-provider-authorization-implicit-consent"
	FlowExplicitConsent      = "default-provider-authorization-explicit-consent"
	FlowUserSettings         = "default-user-settings-flow"
	FlowPasswordChange       = "default-password-change"
	FlowTOTPSetup            = "default-authenticator-totp-setup"
	FlowStaticSetup          = "default-authenticator-static-setup"
	FlowWebAuthnSetup        = "default-authenticator-webauthn-setup"
	FlowInitialSetup         = "initial-setup"
)

// Flows lists the built-in flows of a tenant, ordered by slug.
func Flows(tenantUUID string) []Flow {
	const required = "require_authenticated"
	flows := []Flow{
		{Slug: FlowAuthentication, Name: "Welcome to authentik!", Title: "Welcome to authentik!", Designation: "authentication", Authentication: "none"},
		{Slug: FlowStaticSetup, Name: FlowStaticSetup, Title: "Setup Static OTP Tokens", Designation: "stage_configuration", Authentication: required},
		{Slug: FlowTOTPSetup, Name: FlowTOTPSetup, Title: "Setup Two-Factor authentication", Designation: "stage_configuration", Authentication: required},
		{Slug: FlowWebAuthnSetup, Name: FlowWebAuthnSetup, Title: "Set up WebAuthn", Designation: "stage_configuration", Authentication: required},
		{Slug: FlowInvalidation, Name: "Logout", Title: "Default Invalidation Flow", Designation: "invalidation", Authentication: required},
		{Slug: FlowPasswordChange, Name: "Change Password", Title: "Change password", Designation: "stage_configuration", Authentication: required},
		{Slug: FlowExplicitConsent, Name: "Authorize Application", Title: "Redirecting to %(app)s", Designation: "authorization", Authentication: required},
		{Slug: FlowImplicitConsent, Name: "Authorize Application", Title: "Redirecting to %(app)s", Designation: "authorization", Authentication: required},
		{Slug: FlowProviderInvalidation, Name: "Logged out of application", Title: "You've logged out of %(app)s.", Designation: "invalidation", Authentication: "none"},
		{Slug: FlowUserSettings, Name: "User settings", Title: "Update your info", Designation: "stage_configuration", Authentication: required},
		{Slug: FlowInitialSetup, Name: "default-oobe-setup", Title: "Welcome to authentik!", Designation: "stage_configuration", Authentication: "none"},
	}
	for i := range flows {
		flows[i].ID = flowID(tenantUUID, flows[i].Slug)
	}
	return flows
}

// FlowBySlug finds a built-in flow by its slug.
func FlowBySlug(tenantUUID, slug string) (Flow, bool) {
	for _, f := range Flows(tenantUUID) {
		if f.Slug == slug {
			return f, true
		}
	}
	return Flow{}, false
}

// FlowByID finds a built-in flow of the tenant by its ID, however the letters
// are cased.
func FlowByID(tenantUUID, id string) (Flow, bool) {
	for _, f := range Flows(tenantUUID) {
		if strings.EqualFold(f.ID, id) {
			return f, true
		}
	}
	return Flow{}, false
}

// flowID is a UUIDv5 (RFC 9562 §5.5) in the URL name space of the tenant's UUID
// and the slug: nothing has to be stored for it to stay as it is.
func flowID(tenantUUID, slug string) string {
	urlSpace := []byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	sum := sha1.Sum(append(urlSpace, "urn:uuid:"+strings.ToLower(tenantUUID)+"/flows/"+slug...)) //nolint:gosec // as above
	id := sum[:16]
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
}
