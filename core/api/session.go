package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/postern-sso/postern/core"
)

// sessions are people's logins. Everybody sees and ends their own; others' by right.
func sessions() *resource[core.Session] {
	return &resource[core.Session]{
		model: "AuthenticatedSession", app: "authentik_core", verbose: "Authenticated Session", key: "uuid",
		members: []member{
			always("uuid", uuidShape()), always("current", booleanShape()), always("user_agent", userAgentShape()),
			always("geo_ip", dictShape().orNull()), always("asn", dictShape().orNull()), always("user", integerShape()),
			always("last_ip", textShape()), always("last_user_agent", textShape()), always("last_used", timeShape()), always("expires", timeShape()),
		},
		listing: listing{
			filters: map[string]filter{
				"user__username": byText, "session__last_ip": byText, "session__last_user_agent": byText,
				"last_ip": byText, "last_user_agent": byText, // of 2025.2
			},
			order:  []string{"uuid", "last_used", "expires", "last_ip"},
			preset: []string{"-uuid"}, // the newest first
		},
		find: findSession,
		page: pageSessions,
		remove: func(c *call, key string) error {
			id, _ := uuid(key)
			return c.endSession(core.SessionID(id))
		},
		fresh: func(*call) *core.Session { return &core.Session{} },
		read:  func(*fields, *core.Session) {},
		gather: func(c *call, rows []core.Session) error {
			return c.gatherPeople(of(rows, func(s *core.Session) []core.UserID { return []core.UserID{s.User} }))
		},
		show:  showSession,
		label: func(s *core.Session) (string, string) { return string(s.ID), string(s.ID) },
	}
}

func sessionRoutes() []route {
	const path = "core/authenticated_sessions/"
	s := sessions()
	return []route{
		{http.MethodGet, path, loggedIn, s.serveList, s.listed()},
		{http.MethodGet, path + "{uuid}/", loggedIn, s.serveOne, s.shown()},
		{http.MethodDelete, path + "{uuid}/", loggedIn, s.serveDelete, about("End a login, with all that was granted in it")},
		{http.MethodDelete, path + "bulk_delete/", loggedIn, endSessionsOf, about("End all logins of users").
			by(parameter{name: "user_pks", kind: byInts, text: "The users, at most 100."}).gives(objectShape("BulkDeleteSessionResponse", always("deleted", integerShape())))},
	}
}

const (
	viewSession   = core.Permission("authentik_core.view_authenticatedsession")
	deleteSession = core.Permission("authentik_core.delete_authenticatedsession")
)

var errNoSessions = &problem{http.StatusBadRequest, "Sessions cannot be managed on this server."}

func findSession(c *call, key string) (*core.Session, error) {
	if c.Sessions == nil {
		return nil, errNoSessions
	}
	id, valid := uuid(key)
	if !valid {
		return nil, core.ErrNotFound
	}
	s, err := c.Sessions.SessionByID(c.ctx(), c.t, core.SessionID(id))
	switch {
	case err != nil:
		return nil, err
	case s.Parent != "" || s.User != c.user.ID && !c.may(viewSession):
		return nil, core.ErrNotFound
	case c.route.method == http.MethodDelete:
		return s, c.mayEnd(s.User)
	}
	return s, nil
}

// mayEnd refuses who may not end a user's logins.
func (c *call) mayEnd(u core.UserID) error {
	if u == c.user.ID {
		return nil
	}
	if err := c.require(deleteSession); err != nil {
		return err
	}
	return c.refuseAbove(u)
}

func pageSessions(c *call, q Query) ([]core.Session, int, error) {
	if c.Logins == nil {
		return nil, 0, errNoSessions
	}
	for _, name := range []string{"last_ip", "last_user_agent"} {
		both, given := q.Where["session__"+name]
		delete(q.Where, "session__"+name)
		if old := q.Where[name]; given && old != nil && old[0] != both[0] {
			return nil, 0, nil
		} else if given {
			q.Where[name] = both
		}
	}
	if names := q.Where["user__username"]; names != nil {
		delete(q.Where, "user__username")
		u, err := c.Store.UserByName(c.ctx(), c.t, names[0])
		if errors.Is(err, core.ErrNotFound) {
			return nil, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
		q.Where["user"] = []string{string(u.ID)}
	}
	if own := string(c.user.ID); !c.may(viewSession) {
		if asked := q.Where["user"]; asked != nil && asked[0] != own {
			return nil, 0, nil
		}
		q.Where["user"] = []string{own}
	}
	return c.Logins.ListSessions(c.ctx(), c.t, q)
}

// endSession ends a login and what was granted in it: before, so that what fails is tried
// again with a login that can be named, and after, as something may have been granted in
// between.
func (c *call) endSession(id core.SessionID) error {
	if c.Sessions == nil || c.Grants == nil {
		return errNoSessions
	}
	if err := c.Grants.RevokeSession(c.ctx(), c.t, id); err != nil {
		return err
	}
	if err := c.Sessions.EndSession(c.ctx(), c.t, id); err != nil {
		return err
	}
	return c.Grants.RevokeSession(c.ctx(), c.t, id)
}

// maxEnded bounds how many users one call ends the logins of.
const maxEnded = 100

func endSessionsOf(c *call) (reply, error) {
	if c.Logins == nil {
		return reply{}, errNoSessions
	}
	pks := c.params["user_pks"]
	if len(pks) == 0 || len(pks) > maxEnded {
		return reply{}, invalid{"user_pks": {"Name 1 to " + strconv.Itoa(maxEnded) + " users: user_pks=1&user_pks=2."}}
	}
	people, err := those("pk", pks, func(q Query) ([]core.User, int, error) { return c.Store.ListUsers(c.ctx(), c.t, q) })
	if err != nil {
		return reply{}, err
	}
	for i := range people { // before the first login ends
		if err := c.mayEnd(people[i].ID); err != nil {
			return reply{}, err
		}
	}
	ended := 0
	for i := range people {
		list, err := every(Query{Where: map[string][]string{"user": {string(people[i].ID)}}}, func(q Query) ([]core.Session, int, error) {
			return c.Logins.ListSessions(c.ctx(), c.t, q)
		})
		if err != nil {
			return reply{}, err
		}
		for j := range list {
			if err := c.endSession(list[j].ID); err != nil {
				return reply{}, err
			}
			sessions().record(c, core.EventModelDeleted, &list[j])
			ended++
		}
	}
	return ok(object{"deleted": ended})
}

func showSession(c *call, s *core.Session) (any, error) {
	pk := int64(0) // the user has been deleted since
	u, err := c.userOf(s.User)
	switch {
	case err == nil:
		pk = u.PK
	case !errors.Is(err, core.ErrNotFound):
		return nil, err
	}
	return object{
		"uuid": string(s.ID), "current": c.session != nil && c.session.ID == s.ID, "user_agent": userAgent(s.UserAgent),
		"geo_ip": nil, "asn": nil, "user": pk,
		"last_ip": s.Address, "last_user_agent": s.UserAgent, "last_used": stamp(s.LastSeen), "expires": stamp(s.Expires),
	}, nil
}
