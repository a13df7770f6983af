package counterparts_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

// application is what the MinIO guide creates with Terraform: a scope mapping, a
// provider and an application, in that order and with those bodies.
type application struct {
	slug, clientID, secret, redirect string
	mapping                          string // its uuid
	provider                         int
	issuer                           string
}

// seedApplication creates the objects of the guide over the API, finding the
// default ones as Terraform's data sources do.
func (p *postern) seedApplication(t testing.TB, slug, redirect, expression string) *application {
	t.Helper()
	pk := func(path string) string { return p.first(t, path)["pk"].(string) }
	scope := func(name string) string {
		return pk("/propertymappings/provider/scope/?managed=" + url.QueryEscape("goauthentik.io/providers/oauth2/scope-"+name))
	}
	a := &application{slug: slug, clientID: slug, secret: slug + "-secret-0123456789", redirect: redirect}
	a.mapping = p.api(t, http.MethodPost, "/propertymappings/provider/scope/", jsonText(t, map[string]any{
		"name": "OIDC-Scope-" + slug, "scope_name": "minio", "expression": expression,
	}), http.StatusCreated)["pk"].(string)
	created := p.api(t, http.MethodPost, "/providers/oauth2/", jsonText(t, map[string]any{
		"name": slug, "client_id": a.clientID, "client_secret": a.secret, "client_type": "confidential",
		"authorization_flow":  pk("/flows/instances/?slug=default-provider-authorization-implicit-consent"),
		"invalidation_flow":   pk("/flows/instances/?slug=default-provider-invalidation-flow"),
		"authentication_flow": nil, "encryption_key": nil, "jwt_federation_providers": []int{}, "jwt_federation_sources": []string{},
		"signing_key":          pk("/crypto/certificatekeypairs/?name=" + url.QueryEscape("authentik Self-signed Certificate")),
		"sub_mode":             "user_username",
		"issuer_mode":          "per_provider",
		"access_code_validity": "minutes=1", "access_token_validity": "minutes=10", "refresh_token_validity": "days=30",
		"include_claims_in_id_token": true, "logout_method": "backchannel",
		"property_mappings": []string{scope("email"), scope("profile"), scope("openid"), a.mapping},
		"redirect_uris":     []map[string]string{{"matching_mode": "strict", "url": redirect}},
	}), http.StatusCreated)
	a.provider = int(created["pk"].(float64))
	p.api(t, http.MethodPost, "/core/applications/", jsonText(t, map[string]any{
		"name": slug, "slug": slug, "provider": a.provider, "open_in_new_tab": true, "policy_engine_mode": "any",
		"meta_icon":       "https://dl.min.io/logo/Minio_logo_light/Minio_logo_light.svg",
		"meta_launch_url": "https://minio.example.com", "backchannel_providers": []int{},
	}), http.StatusCreated)
	a.issuer = p.url() + "/application/o/" + slug + "/"
	return a
}

// setExpression changes the mapping as a second `terraform apply` does.
func (p *postern) setExpression(t testing.TB, a *application, expression string) {
	t.Helper()
	p.api(t, http.MethodPut, fmt.Sprintf("/propertymappings/provider/scope/%s/", a.mapping), jsonText(t, map[string]any{
		"name": "OIDC-Scope-" + a.slug, "scope_name": "minio", "expression": expression,
	}), http.StatusOK)
}
