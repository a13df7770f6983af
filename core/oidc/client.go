package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-sso/postern/core"
)

// authenticateClient finds the client of a request and checks its secret
// (RFC 6749 §2.3.1): by HTTP Basic or in the body, never both. A public client
// names itself by client_id and has no secret.
func (p *Provider) authenticateClient(r *http.Request, in params) (*core.Client, error) {
	id, secrets, basic, err := clientCredentials(r, in)
	if err != nil {
		return nil, err
	}
	invalid := func(description string) error {
		return &Error{Code: codeInvalidClient, Description: description, Basic: basic}
	}
	if id == "" {
		return nil, invalid("The client_id is missing.")
	}
	client, err := p.Store.Client(r.Context(), core.Request(r.Context()).Tenant.ID, id)
	if errors.Is(err, core.ErrNotFound) {
		return nil, invalid("The client is not known, or its secret is wrong.")
	}
	if err != nil {
		return nil, fmt.Errorf("find client: %w", err)
	}
	if client.Type == core.ClientPublic {
		return client, nil
	}
	for _, secret := range secrets {
		if client.Secret != "" && equalSecrets(string(client.Secret), secret) {
			return client, nil
		}
	}
	p.recordStranger(r.Context(), core.Event{
		Action: core.EventSuspicious, Message: "a client did not authenticate: its secret is missing or wrong",
		Context: map[string]any{"client_id": client.ClientID},
	})
	return nil, invalid("The client is not known, or its secret is wrong.")
}

// clientCredentials reads who the client says it is. secrets are the readings of
// what it sent: by HTTP Basic both parts are percent-encoded, but clients that
// do not encode are about, and as any of them must equal the secret itself, that
// one is taken too. Beside the header, the body's secret is not looked at.
func clientCredentials(r *http.Request, in params) (id string, secrets []string, basic bool, err error) {
	header := r.Header.Values("Authorization")
	if len(header) == 0 {
		return in.get("client_id"), []string{in.get("client_secret")}, false, nil
	}
	bad := func(description string) (string, []string, bool, error) {
		return "", nil, true, &Error{Code: codeInvalidClient, Description: description, Basic: true}
	}
	scheme, encoded, _ := strings.Cut(header[0], " ")
	if len(header) > 1 || !strings.EqualFold(scheme, "Basic") {
		return bad("The Authorization header must be HTTP Basic, once.")
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return bad("The Authorization header is not base64.")
	}
	rawID, rawSecret, ok := strings.Cut(string(raw), ":")
	id, err = url.QueryUnescape(rawID)
	if !ok || err != nil || len(id) > maxClientID {
		return bad("The Authorization header does not hold a client_id and a secret.")
	}
	if other := in.get("client_id"); other != "" && other != id {
		return "", nil, true, invalidRequest("The client_id of the body is not that of the Authorization header.")
	}
	secrets = []string{rawSecret}
	if secret, err := url.QueryUnescape(rawSecret); err == nil && secret != rawSecret {
		secrets = append(secrets, secret)
	}
	return id, secrets, true, nil
}

// equalSecrets compares in constant time. The hashes keep the length from
// showing; a slow hash would add nothing to a long random secret.
func equalSecrets(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// applicationOf finds the application of an authenticated client.
func (p *Provider) applicationOf(ctx context.Context, client *core.Client) (*target, error) {
	app, err := p.Applications.ApplicationByProvider(ctx, core.Request(ctx).Tenant.ID, client.ID)
	if errors.Is(err, core.ErrNotFound) {
		return nil, &Error{Code: codeInvalidClient, Description: "The provider is not assigned to an application."}
	}
	if err != nil {
		return nil, fmt.Errorf("find application: %w", err)
	}
	return &target{client: client, app: app}, nil
}
