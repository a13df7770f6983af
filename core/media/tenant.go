package media

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
)

// Vacant returns a *core.FieldError where there are files of a tenant that is yet to be made: they are
// those of another one that had its name, or somebody put them there, and they must not become its own
// unseen. Without a store there are none.
func Vacant(ctx context.Context, s Store, t core.TenantID) error {
	if s == nil {
		return nil
	}
	taken := &core.FieldError{Field: "schema_name", Message: "There are media files of that name, of no tenant that is registered: move them away, or choose another name."}
	return s.List(ctx, t, func(Info) error { return taken })
}

// Vacate removes the files of a tenant that was deleted.
func Vacate(ctx context.Context, s Store, t core.TenantID) error {
	if s == nil {
		return nil
	}
	// What was begun is ended, even if the caller goes away now.
	if err := s.DeleteAll(context.WithoutCancel(ctx), t); err != nil {
		return errors.Join(fmt.Errorf("the tenant %s is deleted, and its media files are not: remove them before a tenant of that name is made", t), err)
	}
	return nil
}
