package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-sso/postern/core"
)

// acrDefault is the only Authentication Context Class Reference that is issued.
const acrDefault = "goauthentik.io/providers/oauth2/default"

// claimEnds is in a token that was made while our clock was ahead of the machine's (see core.Clock): its
// expiry by our own, in seconds. Others go by exp.
const claimEnds = "postern_exp"

// claimsRoom holds the claims of most tokens, in bytes of JSON. More are only copied once.
const claimsRoom = 1024

// issuance is what an access token and an ID token are made from.
type issuance struct {
	grant  *Grant
	user   *core.User
	groups []core.Group
	scopes []string
	nonce  string
	// bound: the tokens name the login and end with it. A refresh that outlives
	// the login gives tokens that name none (OpenID Connect Core §11).
	bound bool
}

// issue signs an access token and the ID token beside it.
func (p *Provider) issue(ctx context.Context, to *target, in issuance) (*tokenAnswer, error) {
	sign, err := p.signer(ctx, to.client)
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	if to.client.IncludeClaimsInIDToken {
		if claims, err = p.mappedClaims(ctx, to, in.user, in.groups, in.scopes, mint{Provider: p, grant: in.grant, bound: in.bound}); err != nil {
			return nil, err
		}
	}
	life := lifetimesOf(to.client).access
	p.standardClaims(ctx, to, in, life, claims)
	payload, err := appendJSON(make([]byte, 0, claimsRoom), claims)
	if err != nil {
		return nil, fmt.Errorf("encode claims: %w", err)
	}
	access, err := p.accessToken(ctx, to, sign, in.grant.ID, in.scopes, payload)
	if err != nil {
		return nil, err
	}
	id, err := sign.sign(with(payload, claim{"at_hash", halfHash(sign.alg, access)}))
	if err != nil {
		return nil, err
	}
	if id, err = sign.encrypt(id, nil); err != nil {
		return nil, err
	}
	return &tokenAnswer{
		AccessToken: access, TokenType: "Bearer", Scope: strings.Join(in.scopes, " "), IDToken: id,
		ExpiresIn: int64(life / time.Second),
	}, nil
}

// standardClaims puts what this package vouches for on top of what mappings gave.
// Times are the machine's clock's, as relying parties have clocks of their own, and cut to the
// second, never rounded up: they refuse a token from the future.
func (p *Provider) standardClaims(ctx context.Context, to *target, in issuance, life time.Duration, claims map[string]any) {
	info := core.Request(ctx)
	now, ours := p.wall(), p.Now()
	if claims["acr"] == nil {
		claims["acr"] = in.grant.ACR
	}
	if claims["amr"] == nil && len(in.grant.AMR) > 0 {
		claims["amr"] = in.grant.AMR
	}
	claims["iss"] = issuer(info, to)
	claims["sub"] = subject(to.client.SubMode, in.user, info.Tenant.UUID)
	claims["aud"] = to.client.ClientID
	claims["iat"] = now.Unix()
	claims["exp"] = now.Add(life).Unix()
	claims["auth_time"] = min(in.grant.AuthTime.Unix(), now.Unix())
	if ours.Sub(now) >= time.Second {
		claims[claimEnds] = ours.Add(life).Unix()
	}
	if in.nonce != "" {
		claims["nonce"] = in.nonce
	}
	if in.bound {
		claims["sid"] = sessionClaim(in.grant.Session)
	}
}

// wall is the machine's clock.
func (p *Provider) wall() time.Time {
	if p.Wall == nil {
		return p.Now()
	}
	return p.Wall()
}

// expired reports whether a token of ours is over by our own clock.
func (p *Provider) expired(c *tokenClaims) bool {
	return !p.Now().Before(c.end())
}

// end is when a token is over by our own clock.
func (c *tokenClaims) end() time.Time { return time.Unix(max(c.Expires, c.Ends), 0) }

// accessTokenID is the jti of an access token: unique, and it names the grant, so
// that a token whose grant was revoked is refused. An ID token has none.
func accessTokenID(g GrantID) string { return string(g) + "." + core.RandomToken(12) }

func grantOfTokenID(jti string) (GrantID, bool) {
	g, random, ok := strings.Cut(jti, ".")
	return GrantID(g), ok && g != "" && random != ""
}

// halfHash is at_hash: the left half of the hash that the signature's algorithm
// uses (OpenID Connect Core §3.1.3.6).
func halfHash(alg jose.SignatureAlgorithm, token string) string {
	var sum []byte
	switch alg {
	case jose.ES384:
		s := sha512.Sum384([]byte(token))
		sum = s[:]
	case jose.ES512, jose.EdDSA:
		s := sha512.Sum512([]byte(token))
		sum = s[:]
	default:
		s := sha256.Sum256([]byte(token))
		sum = s[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
