package counterparts_test

import (
	"context"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// logIn runs the code flow as an OpenID Connect client does, with go-oidc and
// x/oauth2 and PKCE, and returns the verified ID token.
func logIn(t testing.TB, a *application, user string, scopes ...string) (*oidc.IDToken, string) {
	t.Helper()
	id, token := authorize(t, a, user, scopes...)
	raw, _ := token.Extra("id_token").(string)
	return id, raw
}

// authorize is logIn, for the access token.
func authorize(t testing.TB, a *application, user string, scopes ...string) (*oidc.IDToken, *oauth2.Token) {
	t.Helper()
	ctx := context.Background()
	op, err := oidc.NewProvider(ctx, a.issuer)
	if err != nil {
		t.Fatal(err)
	}
	client := oauth2.Config{
		ClientID: a.clientID, ClientSecret: a.secret, RedirectURL: a.redirect, Endpoint: op.Endpoint(),
		Scopes: append([]string{oidc.ScopeOpenID}, scopes...),
	}
	verifier := oauth2.GenerateVerifier()
	b := newBrowser(t)
	b.stopAt = a.redirect
	p := b.login(client.AuthCodeURL("the-state", oidc.Nonce("the-nonce"), oauth2.S256ChallengeOption(verifier)), user)
	q := p.url.Query()
	if q.Get("code") == "" || q.Get("state") != "the-state" || q.Get("iss") != a.issuer {
		t.Fatalf("the login ended at %s (%d)\n%s", p.url, p.status, tail(p.body, 3000))
	}
	token, err := client.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := op.Verifier(&oidc.Config{ClientID: a.clientID}).Verify(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	if id.Nonce != "the-nonce" {
		t.Errorf("nonce is %q", id.Nonce)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	info, err := op.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		t.Fatal(err)
	}
	if info.Subject != id.Subject {
		t.Errorf("userinfo is of %q, the ID token of %q", info.Subject, id.Subject)
	}
	return id, token
}

// go-oidc, a client that nobody here wrote, takes a login from end to end.
func TestGoOIDC(t *testing.T) {
	p := startPostern(t, bootstrapped()...)
	ran(t, "caddy")
	ran(t, "go-oidc")
	p.addUser(t, "alice", p.addGroup(t, "staff"))
	a := p.seedApplication(t, "wiki", "http://127.0.0.1:1/callback", `return {"policy": "readwrite"}`)

	id, _ := logIn(t, a, "alice", "profile", "email", "minio")
	var claims struct {
		Name   string   `json:"name"`
		Email  string   `json:"email"`
		Groups []string `json:"groups"`
		Policy string   `json:"policy"`
	}
	if err := id.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if id.Subject != "alice" || claims.Name != "The alice" || claims.Email != "alice@example.com" || claims.Policy != "readwrite" || len(claims.Groups) != 1 || claims.Groups[0] != "staff" {
		t.Errorf("sub %q, claims %+v", id.Subject, claims)
	}
}
