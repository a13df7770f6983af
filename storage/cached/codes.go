package cached

import (
	"context"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/cache"
	"github.com/postern-sso/postern/core/oidc"
)

// maxCodes are in memory, over all tenants: those that are on their way to a client and back. One
// takes about half a KiB.
const maxCodes = 4096

// code is an authorization code that this process made, and what it stands for. It is found
// by its hash, and by its grant.
type code struct {
	oidc.Code
	grant oidc.Grant
}

func (c *code) keys(t core.TenantID) [2]cache.Key {
	return [2]cache.Key{{Tenant: t, Hash: c.Hash}, {Tenant: t, ID: string(c.grant.ID)}}
}

// SaveCode keeps a code, and remembers it: most are redeemed within the second.
func (d *Directory) SaveCode(ctx context.Context, t core.TenantID, c *oidc.Code, g *oidc.Grant, e *core.Event) error {
	all := d.generation(t).all.Load()
	err := d.DB.SaveCode(ctx, t, c, g, e)
	if err == nil && g != nil && !g.Expires.Before(c.Expires) {
		made := &code{*c, *g}
		d.generation(t).unchanged(all, func() {
			for _, k := range made.keys(t) {
				d.codes.Set(k, made)
			}
		})
	}
	return err
}

// Code finds a code that is to be redeemed, once from memory. Neither a code nor its grant
// changes until it is redeemed; whether it was, or was revoked, on another node is the answer of
// ConsumeCode, which is the directory's alone.
func (d *Directory) Code(ctx context.Context, t core.TenantID, hash [32]byte) (*oidc.Code, *oidc.Grant, error) {
	made, ok := d.codes.Get(cache.Key{Tenant: t, Hash: hash})
	if !ok || !d.fresh() {
		return d.DB.Code(ctx, t, hash)
	}
	d.forgetCode(t, made)
	c, g := made.Code, made.grant
	return &c, &g, nil
}

// ConsumeCode marks a code used.
func (d *Directory) ConsumeCode(ctx context.Context, t core.TenantID, hash [32]byte, first *oidc.RefreshToken) error {
	if made, ok := d.codes.Get(cache.Key{Tenant: t, Hash: hash}); ok {
		d.forgetCode(t, made)
	}
	return d.DB.ConsumeCode(ctx, t, hash, first)
}

func (d *Directory) forgetCode(t core.TenantID, made *code) {
	for _, k := range made.keys(t) {
		d.codes.Drop(k)
	}
}
