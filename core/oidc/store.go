package oidc

import (
	"context"
	"net/http"
	"time"

	"github.com/postern-sso/postern/core"
)

// Clients finds OAuth 2.0 clients.
type Clients interface {
	// Client finds by client_id. Unknown: core.ErrNotFound.
	Client(ctx context.Context, t core.TenantID, clientID string) (*core.Client, error)
	// ClientByName finds by the name of the provider. Unknown: core.ErrNotFound.
	ClientByName(ctx context.Context, t core.TenantID, name string) (*core.Client, error)
}

// Mappings finds the property mappings of a provider.
type Mappings interface {
	// Mappings returns those of the IDs that exist, in the order of their
	// folded names.
	Mappings(ctx context.Context, t core.TenantID, ids []core.MappingID) ([]core.PropertyMapping, error)
}

// Consent is what a user agreed that a client may have. It is not a Grant.
type Consent struct {
	User     core.UserID
	ClientID string
	Scopes   []string // sorted
	Expires  time.Time
}

// Consents keeps consents, one for each user and client.
type Consents interface {
	// Consent returns core.ErrNotFound where there is none or it has expired.
	Consent(ctx context.Context, t core.TenantID, u core.UserID, clientID string) (*Consent, error)
	SaveConsent(ctx context.Context, t core.TenantID, c *Consent) error
	DeleteConsent(ctx context.Context, t core.TenantID, u core.UserID, clientID string) error
}

// GrantID is a UUIDv7 in text form.
type GrantID string

// Grant is one authorization of one client in one login session (RFC 6749 §1.3):
// its code, access tokens and refresh family hang from it. Revoking it revokes
// them, and no other device's.
type Grant struct {
	ID       GrantID
	ClientID string
	Provider core.ProviderID // zero for an application that the Caddyfile declares
	User     core.UserID
	Session  core.SessionID // the login; empty for grants without one
	Scopes   []string
	Nonce    string
	AuthTime time.Time
	AMR      []string
	ACR      string
	Created  time.Time
	// Expires is when nothing that hangs from the grant can be valid any more.
	Expires time.Time
}

// GrantMatch names grants to revoke: those of a login, of a user, of a client.
type GrantMatch struct {
	Session  core.SessionID
	User     core.UserID
	ClientID string
}

// Grants keeps authorizations.
type Grants interface {
	// Grant returns core.ErrNotFound for one that never was, was revoked or has
	// expired.
	Grant(ctx context.Context, t core.TenantID, id GrantID) (*Grant, error)
	// SaveGrant keeps a new grant, and sets its ID where that is empty.
	SaveGrant(ctx context.Context, t core.TenantID, g *Grant) error
	// ExtendGrant moves Expires to a later time and never to an earlier one. It
	// does not bring back a grant that was revoked meanwhile: core.ErrNotFound.
	ExtendGrant(ctx context.Context, t core.TenantID, id GrantID, expires time.Time) error
	// RevokeGrant takes its code and refresh tokens with it. Absent is no error.
	RevokeGrant(ctx context.Context, t core.TenantID, id GrantID) error
	// RevokeGrants revokes all that match every field that is not empty. With
	// every field empty it revokes nothing and returns an error.
	RevokeGrants(ctx context.Context, t core.TenantID, match GrantMatch) error
}

// Code is an authorization code (RFC 6749 §4.1.2), kept by hash.
type Code struct {
	Hash        [32]byte
	Grant       GrantID
	ClientID    string
	RedirectURI string // as sent in the authorization request
	// Challenge is the PKCE code challenge (RFC 7636 §4.2), Method "S256" or
	// "plain"; both empty where the request had none.
	Challenge string
	Method    string
	Expires   time.Time
}

// RefreshToken is a refresh token (RFC 6749 §1.5), kept by hash.
type RefreshToken struct {
	Hash    [32]byte
	Grant   GrantID // the family: revoking it ends every token of it
	Issued  time.Time
	Expires time.Time
	// Used is when the token was rotated; zero: not yet. RotateRefresh sets it.
	Used time.Time
}

