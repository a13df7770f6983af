package sqldb

import (
	"context"
	"slices"

	"github.com/postern-sso/postern/core"
)

// TenantIDs are all tenants, in order.
func (db *DB) TenantIDs(ctx context.Context) ([]core.TenantID, error) {
	if db.registryOld() {
		if err := db.loadRegistry(ctx); err != nil {
			return nil, err
		}
	}
	var out []core.TenantID
	for id := range db.registry.Load().byID {
		out = append(out, id)
	}
	slices.Sort(out)
	return out, nil
}
