package core

import "time"

// ApplicationID is a UUIDv7 in text form, or "caddyfile:" and a host for one
// that the Caddyfile declares.
type ApplicationID string

// Application is what a person sees in "My applications" and what a policy
// guards. It has at most one Provider, and any number of backchannel ones.
type Application struct {
	ID       ApplicationID
	Slug     string // unique in the tenant; part of its issuer's URL
	Name     string
	Group    string // heading it is listed under
	Provider ProviderID
	// Backchannel names SCIM providers that follow the directory.
	Backchannel  []ProviderID
	LaunchURL    string // may hold %(username)s and its like
	Icon         string // URL, or the name of a media file
	Description  string
	Publisher    string
	OpenInNewTab bool
	// PolicyMode is "any" or "all": how many of its bindings must pass. An
	// application without bindings is open to every active user.
	PolicyMode string
	// AllowGroups is set only on an application that the Caddyfile declares:
	// names of groups, one of which a user must be in. Empty: no such rule.
	AllowGroups []string
	Created     time.Time
	Updated     time.Time
}

// ProviderID is the integer that the API shows for providers of every kind: one
// sequence per tenant, never used again within it. Zero: none.
type ProviderID int64

// Provider is how one application is connected: *Client or *ProxyProvider. The
// set is closed.
type Provider interface {
	ProviderID() ProviderID
	isProvider()
}

// ProviderBase is what all kinds share.
type ProviderBase struct {
	ID   ProviderID
	Name string // unique in the tenant
	// The flows are IDs from the tenant's list of built-in flows. Empty: the default.
	AuthenticationFlow string
	AuthorizationFlow  string
	InvalidationFlow   string
	Mappings           []MappingID // as assigned; evaluated in the order of their names
	Created            time.Time
	Updated            time.Time
}

// ProviderID returns the ID.
func (p *ProviderBase) ProviderID() ProviderID { return p.ID }
func (*ProviderBase) isProvider()              {}

// MatchingMode says how a redirect URI is compared.
type MatchingMode string

// Strict compares byte by byte (RFC 9700 §2.1); Regex matches the whole URI
// against an RE2 expression.
const (
	MatchStrict MatchingMode = "strict"
	MatchRegex  MatchingMode = "regex"
)

// RedirectURI is one place where an authorization response may be sent.
type RedirectURI struct {
	Mode MatchingMode
	URL  string
}

// ClientType is confidential or public (RFC 6749 §2.1).
type ClientType string

// The two client types.
const (
	ClientConfidential ClientType = "confidential"
	ClientPublic       ClientType = "public"
)

// SubMode says what a client gets as the subject identifier.
type SubMode string

// The six subject modes.
const (
	SubHashedUserID SubMode = "hashed_user_id"
	SubUserID       SubMode = "user_id"
	SubUserUUID     SubMode = "user_uuid"
	SubUserName     SubMode = "user_username"
	SubUserEmail    SubMode = "user_email"
	SubUserUPN      SubMode = "user_upn"
)

// IssuerMode says whether each application is an issuer of its own.
type IssuerMode string

// The two issuer modes.
const (
	IssuerPerProvider IssuerMode = "per_provider"
	IssuerGlobal      IssuerMode = "global"
)

// Client is an OAuth 2.0 client, an OpenID Connect relying party.
type Client struct {
	ProviderBase
	ClientID string // unique in the tenant
	Type     ClientType
	Secret   Secret // encrypted at rest; the signing key of HS256 where SigningKey is empty

	RedirectURIs []RedirectURI

	CodeValidity    Timedelta // default minutes=1; above minutes=10 it counts as that
	AccessValidity  Timedelta // default hours=1
	RefreshValidity Timedelta // default days=30
	// RefreshThreshold: a refresh token with more than this left is returned
	// again rather than rotated. Default seconds=0: always rotated.
	RefreshThreshold Timedelta

	SubMode                SubMode
	IssuerMode             IssuerMode
	IncludeClaimsInIDToken bool
	SigningKey             KeyPairID // empty: HS256 with the client secret
	EncryptionKey          KeyPairID

	LogoutURI    string
	LogoutMethod string // "backchannel" or "frontchannel"

	FederationSources   []string
	FederationProviders []ProviderID
}

// ProxyMode says what an outpost does for an application.
type ProxyMode string

// The three proxy modes.
const (
	ProxyForward    ProxyMode = "proxy"
	ProxyAuthSingle ProxyMode = "forward_single"
	ProxyAuthDomain ProxyMode = "forward_domain"
)

// ProxyProvider connects an application that knows nothing of single sign-on:
// an outpost guards its host.
type ProxyProvider struct {
	ProviderBase
	ClientID     string
	Mode         ProxyMode
	ExternalHost string // scheme://host[:port][/path] that people open
	InternalHost string // upstream, mode proxy only
	CookieDomain string // mode forward_domain only
	// SkipPath is a list of RE2 expressions, one a line; a path that matches one
	// needs no login.
	SkipPath                   string
	InternalTLSVerify          bool
	Certificate                KeyPairID
	BasicAuth                  bool
	BasicAuthUserAttribute     string
	BasicAuthPasswordAttribute string
	InterceptHeaderAuth        bool
	AccessValidity             Timedelta
	RefreshValidity            Timedelta
	FederationSources          []string
	FederationProviders        []ProviderID
}
