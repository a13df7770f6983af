package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// mint makes the tokens that a mapping asks for with ak_create_jwt and ak_create_jwt_raw.
// Who may write such a mapping is for the directory to say: superusers alone.
type mint struct {
	*Provider
	// grant is what the mapping is evaluated for; bound, where tokens end with its login.
	grant *Grant
	bound bool
	// again: a token that was made for the same grant a moment ago will do.
	again bool
	// dry: everything is checked, and in place of a token stands a text that says so.
	dry bool
}

// CreateToken signs what a mapping asks for. Mappings of the other provider are run as at a
// login there, but that theirs make no tokens: else two could ask each other for ever.
func (m mint) CreateToken(ctx context.Context, t core.TenantID, want expression.TokenWanted) (string, error) {
	to, err := m.otherProvider(ctx, t, want)
	if err != nil {
		return "", err
	}
	if longest := lifetimesOf(to.client).access; want.Validity <= 0 || want.Validity > longest {
		return "", &core.FieldError{Field: "validity", Message: "it must be above zero, and at most the access token validity of the provider, " + longest.String()}
	}
	sign, err := m.signer(ctx, to.client)
	if err != nil {
		return "", err
	}
	if want.User == nil {
		return m.raw(ctx, to, sign, want)
	}
	return m.access(ctx, to, sign, want)
}

// otherProvider finds the provider that is to sign, and its application.
func (m mint) otherProvider(ctx context.Context, t core.TenantID, want expression.TokenWanted) (*target, error) {
	client, ok := want.Provider.(*core.Client)
	var err error
	if want.Provider == nil {
		client, err = m.Store.ClientByName(ctx, t, want.ProviderName)
		ok = !errors.Is(err, core.ErrNotFound)
	}
	if !ok {
		return nil, &core.FieldError{Field: "provider", Message: "there is no OAuth2 provider of that name"}
	}
	if err != nil {
		return nil, fmt.Errorf("find client: %w", err)
	}
	to, err := m.applicationOf(ctx, client)
	var e *Error
	if errors.As(err, &e) {
		return nil, &core.FieldError{Field: "provider", Message: "it is not assigned to an application"}
	}
	return to, err
}

// access makes an access token with a grant of its own, so that userinfo and introspection
// take it. Whether the person may use that application is asked there, as of any token.
func (m mint) access(ctx context.Context, to *target, sign *tokenSigner, want expression.TokenWanted) (string, error) {
	asked := strings.Join(want.Scopes, " ")
	if slices.Contains(strings.Fields(asked), core.ScopeAPI) {
		return "", &core.FieldError{Field: "scopes", Message: core.ScopeAPI + " is only for tokens that the person asked for"}
	}
	if !want.User.Active {
		return "", &core.FieldError{Field: "user", Message: "the user is not active"}
	}
	mappings, err := m.scopeMappings(ctx, to.client)
	if err != nil {
		return "", err
	}
	scopes := []string{}
	if asked != "" { // none is none here, and not all
		scopes = grantable(asked, mappings)
	}
	t, now := core.Request(ctx).Tenant.ID, m.Now()
	grant := &Grant{
		ClientID: to.client.ClientID, Provider: to.client.ID, User: want.User.ID, Scopes: scopes,
		AuthTime: now, ACR: acrDefault, Created: now, Expires: now.Add(want.Validity),
	}
	of := m.grant.User == want.User.ID
	if of {
		grant.AuthTime, grant.AMR, grant.ACR = m.grant.AuthTime, m.grant.AMR, m.grant.ACR
	}
	if of && m.bound {
		grant.Session = m.grant.Session
	}
	if m.dry {
		return "[an access token of " + to.client.Name + "]", nil
	}
	key := fmt.Sprintf("%s %s %d %s %q %d", core.Request(ctx).Tenant.UUID, m.grant.ID, to.client.ID, want.User.ID, scopes, want.Validity)
	if m.again {
		if token, ok := m.minted.get(key, now); ok {
			return token, nil
		}
	}
	groups, err := m.Users.UserGroups(ctx, t, want.User.ID)
	if err != nil {
		return "", fmt.Errorf("find the user's groups: %w", err)
	}
	claims := map[string]any{}
	if to.client.IncludeClaimsInIDToken {
		if claims, _, err = m.runMappings(ctx, to, want.User, groups, scopes, nil, false); err != nil {
			return "", err
		}
	}
	if err := m.Store.SaveGrant(ctx, t, grant); err != nil {
		return "", fmt.Errorf("save grant: %w", err)
	}
	m.standardClaims(ctx, to, issuance{grant: grant, user: want.User, bound: grant.Session != ""}, want.Validity, claims)
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	token, err := m.accessToken(ctx, to, sign, grant.ID, scopes, payload)
	if err == nil && m.again {
		m.minted.put(key, token, now.Add(want.Validity/2), now)
	}
	return token, err
}

// ours reports whether a claim is one of those by which a token is known for an access token, an ID token or a
// logout token, or that says until when it is good.
func ours(name string) bool {
	return reserved(name) && name != "sub" && name != "aud"
}

// raw makes a token that is none of ours to anybody here: it says what the mapping says, but for its
// issuer and its times.
func (m mint) raw(ctx context.Context, to *target, sign *tokenSigner, want expression.TokenWanted) (string, error) {
	claims := map[string]any{"aud": to.client.ClientID}
	for name, value := range want.Claims {
		if ours(name) {
			return "", &core.FieldError{Field: name, Message: "this claim is not for a mapping to set"}
		}
		claims[name] = value
	}
	now := m.wall()
	claims["iss"], claims["iat"], claims["exp"] = issuer(core.Request(ctx), to), now.Unix(), now.Add(want.Validity).Unix()
	payload, err := json.Marshal(claims)
	if err != nil || len(payload) > maxClaims {
		return "", &core.FieldError{Field: "claims", Message: fmt.Sprintf("they must be JSON of at most %d bytes", maxClaims)}
	}
	if m.dry {
		return "[a token signed for " + to.client.Name + "]", nil
	}
	token, err := sign.sign(payload)
	if err != nil {
		return "", err
	}
	return sign.encrypt(token, nil)
}

// accessToken signs, and encrypts where the client wants it, an access token with these claims and
// those that only it has.
func (p *Provider) accessToken(ctx context.Context, to *target, sign *tokenSigner, grant GrantID, scopes []string, claims []byte) (string, error) {
	all := with(claims, claim{"azp", to.client.ClientID}, claim{"jti", accessTokenID(grant)},
		claim{"scope", strings.Join(scopes, " ")}, claim{"uid", core.RandomAlphanumeric(40)})
	token, err := sign.sign(all)
	if err != nil {
		return "", err
	}
	return p.encryptAccess(ctx, sign, token, all)
}

var _ expression.Tokens = mint{}
