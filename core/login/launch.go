package login

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
)

// launchURL is where an application's tile leads, for a user; "": it has none.
func (h *Handler) launchURL(ctx context.Context, t core.TenantID, app *core.Application, u *core.User) (string, error) {
	var p core.Provider
	if app.LaunchURL == "" && app.Provider != 0 {
		var err error
		p, err = h.Applications.Provider(ctx, t, app.Provider)
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			return "", fmt.Errorf("find the provider of %s: %w", app.Slug, err)
		}
	}
	return core.LaunchURL(app, p, core.Request(ctx).Tenant, u), nil
}
