package oidc

import (
	"context"
	"encoding/json"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// MatchRedirect and MatchWhole are for fuzzing.
func MatchRedirect(registered []core.RedirectURI, uri string) bool {
	return matchRedirect(registered, uri)
}

func MatchWhole(pattern, uri string) bool { return matchWhole(pattern, uri) }

func SafeRedirect(uri string) bool { return safeRedirect(uri) }

func IsChallenge(s string) bool { return isChallenge(s) }

const RefreshGrace = refreshGrace

// TakeQuota takes one of the events that strangers may cause in a tenant.
func (p *Provider) TakeQuota(t core.TenantID) bool { return p.strangers.take(t, p.Now()) }

// SessionOfHint is what an id_token_hint of an application says.
func (p *Provider) SessionOfHint(ctx context.Context, hint, slug string) (string, error) {
	to, err := p.targetBySlug(ctx, slug)
	if err != nil {
		return "", err
	}
	return p.sessionOfHint(ctx, hint, to)
}

// Paths are those of the table.
func (p *Provider) Paths() []string {
	var out []string
	for _, r := range p.routes() {
		out = append(out, r.path)
	}
	return out
}

// Remembers reports whether a token that a key of a tenant was found to have signed is known to be
// one of another tenant's keys.
func Remembers(of core.TenantID, token string, key *keys.Key, asked core.TenantID, sent string, published ...*keys.Key) bool {
	v := new(verified)
	v.put(verifiedAs(of, token), key, []byte(`{}`))
	return v.get(verifiedAs(asked, sent), published) != nil
}

func AppendJSON(to []byte, v any) ([]byte, error) { return appendJSON(to, v) }

// With adds two claims.
func With(claims []byte, name, value, name2, value2 string) []byte {
	return with(claims, claim{name, value}, claim{name2, value2})
}

// Answer is a token answer in JSON: as it is sent, and as encoding/json has it.
func Answer(access, refresh, scope, id string, expires int64) (sent, want []byte, err error) {
	a := tokenAnswer{AccessToken: access, RefreshToken: refresh, TokenType: "Bearer", Scope: scope, ExpiresIn: expires, IDToken: id}
	want, err = json.Marshal(a)
	return a.json(), want, err
}
