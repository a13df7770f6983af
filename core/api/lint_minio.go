package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// warning is what a client would stumble over: the field that is to blame, and what
// would be right.
type warning struct{ field, message string }

// minioClient is what the linter for MinIO looks at.
type minioClient struct {
	client   *core.Client
	app      *core.Application
	mappings []core.PropertyMapping // those of the provider
	// all are the claims with every scope that the client may have, given those with
	// the scopes that were asked about.
	all, given map[string]any
	asked      []string // nil: none were named
}

// isMinIO tells by its name, its way back or its mappings whether a client is a
// MinIO.
func (m *minioClient) isMinIO() bool {
	named := []string{m.client.ClientID, m.client.Name}
	if m.app != nil {
		named = append(named, m.app.Slug, m.app.Name)
	}
	for i := range m.mappings {
		named = append(named, m.mappings[i].ScopeName, m.mappings[i].Name)
	}
	if slices.ContainsFunc(named, func(s string) bool { return strings.Contains(strings.ToLower(s), "minio") }) {
		return true
	}
	return slices.ContainsFunc(m.client.RedirectURIs, func(r core.RedirectURI) bool {
		u, err := url.Parse(r.URL)
		return err == nil && strings.TrimSuffix(u.Path, "/") == "/oauth_callback"
	})
}

// builtIn are the policies that MinIO has from the start.
func builtIn() []string {
	return []string{"consoleAdmin", "diagnostics", "readonly", "readwrite", "writeonly"}
}

// warnings says what MinIO would refuse. It takes an ID token by
// AssumeRoleWithWebIdentity: with a key ID that JWKS has, a subject, and a claim
// "policy" that names at least one policy that it knows.
func (m *minioClient) warnings() []warning {
	var out []warning
	warn := func(field, format string, args ...any) {
		out = append(out, warning{field, fmt.Sprintf(format, args...)})
	}
	if m.client.SigningKey == "" {
		warn("signing_key", "Without a signing key, tokens are signed with the client secret and have no key ID (kid). MinIO refuses such a token: choose a key pair of type rsa or ecdsa.")
	}
	if m.client.EncryptionKey != "" {
		warn("encryption_key", "MinIO cannot read encrypted tokens: leave the encryption key empty.")
	}
	if !m.client.IncludeClaimsInIDToken {
		warn("include_claims_in_id_token", "MinIO looks for the claim policy in the ID token, and asks for no other: set this to true.")
	}
	if sub, _ := m.given["sub"].(string); sub == "" {
		warn("sub_mode", "The token would have no subject (sub), and MinIO refuses it: choose hashed_user_id or user_username.")
	}
	policy, there := m.given["policy"]
	if _, withAll := m.all["policy"]; !there && withAll {
		warn("scope", "The claim policy comes with the scope %s, which was not requested: add it to MINIO_IDENTITY_OPENID_SCOPES, or leave that empty, so that MinIO requests all that discovery lists.", m.sources())
		return out
	}
	if !there {
		warn("property_mappings", "There is no claim policy, and MinIO refuses the login (policy claim missing): add a scope mapping that returns {\"policy\": \"readwrite\"}, for example. A mapping that returns None gives this user none.")
		return out
	}
	return append(out, policyWarnings(policy)...)
}

// sources are the scopes that were not asked for.
func (m *minioClient) sources() string {
	var out []string
	for i := range m.mappings {
		s := m.mappings[i].ScopeName
		if !slices.Contains(m.asked, s) && !slices.Contains(out, s) && strings.Contains(m.mappings[i].Expression, "policy") {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return "of another mapping"
	}
	return strings.Join(out, " or ")
}

// policyWarnings judges the shape and the names of a claim.
func policyWarnings(policy any) []warning {
	shape := func(got string) []warning {
		return []warning{{"policy", "The claim policy is " + got + "; MinIO takes a string, such as \"readwrite\", or a list of strings."}}
	}
	var named []string
	switch v := policy.(type) {
	case string:
		named = strings.Split(v, ",")
	case []any:
		for _, item := range v {
			s, isText := item.(string)
			if !isText {
				return shape("a list with something else than strings in it")
			}
			named = append(named, s)
		}
	case map[string]any:
		return shape("an object")
	case bool:
		return shape("true or false")
	default:
		return shape("a number")
	}
	named = slices.DeleteFunc(named, func(s string) bool { return strings.TrimSpace(s) == "" })
	if len(named) == 0 {
		return []warning{{"policy", "The claim policy names nothing, and MinIO refuses it: return None to give a user no access, or the name of a policy."}}
	}
	var out []warning
	for _, name := range named {
		name = strings.TrimSpace(name)
		if slices.Contains(builtIn(), name) {
			continue
		}
		message := fmt.Sprintf("MinIO has no policy %q from the start: it must be defined there. Built in are %s. A name that it does not know is left out, and where none is left the login is refused.", name, strings.Join(builtIn(), ", "))
		for _, known := range builtIn() {
			if strings.EqualFold(known, name) {
				message = fmt.Sprintf("MinIO tells upper and lower case apart: write %q, not %q.", known, name)
			}
		}
		out = append(out, warning{"policy", message})
	}
	return out
}
