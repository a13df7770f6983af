package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// metadata is the discovery document (OpenID Connect Discovery §3, RFC 8414 §2).
// The order of the fields is the contract's.
type metadata struct {
	Issuer                 string   `json:"issuer"`
	AuthorizationEndpoint  string   `json:"authorization_endpoint"`
	TokenEndpoint          string   `json:"token_endpoint"`
	UserinfoEndpoint       string   `json:"userinfo_endpoint"`
	EndSessionEndpoint     string   `json:"end_session_endpoint"`
	IntrospectionEndpoint  string   `json:"introspection_endpoint"`
	RevocationEndpoint     string   `json:"revocation_endpoint"`
	ResponseTypes          []string `json:"response_types_supported"`
	ResponseModes          []string `json:"response_modes_supported"`
	JWKSURI                string   `json:"jwks_uri"`
	GrantTypes             []string `json:"grant_types_supported"`
	IDTokenSigningAlgs     []string `json:"id_token_signing_alg_values_supported"`
	SubjectTypes           []string `json:"subject_types_supported"`
	TokenEndpointAuth      []string `json:"token_endpoint_auth_methods_supported"`
	ACRValues              []string `json:"acr_values_supported"`
	Scopes                 []string `json:"scopes_supported"`
	RequestParameter       bool     `json:"request_parameter_supported"`
	RequestURIParameter    bool     `json:"request_uri_parameter_supported"`
	Claims                 []string `json:"claims_supported"`
	ClaimsParameter        bool     `json:"claims_parameter_supported"`
	CodeChallengeMethods   []string `json:"code_challenge_methods_supported"`
	EncryptionAlgs         []string `json:"id_token_encryption_alg_values_supported,omitempty"`
	EncryptionContents     []string `json:"id_token_encryption_enc_values_supported,omitempty"`
	Prompts                []string `json:"prompt_values_supported"`
	AuthorizationResponseI bool     `json:"authorization_response_iss_parameter_supported"`
}

// discovery is /application/o/<slug>/.well-known/openid-configuration. It runs no
// expression: what a mapping gives was worked out when it was saved.
func (p *Provider) discovery(w http.ResponseWriter, r *http.Request) {
	if p.preflight(w, r) {
		return
	}
	kept, generation, ok := p.recall(r, "discovery")
	if ok {
		allowOrigins(w, r, kept.client)
		p.writeDocument(w, r, kept.body)
		return
	}
	ctx := r.Context()
	to, err := p.targetBySlug(ctx, r.PathValue("slug"))
	if err != nil {
		p.notFound(w, r, "discovery", err)
		return
	}
	allowOrigins(w, r, to.client)
	mappings, err := p.scopeMappings(ctx, to.client)
	if err != nil {
		p.writeError(w, r, "discovery", err)
		return
	}
	sign, err := p.signer(ctx, to.client)
	if err != nil {
		p.writeError(w, r, "discovery", err)
		return
	}
	origin := core.Request(ctx).Origin()
	own := origin + prefix + to.app.Slug + "/"
	doc := metadata{
		Issuer:                 issuer(core.Request(ctx), to),
		AuthorizationEndpoint:  origin + prefix + "authorize/",
		TokenEndpoint:          origin + prefix + "token/",
		UserinfoEndpoint:       origin + prefix + "userinfo/",
		EndSessionEndpoint:     own + "end-session/",
		IntrospectionEndpoint:  origin + prefix + "introspect/",
		RevocationEndpoint:     origin + prefix + "revoke/",
		ResponseTypes:          []string{"code"},
		ResponseModes:          []string{modeQuery, modeFragment, modeFormPost},
		JWKSURI:                own + "jwks/",
		GrantTypes:             []string{"authorization_code", "refresh_token"},
		SubjectTypes:           []string{"public"},
		TokenEndpointAuth:      authMethods(to.client),
		ACRValues:              []string{acrDefault},
		Scopes:                 scopeNames(mappings),
		Claims:                 supportedClaims(mappings),
		CodeChallengeMethods:   []string{methodS256},
		Prompts:                []string{"none", "login", "consent"},
		AuthorizationResponseI: true,
	}
	for _, alg := range sign.algorithms() { // two while a key of another kind takes over
		doc.IDTokenSigningAlgs = append(doc.IDTokenSigningAlgs, string(alg))
	}
	if sign.encryption != nil {
		doc.EncryptionAlgs, doc.EncryptionContents = []string{string(keys.EncryptionAlgorithm)}, []string{string(keys.EncryptionContent)}
	}
	body, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		p.writeError(w, r, "discovery", fmt.Errorf("encode: %w", err))
		return
	}
	p.remember(r, "discovery", generation, to.client, body)
	p.writeDocument(w, r, body)
}

