package api

import (
	"crypto/rsa"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

func clients() *resource[core.Client] {
	return &resource[core.Client]{
		model: "OAuth2Provider", app: "authentik_providers_oauth2", verbose: "OAuth2/OpenID Provider", key: "id",
		members: append(providerShape().members, always("redirect_uris", listShape(redirectURIShape())),
			secret("client_secret", textShape().known("Not in lists."))),
		listing: listing{
			filters: map[string]filter{
				"name": byText, "client_id": byText, "client_type": byText, "authorization_flow": byUUID,
				"access_code_validity": byText, "access_token_validity": byText, "refresh_token_validity": byText,
				"include_claims_in_id_token": byBool, "issuer_mode": byText, "sub_mode": byText,
				"signing_key": byUUID, "property_mappings": byUUIDs, "application": byUUID,
			},
			order:  []string{"name", "client_id", "pk"},
			preset: []string{"name"},
		},
		find: findProvider[*core.Client],
		page: func(c *call, q Query) ([]core.Client, int, error) { return c.Store.ListClients(c.ctx(), c.t, q) },
		create: func(c *call, v *core.Client) error {
			if v.ClientID == "" {
				v.ClientID = core.RandomAlphanumeric(40)
			}
			if v.Secret == "" {
				v.Secret = core.Secret(core.RandomAlphanumeric(128))
			}
			return c.Store.CreateClient(c.ctx(), c.t, v)
		},
		update: func(c *call, key string, change func(*core.Client) error) (*core.Client, error) {
			id, err := providerID(key)
			if err != nil {
				return nil, err
			}
			return c.Store.UpdateClient(c.ctx(), c.t, id, change)
		},
		remove: removeProvider,
		fresh: func(*call) *core.Client {
			return &core.Client{
				Type: core.ClientConfidential, CodeValidity: "minutes=1", AccessValidity: "hours=1",
				RefreshValidity: "days=30", RefreshThreshold: "seconds=0", SubMode: core.SubHashedUserID,
				IssuerMode: core.IssuerPerProvider, IncludeClaimsInIDToken: true, LogoutMethod: "backchannel",
			}
		},
		read:  readClient,
		check: checkClient,
		gather: func(c *call, rows []core.Client) error {
			return c.gatherAssigned(of(rows, func(v *core.Client) []core.ProviderID { return []core.ProviderID{v.ID} }))
		},
		show:  showClient,
		label: func(v *core.Client) (string, string) { return strconv.FormatInt(int64(v.ID), 10), v.Name },
	}
}

func removeProvider(c *call, key string) error {
	id, err := providerID(key)
	if err != nil {
		return err
	}
	return c.Store.DeleteProvider(c.ctx(), c.t, id)
}

func readClient(f *fields, v *core.Client) {
	readProvider(f, &v.ProviderBase)
	choice(f, "client_type", &v.Type, core.ClientConfidential, core.ClientPublic)
	text(f, "client_id", rule{max: 255, about: "Random where it is left out."}, &v.ClientID)
	if len(f.errs["client_id"]) == 0 && strings.ContainsFunc(v.ClientID, notVisible) {
		f.fail("client_id", "A client ID is made of printable ASCII characters.")
	}
	readClientSecret(f, v)
	readRedirectURIs(f, &v.RedirectURIs)
	timedelta(f, "access_code_validity", time.Second, &v.CodeValidity)
	timedelta(f, "access_token_validity", time.Second, &v.AccessValidity)
	timedelta(f, "refresh_token_validity", time.Second, &v.RefreshValidity)
	timedelta(f, "refresh_token_threshold", 0, &v.RefreshThreshold)
	choice(f, "sub_mode", &v.SubMode, core.SubHashedUserID, core.SubUserID, core.SubUserUUID, core.SubUserName, core.SubUserEmail, core.SubUserUPN)
	choice(f, "issuer_mode", &v.IssuerMode, core.IssuerPerProvider, core.IssuerGlobal)
	boolean(f, "include_claims_in_id_token", &v.IncludeClaimsInIDToken)
	reference(f, "signing_key", rule{null: true}, &v.SigningKey)
	reference(f, "encryption_key", rule{null: true}, &v.EncryptionKey)
	text(f, "logout_uri", rule{blank: true, null: true, max: maxURL, format: urlFormat}, &v.LogoutURI)
	choice(f, "logout_method", &v.LogoutMethod, "backchannel", "frontchannel")
	references(f, "jwt_federation_sources", &v.FederationSources)
	integers(f, "jwt_federation_providers", &v.FederationProviders)
}

// notVisible: RFC 6749 appendix A, VSCHAR, without the space that HTTP Basic and
// people lose.
func notVisible(c rune) bool { return c <= ' ' || c > '~' }

// readClientSecret takes an empty secret as none: a new provider gets a random
// one, and an old one keeps what it has, because an empty secret guards nothing.
func readClientSecret(f *fields, v *core.Client) {
	secret := core.Secret("")
	text(f, "client_secret", rule{blank: true, max: 255, about: "Random where it is left out or empty."}, &secret)
	if strings.ContainsFunc(string(secret), notVisible) {
		f.fail("client_secret", "A client secret is made of printable ASCII characters.")
		return
	}
	if secret != "" {
		v.Secret = secret
	}
}

func checkClient(c *call, f *fields, v, _ *core.Client) error {
	if err := checkProvider(c, f, &v.ProviderBase); err != nil {
		return err
	}
	if err := checkKeyPair(c, f, "signing_key", v.SigningKey, true); err != nil {
		return err
	}
	// RFC 7518 §3.2: a key of HS256 has at least 256 bits. An empty secret is
	// replaced by a long random one.
	if v.SigningKey == "" && v.Secret != "" && len(v.Secret) < 32 {
		f.fail("client_secret", "Without a signing key, tokens are signed with the client secret, which then needs at least 32 characters: choose a signing key or a longer secret.")
	}
	if err := checkKeyPair(c, f, "encryption_key", v.EncryptionKey, false); err != nil {
		return err
	}
	if f.has("encryption_key") && v.EncryptionKey != "" && len(f.errs["encryption_key"]) == 0 {
		k, err := c.Store.KeyPair(c.ctx(), c.t, v.EncryptionKey)
		if err != nil {
			return err
		}
		parsed, err := keys.Parse(k)
		if err != nil {
			return err
		}
		if _, isRSA := parsed.Public.(*rsa.PublicKey); !isRSA {
			f.fail("encryption_key", "Tokens are encrypted by RSA-OAEP-256: choose a key pair of type rsa.")
		}
	}
	return checkFederation(c, f, v.FederationSources, v.FederationProviders)
}

// showClient has the secret, which the description keeps out of lists: a program
// that configures a provider must be able to compare.
func showClient(c *call, v *core.Client) (any, error) {
	out, err := showProvider(c, v)
	if err != nil {
		return nil, err
	}
	uris := make([]object, 0, len(v.RedirectURIs))
	for _, u := range v.RedirectURIs {
		uris = append(uris, object{"matching_mode": string(u.Mode), "url": u.URL})
	}
	own := object{
		"client_type": string(v.Type), "client_id": v.ClientID, "redirect_uris": uris,
		"access_code_validity": string(v.CodeValidity), "access_token_validity": string(v.AccessValidity),
		"refresh_token_validity": string(v.RefreshValidity), "refresh_token_threshold": string(v.RefreshThreshold),
		"include_claims_in_id_token": v.IncludeClaimsInIDToken,
		"sub_mode":                   string(v.SubMode), "issuer_mode": string(v.IssuerMode),
		"signing_key": orNull(v.SigningKey), "encryption_key": orNull(v.EncryptionKey),
		"logout_uri": v.LogoutURI, "logout_method": v.LogoutMethod,
		"jwt_federation_sources": list(v.FederationSources), "jwt_federation_providers": list(v.FederationProviders),
	}
	maps.Copy(out, own)
	if c.may("authentik_providers_oauth2.change_oauth2provider") {
		out["client_secret"] = string(v.Secret)
	}
	return out, nil
}

// setupURLs is what a client is configured with. What depends on an application
// is null until there is one.
func setupURLs(c *call) (reply, error) {
	v, err := findProvider[*core.Client](c, c.key)
	if err != nil {
		return reply{}, found(err, "OAuth2Provider")
	}
	p, err := showProvider(c, v)
	if err != nil {
		return reply{}, err
	}
	base := c.info.Origin() + "/application/o/"
	out := object{
		"issuer": nil, "authorize": base + "authorize/", "token": base + "token/", "user_info": base + "userinfo/",
		"provider_info": nil, "logout": nil, "jwks": nil,
	}
	if v.IssuerMode == core.IssuerGlobal {
		out["issuer"] = c.info.Origin() + "/"
	}
	if slug, assigned := p["assigned_application_slug"].(string); assigned {
		own := base + url.PathEscape(slug) + "/"
		if v.IssuerMode == core.IssuerPerProvider {
			out["issuer"] = own
		}
		out["provider_info"], out["logout"], out["jwks"] = own+".well-known/openid-configuration", own+"end-session/", own+"jwks/"
	}
	return ok(out)
}

func setupURLsShape() shape {
	s := objectShape("OAuth2ProviderSetupURLs", texts("authorize", "token", "user_info")...)
	for _, name := range []string{"issuer", "provider_info", "logout", "jwks"} {
		s.members = append(s.members, always(name, textShape().orNull()))
	}
	return s
}
