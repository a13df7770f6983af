package core

import "time"

// Settings are those of one tenant, with authentik's names and meanings.
type Settings struct {
	// EventRetention is how long events stay in the audit log.
	EventRetention Timedelta    `json:"event_retention"`
	FooterLinks    []FooterLink `json:"footer_links"`
	// TokenDuration and TokenLength are those of keys for which nothing else is asked.
	TokenDuration Timedelta `json:"default_token_duration"`
	TokenLength   int       `json:"default_token_length"`
	// PageSize is that of lists for which none is asked, MaxPageSize the largest: more than
	// 500 rows no list has.
	PageSize    int `json:"pagination_default_page_size"`
	MaxPageSize int `json:"pagination_max_page_size"`

	// What follows is kept and shown, and nothing here is decided by it.
	Avatars             string         `json:"avatars"`
	ChangeName          bool           `json:"default_user_change_name"`
	ChangeEmail         bool           `json:"default_user_change_email"`
	ChangeUserName      bool           `json:"default_user_change_username"`
	GDPR                bool           `json:"gdpr_compliance"` // events of deleted users stay as long as others
	Impersonation       bool           `json:"impersonation"`
	ImpersonationReason bool           `json:"impersonation_require_reason"`
	ReputationLower     int            `json:"reputation_lower_limit"`
	ReputationUpper     int            `json:"reputation_upper_limit"`
	Flags               map[string]any `json:"flags"`
}

// FooterLink is shown at the foot of pages. Without Href it is a text.
type FooterLink struct {
	Name string `json:"name"`
	Href string `json:"href"`
}

// EventRetention is how long events stay where no setting says so.
const EventRetention = 365 * 24 * time.Hour

// DefaultSettings are those of a new tenant: authentik's, but for the sizes of pages, which
// are those of authentik's API before it had settings for them.
func DefaultSettings() *Settings {
	return &Settings{
		EventRetention: "days=365", GDPR: true, TokenDuration: "days=1", TokenLength: 60, PageSize: 100, MaxPageSize: 500,
		Avatars: "gravatar,initials", ChangeName: true, Impersonation: true, ImpersonationReason: true,
		ReputationLower: -5, ReputationUpper: 5, Flags: map[string]any{},
	}
}
