package media

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
)

// Vacant returns a *core.FieldError where there are files of a tenant that is yet to be made: they are
// those of another one that had its name, or somebody put them there, and they must not become its own
// unseen. Where nobody can look, it is that, too, and the store's error: a tenant waits for the store
// rather than show somebody else's files to its administrators. Without a store there are none.
func Vacant(ctx context.Context, s Store, t core.TenantID) error {
	if s == nil {
		return nil
	}
	taken := &core.FieldError{Field: "schema_name", Message: "There are media files of that name, of no tenant that is registered: move them away, or choose another name."}
	err := s.List(ctx, t, func(Info) error { return taken })
	if err != nil && !errors.Is(err, taken) {
		return fmt.Errorf("%w (%w)", &core.FieldError{Field: "schema_name", Message: "Nobody can see whether there are media files of that name, as their store does not answer. The tenant can be made when it does."}, err)
	}
	return err
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
