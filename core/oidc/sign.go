package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// tokenSigner signs and verifies for one client: with its key, or by HS256 with
// its secret where it has none.
type tokenSigner struct {
	alg        jose.SignatureAlgorithm
	key        *keys.Key
	secret     core.Secret
	encryption *keys.Key // nil: tokens are not encrypted
}

func (p *Provider) signer(ctx context.Context, client *core.Client) (*tokenSigner, error) {
	t := core.Request(ctx).Tenant.ID
	s := &tokenSigner{alg: jose.HS256, secret: client.Secret}
	var err error
	if client.EncryptionKey != "" {
		if s.encryption, err = p.Keys.Key(ctx, t, client.EncryptionKey); err != nil {
			return nil, fmt.Errorf("encryption key of provider %q: %w", client.Name, err)
		}
	}
	if client.SigningKey == "" {
		if client.Secret == "" {
			return nil, errors.New("the provider has neither a signing key nor a client secret to sign with")
		}
		return s, nil
	}
	if s.key, err = p.Keys.Key(ctx, t, client.SigningKey); err != nil {
		return nil, fmt.Errorf("signing key of provider %q: %w", client.Name, err)
	}
	s.alg = s.key.Algorithm
	return s, nil
}

// encrypt wraps a signed token where the client has an encryption key.
func (s *tokenSigner) encrypt(token string, header map[jose.HeaderKey]any) (string, error) {
	if s.encryption == nil {
		return token, nil
	}
	return s.encryption.Encrypt(token, header)
}

// sealedHeader is the header of an encrypted access token that holds, sealed by
// the tenant's own key, what its claims say of it: only the client can decrypt the
// token, and we must know our own again.
const (
	sealedHeader  = "sealed"
	purposeAccess = "access-token"
)

func (p *Provider) encryptAccess(ctx context.Context, s *tokenSigner, token string, claims map[string]any) (string, error) {
	if s.encryption == nil {
		return token, nil
	}
	contents, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	sealed := p.Master.Seal(core.Request(ctx).Tenant.ID, purposeAccess, sealedHeader, contents)
	return s.encrypt(token, map[jose.HeaderKey]any{sealedHeader: base64.RawURLEncoding.EncodeToString(sealed)})
}

func (s *tokenSigner) sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	if s.key != nil {
		return s.key.Sign(payload)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(s.secret)}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("sign with the client secret: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign with the client secret: %w", err)
	}
	return jws.CompactSerialize()
}

var errToken = errors.New("the token is not one of ours")

// verify takes only this client's own algorithm and key, by its ID: what a
// token's header says beyond that (jwk, jku, x5u, another alg) is never looked at.
func (s *tokenSigner) verify(token string) ([]byte, error) {
	if len(token) > maxToken {
		return nil, errToken
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{s.alg})
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errToken
	}
	var public any = []byte(s.secret)
	kid := ""
	if s.key != nil {
		public, kid = s.key.Public, s.key.KID
	}
	if jws.Signatures[0].Header.KeyID != kid {
		return nil, errToken
	}
	payload, err := jws.Verify(public)
	if err != nil {
		return nil, errToken
	}
	return payload, nil
}