func authMethods(client *core.Client) []string {
	if client.Type == core.ClientPublic {
		return []string{"none"}
	}
	return []string{"client_secret_post", "client_secret_basic"}
}

func supportedClaims(mappings []core.PropertyMapping) []string {
	out := []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "acr", "amr", "nonce"}
	for i := range mappings {
		for _, claim := range mappings[i].Claims {
			if !slices.Contains(out, claim) && !reserved(claim) {
				out = append(out, claim)
			}
		}
	}
	return out
}

// jwks is /application/o/<slug>/jwks/ (RFC 7517 §5): the public keys that the
// client's tokens are or were or will soon be signed with, the present one first, and
// the one that they are encrypted to. A client of HS256 has no signing key.
func (p *Provider) jwks(w http.ResponseWriter, r *http.Request) {
	if p.preflight(w, r) {
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	kept, generation, ok := p.recall(r, "jwks")
	if ok {
		p.writeKeySet(w, r, kept.body)
		return
	}
	ctx := r.Context()
	to, err := p.targetBySlug(ctx, r.PathValue("slug"))
	if err != nil {
		p.notFound(w, r, "jwks", err)
		return
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	sign, err := p.signer(ctx, to.client)
	if err != nil {
		p.writeError(w, r, "jwks", err)
		return
	}
	for _, key := range sign.published {
		set.Keys = append(set.Keys, key.JWK())
	}
	if sign.encryption != nil {
		set.Keys = append(set.Keys, sign.encryption.EncryptionJWK())
	}
	body, err := json.Marshal(set)
	if err != nil {
		p.writeError(w, r, "jwks", fmt.Errorf("encode: %w", err))
		return
	}
	p.remember(r, "jwks", generation, to.client, body)
	p.writeKeySet(w, r, body)
}

func (p *Provider) writeKeySet(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(keys.JWKSLife.Seconds())))
	p.writeDocument(w, r, body)
}

// issuerRoot sends a person who opens the issuer to its description.
func (p *Provider) issuerRoot(w http.ResponseWriter, r *http.Request) {
	to, err := p.targetBySlug(r.Context(), r.PathValue("slug"))
	if err != nil {
		p.notFound(w, r, "issuer", err)
		return
	}
	http.Redirect(w, r, prefix+to.app.Slug+"/.well-known/openid-configuration", http.StatusFound) //nolint:gosec // a path of ours, with a slug that the directory has
}

// targetBySlug finds an application that has an OAuth 2.0 client. Any other is
// core.ErrNotFound.
func (p *Provider) targetBySlug(ctx context.Context, slug string) (*target, error) {
	t := core.Request(ctx).Tenant.ID
	app, err := p.Applications.ApplicationBySlug(ctx, t, slug)
	if err != nil {
		return nil, fmt.Errorf("find application: %w", err)
	}
	if app.Provider == 0 {
		return nil, fmt.Errorf("the application has no provider: %w", core.ErrNotFound)
	}
	provider, err := p.Applications.Provider(ctx, t, app.Provider)
	if err != nil {
		return nil, fmt.Errorf("find provider: %w", err)
	}
	client, ok := provider.(*core.Client)
	if !ok {
		return nil, fmt.Errorf("the provider is no OAuth 2.0 client: %w", core.ErrNotFound)
	}
	return &target{client: client, app: app}, nil
}

func (p *Provider) notFound(w http.ResponseWriter, r *http.Request, doing string, err error) {
	if errors.Is(err, core.ErrNotFound) {
		p.writeJSON(w, r, http.StatusNotFound, map[string]string{"detail": "No application with an OAuth 2.0 provider has this slug."})
		return
	}
	p.writeError(w, r, doing, err)
}

func (p *Provider) writeDocument(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(body); err != nil {
		p.Log.DebugContext(r.Context(), "oidc: write the answer", "error", err)
	}
}
