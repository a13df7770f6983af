package core

import (
	"context"
	"time"
)

// The actions of the audit log, with authentik's names.
const (
	EventLogin              = "login"
	EventLoginFailed        = "login_failed"
	EventLogout             = "logout"
	EventAuthorize          = "authorize_application"
	EventDenied             = "policy_denied" // authentik: a message of authorize_application; Message is the decision's ID
	EventPolicyExecution    = "policy_execution"
	EventPolicyException    = "policy_exception"
	EventSuspicious         = "suspicious_request"
	EventPasswordSet        = "password_set"
	EventSecretView         = "secret_view"
	EventTokenRevoked       = "token_revoked"
	EventModelCreated       = "model_created"
	EventModelUpdated       = "model_updated"
	EventModelDeleted       = "model_deleted"
	EventMappingException   = "property_mapping_exception"
	EventConfigurationError = "configuration_error"
	EventSystemException    = "system_exception"
	EventRecoveryUsed       = "recovery_used"
	EventSecretRotate       = "secret_rotate"
)

// EventApp stands for the application label of an event that is about no object.
const EventApp = "postern"

// EventActions lists every action.
func EventActions() []string {
	return []string{
		EventLogin, EventLoginFailed, EventLogout, EventAuthorize, EventDenied, EventSuspicious, EventPasswordSet, EventSecretView,
		EventSecretRotate, EventTokenRevoked, EventModelCreated, EventModelUpdated, EventModelDeleted,
		EventMappingException, EventConfigurationError, EventSystemException, EventRecoveryUsed,
	}
}

// Event is one line of the audit log: who did what, from where, and what came
// of it. It never holds a secret.
type Event struct {
	ID          string // UUIDv7; set by Record where empty
	Time        time.Time
	Expires     time.Time // when it is deleted; set where it is read
	Action      string
	User        UserID
	UserName    string // as it was then, or as it was typed
	Application ApplicationID
	Address     string
	Message     string
	Context     map[string]any // JSON
}

// Events is the audit log.
type Events interface {
	Record(ctx context.Context, t TenantID, e Event) error
}
