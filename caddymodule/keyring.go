package caddymodule

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// keyring is what an operator does with signing keys, over the admin API or offline.
type keyring struct {
	rotation *keys.Rotation
	tenant   core.TenantID
}

// keyPair is a key pair as an operator sees one.
type keyPair struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	// Renews: it was made here, and is renewed before its certificate expires.
	Renews     bool        `json:"renews"`
	Keys       []signedKey `json:"keys"` // the newest first
	Signing    []string    `json:"signing"`
	Encrypting []string    `json:"encrypting"`
	Other      []string    `json:"other"`
	// Of revoke only.
	Revoked *revoked `json:"revoked,omitempty"`
}

// signedKey is one key of a pair.
type signedKey struct {
	KID       string     `json:"kid"`
	Algorithm string     `json:"algorithm"`
	State     string     `json:"state"`           // signs, next, retired or certificate
	From      *time.Time `json:"from,omitempty"`  // of next: when it signs
	Until     *time.Time `json:"until,omitempty"` // of retired: when its last token has expired
	Expires   *time.Time `json:"certificate_expires,omitempty"`
	Expired   bool       `json:"certificate_expired,omitempty"`
	// Soon: its certificate is to be renewed now.
	Soon bool `json:"certificate_expires_soon,omitempty"`
}

// revoked is what ended with a key.
type revoked struct {
	Grants   int `json:"grants"`
	Sessions int `json:"sessions"`
}

// keyInput is what an action is told.
type keyInput struct {
	Name        string      `json:"name"`
	Alg         string      `json:"alg,omitempty"`
	LeadSeconds int64       `json:"lead_seconds,omitempty"`
	Certificate string      `json:"certificate,omitempty"`
	PrivateKey  privateText `json:"private_key,omitempty"`
	EndSessions bool        `json:"end_sessions,omitempty"`
}

// privateText is a private key on its way from the command to the server.
type privateText string

func (in *keyInput) material() keys.Material {
	return keys.Material{Certificate: in.Certificate, PrivateKey: core.Secret(in.PrivateKey), Alg: in.Alg}
}

func (k *keyring) actions() map[string]action {
	return map[string]action{
		"keys/list":   func(ctx context.Context, _ []byte) (any, error) { return k.list(ctx) },
		"keys/rotate": taking(k.rotate),
		"keys/revoke": taking(k.revoke),
		"keys/rewrap": func(context.Context, []byte) (any, error) {
			return nil, &core.FieldError{Field: "secret", Message: "The master secret does not change while the server runs: stop it and run `caddy postern key rewrap --config <Caddyfile>`, or set `secret` to the new one and `old_secret` to the one before, and start it again."}
		},
	}
}

func (k *keyring) list(ctx context.Context) ([]keyPair, error) {
	all, err := k.rotation.Pairs.KeyPairs(ctx, k.tenant)
	if err != nil {
		return nil, err
	}
	out := []keyPair{}
	for i := range all {
		one, err := k.show(ctx, &all[i])
		if err != nil {
			return nil, err
		}
		out = append(out, *one)
	}
	return out, nil
}

func (k *keyring) rotate(ctx context.Context, in keyInput) (*keyPair, error) {
	pair, err := k.rotation.Rotate(ctx, k.tenant, in.Name, in.material(), time.Duration(in.LeadSeconds)*time.Second)
	if err != nil {
		return nil, err
	}
	return k.show(ctx, pair)
}

func (k *keyring) revoke(ctx context.Context, in keyInput) (*keyPair, error) {
	done, err := k.rotation.Revoke(ctx, k.tenant, in.Name, in.material(), in.EndSessions)
	if err != nil {
		return nil, err
	}
	out, err := k.show(ctx, done.Pair)
	if err != nil {
		return nil, err
	}
	out.Revoked = &revoked{Grants: done.Grants, Sessions: done.Sessions}
	return out, nil
}

// show says of each key of a pair what it does now. One that cannot be read is shown
// without what only its text tells.
func (k *keyring) show(ctx context.Context, pair *core.KeyPair) (*keyPair, error) {
	use, err := k.rotation.Pairs.KeyPairUse(ctx, k.tenant, pair.ID)
	if err != nil {
		return nil, err
	}
	now := k.rotation.Now()
	out := &keyPair{Name: pair.Name, ID: string(pair.ID), Renews: pair.Generated, Keys: []signedKey{},
		Signing: orEmpty(use.Signing), Encrypting: orEmpty(use.Encrypting), Other: orEmpty(use.Other)}
	add := func(certificate string, private core.Secret) *signedKey {
		one := signedKey{State: "signs"}
		if key, err := keys.Parse(&core.KeyPair{Certificate: certificate, PrivateKey: private}); err != nil {
			one.State = "unreadable"
		} else {
			one.KID, one.Algorithm = key.KID, string(key.Algorithm)
			if len(key.Certificates) > 0 {
				one.Expires, one.Expired, one.Soon = &key.Certificates[0].NotAfter, expired(key.Certificates[0], now), key.Due(now)
			}
			if key.Signer == nil {
				one.State = "certificate"
			}
		}
		out.Keys = append(out.Keys, one)
		return &out.Keys[len(out.Keys)-1]
	}
	own := add(pair.Certificate, pair.PrivateKey)
	waits := now.Before(pair.SignsFrom) && len(pair.Former) > 0
	if waits {
		own.State, own.From = "next", &pair.SignsFrom
	}
	for i := range pair.Former {
		f := &pair.Former[i]
		if !now.Before(f.VerifiesUntil) {
			continue
		}
		one := add(f.Certificate, f.PrivateKey)
		if i == 0 && waits {
			one.State = "signs"
			continue
		}
		one.State, one.Until = "retired", &f.VerifiesUntil
	}
	return out, nil
}

func expired(c *x509.Certificate, now time.Time) bool { return !now.Before(c.NotAfter) }

// orEmpty is a list that JSON shows as one, also where there is nothing in it.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
