package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/storage/sqldb"
)

// staff is the group that everybody in a story belongs to.
const staff = "staff"

// story is the life of one account. A process that is killed lives it, step by step;
// the one that killed it reads how far it came. All that it writes is named after it.
type story struct {
	db     *sqldb.DB
	tenant core.TenantID
	name   string // k-<child>-<writer>-<number>
	number int
}

// step is one call that changes the directory.
type step struct {
	name string
	do   func(context.Context, *story) error
	// held tells whether the change is there. An error: half of it is, or it cannot be told.
	held func(context.Context, *story) (bool, error)
	// until names the step that takes the change away again.
	until string
}

func (s *story) hash(what string) [32]byte          { return core.Hash(s.name + what) }
func (s *story) session(what string) core.SessionID { return core.SessionID(s.name + "-" + what) }
func (s *story) grant() oidc.GrantID                { return oidc.GrantID("g-" + s.name) }

func (s *story) user(ctx context.Context) (*core.User, error) {
	return s.db.UserByName(ctx, s.tenant, s.name)
}

// with calls f with the story's user.
func with(f func(context.Context, *story, *core.User) error) func(context.Context, *story) error {
	return func(ctx context.Context, s *story) error {
		u, err := s.user(ctx)
		if err != nil {
			return err
		}
		return f(ctx, s, u)
	}
}