// Tokens keeps codes and refresh tokens. Single use is one atomic statement.
type Tokens interface {
	// SaveCode keeps a code. Where g is not nil it is the new grant that the code is for: it is
	// kept as SaveGrant does, and c.Grant set to it. Where e is not nil it is recorded, with the grant's
	// ID as "grant" of its context. All is one transaction.
	SaveCode(ctx context.Context, t core.TenantID, c *Code, g *Grant, e *core.Event) error
	// Code finds a code that is to be redeemed, and its grant, which is nil where it
	// has expired. One that was used gives core.ErrConsumed, still with the code, so
	// that its grant can be revoked; an unknown one core.ErrNotFound. It does not look at
	// the code's Expires. What another node did to it a moment ago it may not know yet:
	// ConsumeCode decides.
	Code(ctx context.Context, t core.TenantID, hash [32]byte) (*Code, *Grant, error)
	// ConsumeCode marks a code used and keeps the first refresh token that it was redeemed
	// for, where that is not nil, in one transaction. A second call gives core.ErrConsumed, an
	// unknown code core.ErrNotFound; then nothing is kept.
	ConsumeCode(ctx context.Context, t core.TenantID, hash [32]byte, first *RefreshToken) error

	// Refresh finds a token, used or not, and its grant, which is nil where it has expired.
	// Unknown, or its grant revoked: core.ErrNotFound.
	Refresh(ctx context.Context, t core.TenantID, hash [32]byte) (*RefreshToken, *Grant, error)
	// RotateRefresh does what r says in one transaction. Where r.Old was used before:
	// core.ErrConsumed and, within r.Grace of that use, the sealed answer that was
	// kept then; after it, nil. Unknown, or of another grant than r.Next:
	// core.ErrNotFound.
	RotateRefresh(ctx context.Context, t core.TenantID, r *Rotation) ([]byte, error)
}

// Rotation replaces a refresh token by another of its family (RFC 9700 §4.14.2).
type Rotation struct {
	Old    [32]byte // marked used
	Next   *RefreshToken
	Sealed []byte        // the answer that carries Next, encrypted; kept with Old
	Grace  time.Duration // how long Old is answered with Sealed
	Until  time.Time     // the grant lasts until then at least; zero: as long as it does
}

// AuthRequests keeps authorization requests that are too long for a URL.
type AuthRequests interface {
	SaveAuthRequest(ctx context.Context, t core.TenantID, id string, data []byte, expires time.Time) error
	// AuthRequest returns core.ErrNotFound where there is none or it has expired.
	AuthRequest(ctx context.Context, t core.TenantID, id string) ([]byte, error)
}

// Store is all that this package needs kept.
type Store interface {
	Clients
	Mappings
	Consents
	Grants
	Tokens
	AuthRequests
}

// Sessions finds logins: an access token that names one ends with it.
type Sessions interface {
	// SessionByID returns core.ErrNotFound for one that has ended.
	SessionByID(ctx context.Context, t core.TenantID, id core.SessionID) (*core.Session, error)
}

// Login shows people pages until a need is met.
type Login interface {
	// Require returns a session that meets need. An error of core.ErrAnswered:
	// a page or redirect was written, and the browser comes back to
	// need.ReturnTo. core.ErrDenied: the person refused consent.
	// core.ErrLoginRequired, core.ErrConsentRequired: only where need.Silent.
	Require(w http.ResponseWriter, r *http.Request, need core.Need) (*core.Session, error)
	// Logout ends this browser's login where need.EndLogin, and asks the person
	// first where not need.Confirmed. Nil: it is done (the login has ended, or
	// the person agreed to leave the application), no response body is written, and
	// the caller answers. core.ErrAnswered: a page that asks was written;
	// its form, whose POST is guarded against other sites as every form is, brings
	// the browser back to need.ReturnTo, where Logout is called again with the
	// same need.Request and then takes the answer. core.ErrDenied: the person
	// chose to stay. A browser that is not logged in has nothing to confirm: nil.
	Logout(w http.ResponseWriter, r *http.Request, need core.LogoutNeed) error
	// LoggedOut writes the page that follows a logout which leads back nowhere:
	// that the person has left the application, and, where endLogin is false, that
	// they are still logged in here, with a button that ends that too.
	// launchURL, where not empty, leads back to the application.
	LoggedOut(w http.ResponseWriter, r *http.Request, application, launchURL string, endLogin bool)
	// Deny writes the page for a person who may not open an application.
	Deny(w http.ResponseWriter, r *http.Request, d core.Denial)
	// Refuse writes an error page: what happened and what to do next.
	Refuse(w http.ResponseWriter, r *http.Request, status int, title, message string)
}
