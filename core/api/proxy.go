package api

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

func proxyProviders() *resource[core.ProxyProvider] {
	return &resource[core.ProxyProvider]{
		model: "ProxyProvider", app: "authentik_providers_proxy", verbose: "Proxy Provider", key: "id",
		members: append(providerShape().members, always("client_id", textShape()),
			always("redirect_uris", listShape(redirectURIShape())), always("outpost_set", listShape(textShape()))),
		listing: listing{
			filters: map[string]filter{
				"application__isnull": byBool, "name__iexact": byText, "external_host__iexact": byText,
				"internal_host__iexact": byText, "mode__iexact": byText, "cookie_domain__iexact": byText,
				"authorization_flow__slug__iexact": refused, "basic_auth_enabled__iexact": byBool,
				"basic_auth_password_attribute__iexact": byText, "basic_auth_user_attribute__iexact": byText,
				"certificate__kp_uuid__iexact": byUUID, "certificate__name__iexact": byText,
				"internal_host_ssl_validation__iexact": byBool, "property_mappings__iexact": byUUIDs,
				"skip_path_regex__iexact": byText,
			},
			order:  []string{"name", "pk"},
			preset: []string{"name"},
		},
		find: findProvider[*core.ProxyProvider],
		page: func(c *call, q Query) ([]core.ProxyProvider, int, error) {
			return c.Store.ListProxyProviders(c.ctx(), c.t, q)
		},
		create: func(c *call, v *core.ProxyProvider) error {
			v.ClientID = core.RandomAlphanumeric(40)
			return c.Store.CreateProxyProvider(c.ctx(), c.t, v)
		},
		update: func(c *call, key string, change func(*core.ProxyProvider) error) (*core.ProxyProvider, error) {
			id, err := providerID(key)
			if err != nil {
				return nil, err
			}
			return c.Store.UpdateProxyProvider(c.ctx(), c.t, id, change)
		},
		remove: removeProvider,
		fresh: func(*call) *core.ProxyProvider {
			return &core.ProxyProvider{
				Mode: core.ProxyForward, InternalTLSVerify: true, InterceptHeaderAuth: true,
				AccessValidity: "hours=1", RefreshValidity: "days=30",
			}
		},
		read: readProxy,
		check: func(c *call, f *fields, v, _ *core.ProxyProvider) error {
			if err := checkProvider(c, f, &v.ProviderBase); err != nil {
				return err
			}
			if err := checkKeyPair(c, f, "certificate", v.Certificate, false); err != nil {
				return err
			}
			return checkFederation(c, f, v.FederationSources, v.FederationProviders)
		},
		gather: func(c *call, rows []core.ProxyProvider) error {
			return c.gatherAssigned(of(rows, func(v *core.ProxyProvider) []core.ProviderID { return []core.ProviderID{v.ID} }))
		},
		show:  showProxy,
		label: func(v *core.ProxyProvider) (string, string) { return strconv.FormatInt(int64(v.ID), 10), v.Name },
	}
}