// found is true without an error, and false where the error is that nothing is there.
func found(err error) (bool, error) {
	if errors.Is(err, core.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// row is what a query finds for the story: a text, or nothing.
func (s *story) row(ctx context.Context, query string, args ...any) (string, error) {
	text, err := s.db.Text(ctx, s.tenant, query, args...)
	if errors.Is(err, core.ErrNotFound) {
		return "", nil
	}
	return text, err
}

const codeState = `SELECT CASE WHEN used = 0 THEN 'fresh' ELSE 'used' END FROM codes WHERE hash = $1`

// steps are those of one story: some people revoke a grant, and some leave.
func (s *story) steps() []step {
	hour := time.Now().Add(time.Hour)
	out := []step{
		{name: "user", until: "leave", do: func(ctx context.Context, s *story) error {
			id, err := s.db.Text(ctx, s.tenant, `SELECT id FROM groups WHERE name = $1`, staff)
			if err != nil {
				return err
			}
			return s.db.CreateUser(ctx, s.tenant, &core.User{UserName: s.name, Active: true, Groups: []core.GroupID{core.GroupID(id)},
				Attributes: map[string]any{"story": s.name}})
		}, held: func(ctx context.Context, s *story) (bool, error) {
			u, err := s.user(ctx)
			if err == nil && (len(u.Groups) != 1 || u.Attributes["story"] != s.name) {
				return false, fmt.Errorf("half a user: %+v", u)
			}
			return found(err)
		}},
		{name: "password", until: "leave", do: with(func(ctx context.Context, s *story, u *core.User) error {
			return s.db.SetPasswordHash(ctx, s.tenant, u.ID, "$"+s.name, time.Now())
		}), held: func(ctx context.Context, s *story) (bool, error) {
			text, err := s.row(ctx, `SELECT password_hash FROM users WHERE username = $1`, s.name)
			return text == "$"+s.name, err
		}},
		{name: "rename", until: "leave", do: with(func(ctx context.Context, s *story, u *core.User) error {
			_, err := s.db.UpdateUser(ctx, s.tenant, u.PK, func(u *core.User) error { u.DisplayName = "renamed"; return nil })
			return err
		}), held: func(ctx context.Context, s *story) (bool, error) {
			text, err := s.row(ctx, `SELECT name FROM users WHERE username = $1`, s.name)
			return text == "renamed", err
		}},
		{name: "login", until: "logout", do: saveSession("one", ""), held: hasSession("one")},
		{name: "application", until: "logout", do: saveSession("child", "one"), held: hasSession("child")},
		{name: "second login", until: "leave", do: saveSession("two", ""), held: hasSession("two")},
		{name: "grant", until: "revoke", do: with(func(ctx context.Context, s *story, u *core.User) error {
			return s.db.SaveGrant(ctx, s.tenant, &oidc.Grant{ID: s.grant(), User: u.ID, ClientID: "c", Created: time.Now(), Expires: hour})
		}), held: func(ctx context.Context, s *story) (bool, error) {
			_, err := s.db.Grant(ctx, s.tenant, s.grant())
			return found(err)
		}},
		{name: "code", until: "revoke", do: func(ctx context.Context, s *story) error {
			return s.db.SaveCode(ctx, s.tenant, &oidc.Code{Hash: s.hash("code"), Grant: s.grant(), Expires: hour}, nil, nil)
		}, held: func(ctx context.Context, s *story) (bool, error) {
			text, err := s.row(ctx, codeState, s.hash("code"))
			return text != "", err
		}},
		{name: "redeem", until: "revoke", do: func(ctx context.Context, s *story) error {
			return s.db.ConsumeCode(ctx, s.tenant, s.hash("code"), &oidc.RefreshToken{Hash: s.hash("r0"), Grant: s.grant(), Issued: time.Now(), Expires: hour})
		}, held: func(ctx context.Context, s *story) (bool, error) {
			text, err := s.row(ctx, codeState, s.hash("code"))
			if err != nil || text != "used" {
				return false, err
			}
			if err = s.db.ConsumeCode(ctx, s.tenant, s.hash("code"), nil); !errors.Is(err, core.ErrConsumed) {
				return false, nil
			}
			_, _, err = s.db.Refresh(ctx, s.tenant, s.hash("r0"))
			return found(err)
		}},
		{name: "rotate", until: "revoke", do: rotate, held: func(ctx context.Context, s *story) (bool, error) {
			old, _, err := s.db.Refresh(ctx, s.tenant, s.hash("r0"))
			if err != nil {
				return false, err
			}
			_, _, err = s.db.Refresh(ctx, s.tenant, s.hash("r1"))
			next, err := found(err)
			if err == nil && next == old.Used.IsZero() {
				err = fmt.Errorf("half a rotation: used %v, successor %v", old.Used, next)
			}
			if err == nil && next && !errors.Is(rotate(ctx, s), core.ErrConsumed) {
				err = errors.New("a used refresh token rotates again")
			}
			return next, err
		}},
		{name: "link", until: "leave", do: with(func(ctx context.Context, s *story, u *core.User) error {
			return s.db.SaveLink(ctx, s.tenant, &login.Link{Hash: s.hash("link"), Purpose: login.LinkRecovery, User: u.ID, Expires: hour})
		}), held: func(ctx context.Context, s *story) (bool, error) {
			_, err := s.db.Link(ctx, s.tenant, s.hash("link"))
			if errors.Is(err, core.ErrConsumed) {
				err = nil
			}
			return found(err)
		}},
		{name: "open link", until: "leave", do: func(ctx context.Context, s *story) error {
			_, err := s.db.ConsumeLink(ctx, s.tenant, s.hash("link"), time.Now())
			return err
		}, held: func(ctx context.Context, s *story) (bool, error) {
			_, err := s.db.Link(ctx, s.tenant, s.hash("link"))
			return errors.Is(err, core.ErrConsumed), nil
		}},
		{name: "failure", do: func(ctx context.Context, s *story) error {
			_, err := s.db.Fail(ctx, s.tenant, nil, core.Counter{Key: s.name, Window: time.Hour})
			return err
		}, held: func(ctx context.Context, s *story) (bool, error) {
			all, err := s.db.Failures(ctx, s.tenant, core.Counter{Key: s.name, Window: time.Hour})
			return err == nil && all[0].Count == 1, err
		}},
		{name: "event", do: func(ctx context.Context, s *story) error {
			return s.db.Record(ctx, s.tenant, core.Event{ID: "e-" + s.name, Action: core.EventLogin, Message: s.name})
		}, held: func(ctx context.Context, s *story) (bool, error) {
			text, err := s.row(ctx, `SELECT message FROM events WHERE id = $1`, "e-"+s.name)
			return text == s.name, err
		}},
		{name: "logout", do: func(ctx context.Context, s *story) error {
			_, err := s.db.DeleteSession(ctx, s.tenant, s.session("one"))
			return err
		}, held: func(ctx context.Context, s *story) (bool, error) {
			one, err := gone(ctx, s, "one")
			if err != nil {
				return false, err
			}
			child, err := gone(ctx, s, "child")
			if err == nil && one != child {
				err = fmt.Errorf("half a logout: the login is gone: %v, its application's session: %v", one, child)
			}
			if err != nil || !one {
				return false, err
			}
			// Whoever follows the outbox hears of it once it was acknowledged.
			text, err := s.row(ctx, `SELECT object_id FROM outbox WHERE kind = 'session' AND object_id = $1`, string(s.session("one")))
			return text != "", err
		}},
	}
	if s.number%3 == 0 {
		out = append(out, step{name: "revoke", do: func(ctx context.Context, s *story) error {
			return s.db.RevokeGrant(ctx, s.tenant, s.grant())
		}, held: func(ctx context.Context, s *story) (bool, error) {
			_, err := s.db.Grant(ctx, s.tenant, s.grant())
			there, err := found(err)
			if err != nil || there {
				return false, err
			}
			text, err := s.row(ctx, codeState, s.hash("code"))
			if err == nil && text != "" {
				err = errors.New("a code outlived its grant")
			}
			return true, err
		}})
	}
	if s.number%6 == 0 {
		out = append(out, step{name: "leave", do: with(func(ctx context.Context, s *story, u *core.User) error {
			return s.db.DeleteUser(ctx, s.tenant, u.PK)
		}), held: func(ctx context.Context, s *story) (bool, error) {
			_, err := s.user(ctx)
			there, err := found(err)
			if err != nil || there {
				return false, err
			}
			return gone(ctx, s, "two")
		}})
	}
	return out
}

func rotate(ctx context.Context, s *story) error {
	next := &oidc.RefreshToken{Hash: s.hash("r1"), Grant: s.grant(), Issued: time.Now(), Expires: time.Now().Add(time.Hour)}
	_, err := s.db.RotateRefresh(ctx, s.tenant, &oidc.Rotation{Old: s.hash("r0"), Next: next, Sealed: []byte("sealed"), Grace: time.Second})
	return err
}

func saveSession(what, parent string) func(context.Context, *story) error {
	return with(func(ctx context.Context, s *story, u *core.User) error {
		now := time.Now()
		v := &core.Session{ID: s.session(what), User: u.ID, Created: now, LastSeen: now, Expires: now.Add(time.Hour)}
		if parent != "" {
			v.Parent, v.Application = s.session(parent), "a"
		}
		return s.db.SaveSession(ctx, s.tenant, s.hash(what), v)
	})
}

func hasSession(what string) func(context.Context, *story) (bool, error) {
	return func(ctx context.Context, s *story) (bool, error) {
		_, err := s.db.SessionByID(ctx, s.tenant, s.session(what))
		return found(err)
	}
}

func gone(ctx context.Context, s *story, what string) (bool, error) {
	there, err := hasSession(what)(ctx, s)
	return !there, err
}

// tell reads a story's tenant, writer and number from its name.
func tell(db *sqldb.DB, name string) (*story, error) {
	s := &story{db: db, name: name, tenant: "public"}
	var child, writer int
	if _, err := fmt.Sscanf(strings.ReplaceAll(name, "-", " "), "k %d %d %d", &child, &writer, &s.number); err != nil {
		return nil, fmt.Errorf("story %q: %w", name, err)
	}
	if writer%2 == 1 {
		s.tenant = "t_two"
	}
	return s, nil
}
