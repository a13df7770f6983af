package counterparts_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Chromium logs in to a client on another host, through password and consent;
// the answer comes back as a POST of a form.
func TestConsent(t *testing.T) {
	counterpart(t, "POSTERN_TEST_CHROMIUM")
	p := startPostern(t, bootstrapped()...)
	p.addUser(t, "alice")

	// The client, on 127.0.0.1, which is not the OpenID Provider's site.
	var client oauth2.Config
	var op *oidc.Provider
	verifier := oauth2.GenerateVerifier()
	mux := http.NewServeMux()
	mux.HandleFunc("/start", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, client.AuthCodeURL("s-t-a-t-e", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("response_mode", "form_post")), http.StatusFound)
	})
	mux.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.FormValue("state") != "s-t-a-t-e" {
			http.Error(w, r.Method+" "+r.Form.Encode(), http.StatusBadRequest)
			return
		}
		if why := r.FormValue("error"); why != "" {
			fmt.Fprint(w, "refused: ", why)
			return
		}
		token, err := client.Exchange(r.Context(), r.FormValue("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		raw, _ := token.Extra("id_token").(string)
		id, err := op.Verifier(&oidc.Config{ClientID: client.ClientID}).Verify(r.Context(), raw)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, "hello ", id.Subject)
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	a := p.seedApplication(t, "wiki", server.URL+"/callback", `return {"policy": "readwrite"}`)
	consent := p.first(t, "/flows/instances/?slug=default-provider-authorization-explicit-consent")["pk"]
	p.api(t, http.MethodPatch, fmt.Sprintf("/providers/oauth2/%d/", a.provider), jsonText(t, map[string]any{"authorization_flow": consent}), http.StatusOK)
	var err error
	if op, err = oidc.NewProvider(context.Background(), a.issuer); err != nil {
		t.Fatal(err)
	}
	client = oauth2.Config{ClientID: a.clientID, ClientSecret: a.secret, RedirectURL: server.URL + "/callback", Endpoint: op.Endpoint(), Scopes: []string{"openid", "email"}}

	c := openChromium(t)
	c.do(chromedp.Navigate(server.URL + "/start"))
	c.login("alice", password("alice"))
	c.shows("Email address")
	c.shows("wiki")
	c.screenshot("consent")
	c.press()
	c.shows("hello alice")
	if u, _ := url.Parse(c.location()); u.Path != "/callback" {
		t.Errorf("the browser is at %s", c.location())
	}

	// Agreed to once: the second time there is nothing to ask.
	c.do(chromedp.Navigate(server.URL + "/start"))
	c.shows("hello alice")
}
