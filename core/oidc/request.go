package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// requestLife is how long a person may take over the pages of one login.
const requestLife = 30 * time.Minute

// maxSealed is how long a sealed request may be to travel in a URL, in bytes.
// A longer one is kept in the store and named by a random ID.
const maxSealed = 2 << 10

// storedMark begins the ID of a stored request. It is not of the base64
// alphabet.
const storedMark = "~"

// AuthRequest is an authorization request (RFC 6749 §4.1.1, OpenID Connect Core
// §3.1.2.1), checked once and sealed from then on: what a person changes in the URL
// between two pages of a login has no effect.
type AuthRequest struct {
	ID       string `json:"id"`
	ClientID string `json:"client"`
	// Guarded is set where an outpost of this process sent the browser, for an
	// application that has no client of its own.
	Guarded      core.ApplicationID `json:"guarded,omitempty"`
	RedirectURI  string             `json:"redirect"`
	ResponseMode string             `json:"mode"`
	Scopes       []string           `json:"scopes,omitempty"`
	State        string             `json:"state,omitempty"`
	Nonce        string             `json:"nonce,omitempty"`
	LoginHint    string             `json:"hint,omitempty"`
	Challenge    string             `json:"challenge,omitempty"` // PKCE, S256
	// None and Consent are the values of prompt. The value login is part of
	// LoggedInSince.
	None    bool `json:"none,omitempty"`
	Consent bool `json:"consent,omitempty"`
	// LoggedInSince, in Unix microseconds: the login must not be older. It stands
	// for prompt=login (the time the request came) and max_age (that much earlier):
	// a fixed time, so that one who takes long over the pages is not asked again.
	LoggedInSince int64 `json:"since,omitempty"`
	// MaxAge is max_age as it was sent, for policies.
	MaxAge  *int64 `json:"max_age,omitempty"`
	Issued  int64  `json:"iat"` // Unix microseconds
	Expires int64  `json:"exp"` // Unix microseconds

	path string // where the request is resumed, once it was sealed
}

// loggedInSince is the time that LoggedInSince holds, zero where it holds none.
func (a *AuthRequest) loggedInSince() time.Time {
	if a.LoggedInSince == 0 {
		return time.Time{}
	}
	return time.UnixMicro(a.LoggedInSince)
}

// newAuthRequest stamps a request with its ID and times.
func newAuthRequest(now time.Time) *AuthRequest {
	return &AuthRequest{
		ID: core.RandomToken(16), Issued: now.UnixMicro(), Expires: now.Add(requestLife).UnixMicro(),
	}
}

var errResume = &refusal{
	http.StatusBadRequest, "This link does not work any more",
	"The login took too long, or the link was changed on its way. Go back to the application and start again from there.",
}

// seal makes v into the value of the parameter resume. What is too long for a
// URL goes into the store; it is sealed there as well, so that who can write to
// the store cannot make up a request that was never checked.
func (p *Provider) seal(ctx context.Context, purpose string, v any, expires time.Time) (string, error) {
	tenant := core.Request(ctx).Tenant
	t := tenant.ID
	plain, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode: %w", err)
	}
	if base64.RawURLEncoding.EncodedLen(len(plain))+64 <= maxSealed {
		return base64.RawURLEncoding.EncodeToString(p.Master.Seal(t, purpose, urlPlace(tenant), plain)), nil
	}
	id := storedMark + core.RandomToken(24)
	if err := p.Store.SaveAuthRequest(ctx, t, id, p.Master.Seal(t, purpose, RequestPlace(id), plain), expires); err != nil {
		return "", fmt.Errorf("save a long request: %w", err)
	}
	return id, nil
}

// unseal is the inverse of seal. What is not ours, expired or changed is
// errResume.
func (p *Provider) unseal(ctx context.Context, purpose, token string, v any) error {
	tenant := core.Request(ctx).Tenant
	t, place := tenant.ID, urlPlace(tenant)
	var sealed []byte
	var err error
	switch {
	case len(token) > 2*maxSealed:
		return errResume
	case strings.HasPrefix(token, storedMark):
		place = RequestPlace(token)
		sealed, err = p.Store.AuthRequest(ctx, t, token)
		if errors.Is(err, core.ErrNotFound) {
			return errResume
		}
		if err != nil {
			return fmt.Errorf("read a long request: %w", err)
		}
	default:
		if sealed, err = base64.RawURLEncoding.DecodeString(token); err != nil {
			return errResume
		}
	}
	plain, err := p.Master.Open(t, purpose, place, sealed)
	if errors.Is(err, keys.ErrSealed) {
		return errResume
	}
	if err != nil {
		return fmt.Errorf("unseal: %w", err)
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("decode a sealed request: %w", err)
	}
	return nil
}

// urlPlace is the place for which a request in a URL is sealed: one tenant, and not
// another that has the name of one that was deleted, where the client's redirect URIs
// may be others. The default tenant cannot be deleted.
func urlPlace(t *core.Tenant) string {
	if t.ID == core.DefaultTenant {
		return "url"
	}
	return "url/" + t.UUID
}

// RequestPlace is the place for which a stored request is sealed.
func RequestPlace(id string) string { return "row/" + id }

// RequestPurposes are those that a stored request may be sealed for.
func RequestPurposes() []string { return []string{purposeAuthorize, purposeLogout} }

const purposeAuthorize = "authorization-request"

// sealRequest is the path and query to which a login returns for this request.
func (p *Provider) sealRequest(ctx context.Context, a *AuthRequest) (string, error) {
	if a.path != "" {
		return a.path, nil
	}
	token, err := p.seal(ctx, purposeAuthorize, a, time.UnixMicro(a.Expires))
	if err != nil {
		return "", err
	}
	a.path = resumePath(token)
	return a.path, nil
}

func resumePath(token string) string { return prefix + "authorize/?resume=" + token }

func (p *Provider) openRequest(ctx context.Context, token string) (*AuthRequest, error) {
	var a AuthRequest
	if err := p.unseal(ctx, purposeAuthorize, token, &a); err != nil {
		return nil, err
	}
	if now := p.Now().UnixMicro(); now >= a.Expires {
		return nil, errResume
	}
	a.path = resumePath(token) // a long request is not stored a second time
	return &a, nil
}
