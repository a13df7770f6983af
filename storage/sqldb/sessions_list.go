package sqldb

import (
	"context"
	"fmt"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

func sessionFilter(name string) (filter, bool) {
	switch name {
	case "pk", "uuid":
		return equals("s.id"), true
	case "user":
		return equals("s.user_id"), true
	case "last_ip":
		return equals("s.address"), true
	case "last_user_agent":
		return equals("s.user_agent"), true
	}
	return filter{}, false
}

func sessionOrder(name string) (string, bool) {
	switch name {
	case "uuid":
		return "s.id", true
	case "last_used":
		return "s.last_seen", true
	case "expires":
		return "s.expires", true
	case "last_ip":
		return "s.address", true
	}
	return "", false
}

// maxWordUsers bounds how many users a word of a search may name.
const maxWordUsers = maxValues

// ListSessions lists live logins, without their children: see api.Query. Names of users are
// looked up first, as people may be in another database than sessions.
func (db *DB) ListSessions(ctx context.Context, t core.TenantID, q api.Query) (out []core.Session, total int, err error) {
	now := micros(db.now())
	r := &resource{filter: sessionFilter, order: sessionOrder, pk: "s.id"}
	b := &builder{args: []any{now}}
	always := `s.parent_id = '' AND s.ended = 0 AND s.expires > $1 AND (s.idle = 0 OR s.last_seen + s.idle > $1)`
	words := strings.Fields(core.Fold(q.Search))
	if len(words) > maxSearchWords {
		return nil, 0, &core.FieldError{Field: "search", Message: fmt.Sprintf("Search for at most %d words.", maxSearchWords)}
	}
	for _, w := range words {
		cond, err := db.sessionWord(ctx, t, b, w)
		if err != nil {
			return nil, 0, err
		}
		always += " AND " + cond
	}
	q.Search = ""
	clauses, args, err := r.list(q, always, b.args...)
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, sessions, "list sessions", func(c *conn) error {
		out = nil
		err := c.each(ctx, func(r scanner) error {
			s, err := scanSession(r, &total)
			if err == nil {
				out = append(out, *s)
			}
			return err
		}, `SELECT `+sessionColumns+`, count(*) OVER () FROM sessions s`+clauses, args...)
		if err == nil && len(out) == 0 && q.Offset > 0 {
			total, err = c.countAll(ctx, `sessions s`, clauses, args)
		}
		return err
	})
	return out, total, err
}

// sessionWord is the condition that a word is in what is known of a session, or in its user's name.
func (db *DB) sessionWord(ctx context.Context, t core.TenantID, b *builder, word string) (string, error) {
	if !validText(word) {
		return "1 = 0", nil
	}
	like := "%" + escapeLike(word) + "%"
	var users []core.UserID
	err := db.read(ctx, t, directory, "find users of sessions", func(c *conn) error {
		users = nil
		return c.each(ctx, func(s scanner) error {
			var id core.UserID
			err := s.Scan(&id)
			users = append(users, id)
			return err
		}, `SELECT u.id FROM users u WHERE u.username_fold LIKE $1 ESCAPE '!' ORDER BY u.id LIMIT $2`, like, int64(maxWordUsers+1))
	})
	if err != nil {
		return "", err
	}
	if len(users) > maxWordUsers {
		return "", &core.FieldError{Field: "search", Message: fmt.Sprintf("More than %d users have %q in their names: search for more of the name.", maxWordUsers, word)}
	}
	p := b.add(like)
	cond := "s.address LIKE " + p + " ESCAPE '!' OR lower(s.user_agent) LIKE " + p + " ESCAPE '!'"
	if len(users) > 0 {
		cond += " OR s.user_id IN (" + in(b, users) + ")"
	}
	return "(" + cond + ")", nil
}
