package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// What is done to a user beside the six verbs.

// me is who asks.
func me(c *call) (reply, error) {
	groups := make([]object, 0, len(c.groups))
	for i := range c.groups {
		groups = append(groups, object{"pk": string(c.groups[i].ID), "name": c.groups[i].Name})
	}
	ids, err := inheritedRoles(c, c.user.Groups)
	if err != nil {
		return reply{}, err
	}
	for _, id := range c.user.Roles {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	roles := []object{}
	for _, id := range ids {
		if r, err := c.role(id); err == nil {
			roles = append(roles, object{"name": r.Name})
		} else if !errors.Is(err, core.ErrNotFound) {
			return reply{}, err
		}
	}
	u := c.user
	return ok(object{"user": object{
		"pk": u.PK, "username": u.UserName, "name": u.DisplayName, "is_active": u.Active, "is_superuser": c.super,
		"groups": groups, "roles": roles, "email": u.Email, "avatar": avatar(u), "uid": u.HashedID(c.info.Tenant.UUID),
		"settings": object{}, "type": string(u.Type), "system_permissions": []string{},
	}})
}

func sessionUserShape() shape {
	self := objectShape("UserSelf", always("pk", integerShape()), always("username", textShape()), always("name", textShape()),
		always("is_active", booleanShape()), always("is_superuser", booleanShape()),
		always("groups", listShape(objectShape("UserSelfGroups", always("pk", uuidShape()), always("name", textShape())))),
		always("roles", listShape(dictShape())), always("email", textShape()), always("avatar", textShape()), always("uid", textShape()),
		always("settings", dictShape()), always("type", oneOf(userTypes())), always("system_permissions", listShape(textShape())))
	return objectShape("SessionUser", always("user", self))
}

// maxPassword bounds a password, in characters: what is longer only costs time.
const maxPassword = 1024

// setPassword gives a user a new password, and ends the user's sessions: all but
// the one that asks, where users set their own. The password is taken as it is,
// with the white space around it.
func setPassword(c *call) (reply, error) {
	u, err := findUser(c, c.key)
	if err != nil {
		return reply{}, found(err, "User")
	}
	if err := c.refuseAbove(u.ID); err != nil {
		return reply{}, err
	}
	password := core.Secret("")
	readPassword(&password)(c.body)
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	if c.Passwords == nil {
		return reply{}, &problem{http.StatusBadRequest, "Passwords cannot be set on this server."}
	}
	keep := core.SessionID("")
	if c.session != nil && u.ID == c.user.ID {
		keep = c.session.ID
	}
	if err := c.Passwords.SetPassword(c.ctx(), c.t, u, string(password), keep); err != nil {
		return reply{}, found(err, "User")
	}
	users().record(c, core.EventModelUpdated, u)
	return done()
}

func readPassword(password *core.Secret) func(*fields) {
	return func(f *fields) {
		text(f, "password", rule{required: true, exact: true, max: maxPassword}, password)
	}
}

// recoveryLife is how long a recovery link lives, unless token_duration says
// less or more; never longer than maxRecoveryLife.
const (
	recoveryLife    = time.Hour
	maxRecoveryLife = 24 * time.Hour
)

// recovery makes a link with which the user sets a new password.
func recovery(c *call) (reply, error) {
	u, err := findUser(c, c.key)
	if err != nil {
		return reply{}, found(err, "User")
	}
	if err := c.refuseAbove(u.ID); err != nil {
		return reply{}, err
	}
	if c.Recovery == nil {
		return reply{}, invalid{"non_field_errors": {"No recovery flow set."}}
	}
	if !u.Active {
		return reply{}, invalid{"non_field_errors": {"The user is not active."}}
	}
	var asked core.Timedelta
	readRecovery(&asked)(c.body)
	validity := asked.Or(recoveryLife)
	if validity > maxRecoveryLife {
		c.body.fail("token_duration", "A recovery link lives for one day at most.")
	}
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	link, err := c.Recovery.RecoveryLink(c.ctx(), c.info.Tenant, u.ID, validity)
	if err != nil {
		return reply{}, err
	}
	c.event(core.EventSecretView, core.Event{Message: "recovery link for " + u.UserName, Context: object{"pk": u.PK, "username": u.UserName}})
	return ok(object{"link": link})
}

func readRecovery(asked *core.Timedelta) func(*fields) {
	return func(f *fields) { timedelta(f, "token_duration", time.Minute, asked) }
}

func linkShape() shape { return objectShape("Link", always("link", textShape())) }

// serviceAccount is what is asked for.
type serviceAccount struct {
	name                string
	withGroup, expiring bool
	expires             time.Time
}

func newServiceAccount() *serviceAccount { return &serviceAccount{expiring: true} }

func (s *serviceAccount) read(f *fields) {
	text(f, "name", rule{required: true, max: 120}, &s.name)
	boolean(f, "create_group", &s.withGroup)
	boolean(f, "expiring", &s.expiring)
	moment(f, "expires", &s.expires)
}

func serviceAccountShape() shape {
	return objectShape("UserServiceAccountResponse", always("username", textShape()), always("token", textShape()),
		always("user_uid", textShape()), always("user_pk", integerShape()), always("group_pk", textShape().orNull()))
}

// createServiceAccount makes an account for a machine, with a key that serves as
// its password, and a group of its own where that is asked for.
func createServiceAccount(c *call) (reply, error) {
	f := c.body
	asked := newServiceAccount()
	asked.read(f)
	name, withGroup, expiring, expires := asked.name, asked.withGroup, asked.expiring, asked.expires
	if !expires.IsZero() && !expires.After(c.Now()) {
		f.fail("expires", "This lies in the past.")
	}
	if err := f.err(); err != nil {
		return reply{}, err
	}
	// The key is a token of the account's, and the group comes with its member.
	if asked.withGroup {
		for _, p := range []core.Permission{"authentik_core.add_group", "authentik_core.add_user_to_group"} {
			if err := c.require(p); err != nil {
				return reply{}, err
			}
		}
	}
	u := &core.User{
		UserName: name, DisplayName: name, Active: true, Type: core.UserServiceAccount,
		Path: "goauthentik.io/service-accounts", Attributes: object{},
	}
	if err := userTaken(c.Store.CreateUser(c.ctx(), c.t, u)); err != nil {
		if field := (invalid)(nil); errors.As(err, &field) {
			return reply{}, invalid{"name": {"This field must be unique."}}
		}
		return reply{}, err
	}
	out := object{"username": name, "user_uid": u.HashedID(c.info.Tenant.UUID), "user_pk": u.PK, "group_pk": nil}
	key := c.newKey()
	token := &tokenRow{Token: core.Token{
		Identifier: "service-account-" + slugOf(name) + "-password", Intent: core.IntentAppPassword, User: u.ID, Expiring: expiring,
	}}
	if expiring {
		if token.Expires = expires; expires.IsZero() {
			token.Expires = c.Now().AddDate(0, 0, 360)
		}
	}
	err := c.Store.CreateToken(c.ctx(), c.t, &token.Token, key)
	var g *groupRow
	if err == nil && withGroup {
		g = &groupRow{Group: core.Group{Name: name, Attributes: object{}}}
		err = c.Store.CreateGroup(c.ctx(), c.t, &g.Group, []int64{u.PK})
	}
	if err != nil {
		// Half an account is none, also where the caller has gone. The token goes with
		// the user.
		if undo := c.Store.DeleteUser(context.WithoutCancel(c.ctx()), c.t, u.PK); undo != nil {
			return reply{}, errors.Join(err, undo)
		}
		if errors.Is(err, core.ErrExists) {
			return reply{}, invalid{"name": {"A token or group for an account of this name already exists."}}
		}
		return reply{}, err
	}
	users().record(c, core.EventModelCreated, u)
	tokens().record(c, core.EventModelCreated, token)
	if g != nil {
		groups().record(c, core.EventModelCreated, g)
		out["group_pk"] = string(g.ID)
	}
	out["token"] = string(key)
	return ok(out)
}

// slugOf is a name as part of an identifier.
func slugOf(name string) string {
	return strings.Map(func(c rune) rune {
		if slug.MatchString(string(c)) {
			return c
		}
		return '-'
	}, name)
}
