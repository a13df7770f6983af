// Package policy decides whether a user may open an application, and says why.
package policy

import (
	"context"
	"fmt"
	"slices"

	"github.com/postern-sso/postern/core"
)

// Decision is a yes or no that always carries its reason.
type Decision struct {
	Allowed bool
	ID      string // names a denial on the page and in the log; empty when allowed
	Trace   []string
}

// Engine decides. It has no state of its own.
type Engine struct{}

// Decide answers for a user, with all groups that they are in, direct and
// inherited, and an application. A user that is not active is always denied. An
// application without rules is open to every active user.
func (Engine) Decide(_ context.Context, _ core.TenantID, app *core.Application, user *core.User, groups []core.Group) Decision {
	if user == nil || !user.Active {
		return deny("the user is not active")
	}
	if len(app.AllowGroups) == 0 {
		return Decision{Allowed: true, Trace: []string{"the application has no rule: open to every active user"}}
	}
	for i := range groups {
		if slices.Contains(app.AllowGroups, groups[i].Name) {
			return Decision{Allowed: true, Trace: []string{fmt.Sprintf("the user is in group %q, which allow_groups names", groups[i].Name)}}
		}
	}
	return deny(fmt.Sprintf("the user is in none of the groups that allow_groups names: %q", app.AllowGroups))
}

func deny(why string) Decision {
	return Decision{ID: core.RandomAlphanumeric(12), Trace: []string{why}}
}
