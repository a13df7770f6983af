package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
)

// bootstrapToken is the name of the API token that the environment sets.
const bootstrapToken = "authentik-bootstrap-token" //nolint:gosec // a name, and no token

// firstStart does what a first start owes, once in a process and again at
// each start until the administrator has a password: the bootstrap variables, or
// a link on a line of its own.
func (s *system) firstStart(ctx context.Context, out io.Writer) error {
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	if s.shared.greeted || s.settings.origin == "" {
		return nil
	}
	tenant, err := s.tenantByID(ctx, core.DefaultTenant)
	if err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	link, err := s.pages.SetupLink(ctx, tenant)
	if err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	s.shared.greeted = true
	if link == "" {
		return nil
	}
	if err := s.bootstrap(ctx); err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	if s.settings.bootstrap.password != "" {
		return nil
	}
	_, err = fmt.Fprintf(out, "First start: set the administrator's password at %s\n", link)
	return err
}

// bootstrap gives the administrator of the default tenant what the environment says, as long as nobody has
// ever entered: later the variables change nothing.
func (s *system) bootstrap(ctx context.Context) error {
	b, t := s.settings.bootstrap, core.DefaultTenant
	admin, err := s.shared.db.UserByName(ctx, t, login.SetupUser)
	if err != nil {
		return fmt.Errorf("find %s: %w", login.SetupUser, err)
	}
	if b.email != "" && b.email != admin.Email {
		admin, err = s.shared.db.UpdateUser(ctx, t, admin.PK, func(u *core.User) error {
			u.Email = b.email
			return nil
		})
		if err != nil {
			return fmt.Errorf("AUTHENTIK_BOOTSTRAP_EMAIL: %w", err)
		}
	}
	if b.token != "" {
		tok := &core.Token{Identifier: bootstrapToken, Intent: core.IntentAPI, User: admin.ID, Managed: "goauthentik.io/bootstrap/token"}
		err := s.shared.db.CreateToken(ctx, t, tok, b.token)
		if errors.Is(err, core.ErrExists) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("AUTHENTIK_BOOTSTRAP_TOKEN: %w", err)
		}
	}
	if b.password != "" {
		if err := s.pages.SetPassword(ctx, t, admin, string(b.password), ""); err != nil {
			return fmt.Errorf("AUTHENTIK_BOOTSTRAP_PASSWORD: %w", err)
		}
	}
	return nil
}
