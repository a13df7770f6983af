package cached

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/cache"
	"github.com/postern-sso/postern/core/oidc"
)

func (d *Directory) fresh() bool { return d.Fresh == nil || d.Fresh() == nil }

// whileAway asks, and answers from memory only while the directory cannot be asked: for
// what is changed by other ways than those that Invalidate hears of at once.
func whileAway[T any](d *Directory, k cache.Key, ask func() (T, error)) (T, error) {
	g := d.generation(k.Tenant)
	all, shape := g.all.Load(), g.shape.Load()
	v, err := ask()
	if err == nil {
		g.unchanged(all, func() { d.objects.Set(k, entry{shape, v}) })
		return v, nil
	}
	if errors.Is(err, core.ErrUnavailable) && d.fresh() {
		if e, ok := d.objects.Get(k); ok && e.shape == shape {
			return e.value.(T), nil
		}
	}
	return v, err
}

// KeyPair finds by ID; from memory only while the directory is away.
func (d *Directory) KeyPair(ctx context.Context, t core.TenantID, id core.KeyPairID) (*core.KeyPair, error) {
	return one(whileAway(d, key(t, keyPair, string(id)), func() (*core.KeyPair, error) { return d.DB.KeyPair(ctx, t, id) }))
}

// Grant finds by ID; from memory only while the directory is away.
func (d *Directory) Grant(ctx context.Context, t core.TenantID, id oidc.GrantID) (*oidc.Grant, error) {
	g, err := one(whileAway(d, key(t, grant, string(id)), func() (*oidc.Grant, error) { return d.DB.Grant(ctx, t, id) }))
	if err == nil && !d.Now().Before(g.Expires) {
		return nil, fmt.Errorf("the grant has expired: %w", core.ErrNotFound)
	}
	return g, err
}