func readProxy(f *fields, v *core.ProxyProvider) {
	readProvider(f, &v.ProviderBase)
	choice(f, "mode", &v.Mode, core.ProxyForward, core.ProxyAuthSingle, core.ProxyAuthDomain)
	text(f, "external_host", rule{required: true, max: maxURL}, &v.ExternalHost)
	text(f, "internal_host", rule{blank: true, null: true, max: maxURL}, &v.InternalHost)
	text(f, "cookie_domain", rule{blank: true, null: true, max: 253}, &v.CookieDomain)
	text(f, "skip_path_regex", rule{blank: true, null: true, lines: true}, &v.SkipPath)
	boolean(f, "internal_host_ssl_validation", &v.InternalTLSVerify)
	reference(f, "certificate", rule{null: true}, &v.Certificate)
	boolean(f, "basic_auth_enabled", &v.BasicAuth)
	text(f, "basic_auth_user_attribute", rule{blank: true, null: true, max: 255}, &v.BasicAuthUserAttribute)
	text(f, "basic_auth_password_attribute", rule{blank: true, null: true, max: 255}, &v.BasicAuthPasswordAttribute)
	boolean(f, "intercept_header_auth", &v.InterceptHeaderAuth)
	timedelta(f, "access_token_validity", time.Second, &v.AccessValidity)
	timedelta(f, "refresh_token_validity", time.Second, &v.RefreshValidity)
	references(f, "jwt_federation_sources", &v.FederationSources)
	integers(f, "jwt_federation_providers", &v.FederationProviders)

	for i, line := range strings.Split(v.SkipPath, "\n") {
		if _, err := regexp.Compile(strings.TrimSpace(line)); err != nil && len(f.errs["skip_path_regex"]) == 0 {
			f.fail("skip_path_regex", fmt.Sprintf("Line %d is not a regular expression: %v.", i+1, err))
		}
	}
	if len(f.errs) > 0 {
		return
	}
	external, err := url.Parse(v.ExternalHost)
	if err != nil || !isWebURL(v.ExternalHost) || external.User != nil || external.RawQuery != "" || external.Fragment != "" {
		f.fail("external_host", "Enter the URL that people open, for example https://app.example.com: http or https, a host, and at most a path.")
		return
	}
	if _, _, err := core.NormalizeHost(external.Host); err != nil {
		f.fail("external_host", "This is "+err.Error()+".")
		return
	}
	if v.InternalHost != "" && !isWebURL(v.InternalHost) {
		f.fail("internal_host", "Enter a valid URL, for example http://127.0.0.1:3000.")
	}
	switch v.Mode {
	case core.ProxyForward:
		if v.InternalHost == "" {
			f.fail("internal_host", "Internal host cannot be empty when forward auth is disabled.")
		}
	case core.ProxyAuthDomain:
		domain := strings.ToLower(strings.TrimPrefix(v.CookieDomain, "."))
		name, _, err := core.NormalizeHost(domain)
		host := strings.ToLower(external.Hostname())
		switch {
		case domain == "":
			f.fail("cookie_domain", "In mode forward_domain the cookie domain is required: the domain that all guarded hosts share.")
		case err != nil || name != domain:
			f.fail("cookie_domain", "Enter a domain, for example example.com.")
		case host != domain && !strings.HasSuffix(host, "."+domain):
			f.fail("cookie_domain", "The external host lies outside of this domain.")
		}
	}
	if v.BasicAuth && (v.BasicAuthUserAttribute == "" || v.BasicAuthPasswordAttribute == "") {
		f.fail("basic_auth_enabled", "User and password attributes must be set when basic auth is enabled.")
	}
}

func showProxy(c *call, v *core.ProxyProvider) (any, error) {
	out, err := showProvider(c, v)
	if err != nil {
		return nil, err
	}
	external := strings.TrimSuffix(v.ExternalHost, "/")
	const callback = "?X-authentik-auth-callback=true"
	own := object{
		"client_id": v.ClientID, "mode": string(v.Mode), "external_host": v.ExternalHost, "internal_host": v.InternalHost,
		"internal_host_ssl_validation": v.InternalTLSVerify, "certificate": orNull(v.Certificate),
		"skip_path_regex": v.SkipPath, "basic_auth_enabled": v.BasicAuth,
		"basic_auth_user_attribute":     v.BasicAuthUserAttribute,
		"basic_auth_password_attribute": v.BasicAuthPasswordAttribute,
		"intercept_header_auth":         v.InterceptHeaderAuth, "cookie_domain": v.CookieDomain,
		"access_token_validity": string(v.AccessValidity), "refresh_token_validity": string(v.RefreshValidity),
		"jwt_federation_sources": list(v.FederationSources), "jwt_federation_providers": list(v.FederationProviders),
		"redirect_uris": []object{
			{"matching_mode": "strict", "url": external + "/outpost.goauthentik.io/callback" + callback},
			{"matching_mode": "strict", "url": external + callback},
		},
		"outpost_set": []string{},
	}
	maps.Copy(out, own)
	return out, nil
}
