package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

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
	// published are the keys of the JWKS: the one that signs, the one that will, and
	// those whose tokens have not expired.
	published []*keys.Key
}

func (p *Provider) signer(ctx context.Context, client *core.Client) (*tokenSigner, error) {
	return p.signerOf(ctx, client, false)
}

// signerOf reads the keys past what is cached where fresh.
func (p *Provider) signerOf(ctx context.Context, client *core.Client, fresh bool) (*tokenSigner, error) {
	t := core.Request(ctx).Tenant.ID
	s := &tokenSigner{alg: jose.HS256, secret: client.Secret}
	var err error
	if client.EncryptionKey != "" {
		if s.encryption, err = p.Keys.Key(ctx, t, client.EncryptionKey); err != nil {
			return nil, fmt.Errorf("encryption key of provider %q: %w", client.Name, err)
		}
	}
	if client.SigningKey != "" {
		read := p.Keys.Set
		if fresh {
			read = p.Keys.Reread
		}
		set, err := read(ctx, t, client.SigningKey)
		if err != nil {
			return nil, fmt.Errorf("signing key of provider %q: %w", client.Name, err)
		}
		s.key, s.alg, s.published = set.Signer, set.Signer.Algorithm, set.Published
	} else if client.Secret == "" {
		return nil, errors.New("the provider has neither a signing key nor a client secret to sign with")
	}
	left, err := p.Keys.Left(ctx, t, client.ID, fresh)
	if err != nil {
		return nil, fmt.Errorf("former keys of provider %q: %w", client.Name, err)
	}
	for _, key := range left {
		if s.keyByID(key.KID) == nil {
			s.published = append(s.published, key)
		}
	}
	return s, nil
}

func (s *tokenSigner) keyByID(kid string) *keys.Key {
	for _, key := range s.published {
		if key.KID == kid {
			return key
		}
	}
	return nil
}

// algorithms are those that a token of the client may have, the present one first.
func (s *tokenSigner) algorithms() []jose.SignatureAlgorithm {
	out := []jose.SignatureAlgorithm{s.alg}
	for _, key := range s.published {
		if !slices.Contains(out, key.Algorithm) {
			out = append(out, key.Algorithm)
		}
	}
	return out
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

func (p *Provider) encryptAccess(ctx context.Context, s *tokenSigner, token string, contents []byte) (string, error) {
	if s.encryption == nil {
		return token, nil
	}
	sealed := p.Master.Seal(core.Request(ctx).Tenant.ID, purposeAccess, sealedHeader, contents)
	return s.encrypt(token, map[jose.HeaderKey]any{sealedHeader: base64.RawURLEncoding.EncodeToString(sealed)})
}

// sign makes a token of claims, which are a JSON object.
func (s *tokenSigner) sign(payload []byte) (string, error) {
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

// errUnknownKey: it names a key that the client does not have, or not any more.
var errUnknownKey = fmt.Errorf("%w: it names another key", errToken)

// verify checks a token of a client. Where it names a key that is not known here, the
// keys are read again: another node may have begun to sign with it. Nobody may write into what
// it returns.
func (p *Provider) verify(ctx context.Context, client *core.Client, sign *tokenSigner, token string) ([]byte, error) {
	if len(token) > maxToken {
		return nil, errToken
	}
	known := verifiedAs(core.Request(ctx).Tenant.ID, token)
	if payload := p.verified.get(known, sign.published); payload != nil {
		return payload, nil
	}
	payload, key, err := sign.verify(token)
	if errors.Is(err, errUnknownKey) {
		if sign, err = p.signerOf(ctx, client, true); err != nil {
			return nil, err
		}
		payload, key, err = sign.verify(token)
	}
	if err != nil {
		return nil, err
	}
	p.verified.put(known, key, payload)
	return payload, nil
}

// verify takes only this client's own keys, by their ID, each with its own algorithm:
// what a token's header says beyond that (jwk, jku, x5u, another alg) is never looked
// at. The key is nil where it was the client's secret.
func (s *tokenSigner) verify(token string) ([]byte, *keys.Key, error) {
	jws, err := jose.ParseSignedCompact(token, s.algorithms())
	if err != nil || len(jws.Signatures) != 1 {
		return nil, nil, errToken
	}
	header := jws.Signatures[0].Header
	var public any
	key := s.keyByID(header.KeyID)
	switch {
	case key != nil && header.Algorithm == string(key.Algorithm):
		public = key.Public
	case key == nil && header.KeyID == "" && s.key == nil && header.Algorithm == string(jose.HS256):
		public = []byte(s.secret)
	case key == nil && header.KeyID != "" && len(header.KeyID) <= maxKID:
		return nil, nil, errUnknownKey
	default:
		return nil, nil, errToken
	}
	payload, err := jws.Verify(public)
	if err != nil {
		return nil, nil, errToken
	}
	return payload, key, nil
}

// maxKID is longer than any kid of ours.
const maxKID = 64
