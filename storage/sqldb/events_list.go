package sqldb

import (
	"context"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const eventColumns = `e.id, e.at, e.action, e.user_id, e.username, e.application_id, e.address, e.message, e.context`

// scanEvent reads an event, of those that are kept for so long.
func scanEvent(s scanner, kept time.Duration) (*core.Event, error) {
	var e core.Event
	var at int64
	var context string
	if err := s.Scan(&e.ID, &at, &e.Action, &e.User, &e.UserName, &e.Application, &e.Address, &e.Message, &context); err != nil {
		return nil, err
	}
	e.Time = fromMicros(at)
	e.Expires = e.Time.Add(kept)
	var err error
	e.Context, err = fromJSONObject(context)
	return &e, err
}

// events reads events, each with its end, which the tenant's settings tell.
func (c *conn) events(ctx context.Context, clauses string, args ...any) (out []core.Event, err error) {
	settings, err := c.settings(ctx)
	if err != nil {
		return nil, err
	}
	kept := settings.EventRetention.Or(core.EventRetention)
	err = c.each(ctx, func(s scanner) error {
		e, err := scanEvent(s, kept)
		if err == nil {
			out = append(out, *e)
		}
		return err
	}, `SELECT `+eventColumns+` FROM events e`+clauses, args...)
	return out, err
}

// event is the first that is found.
func (c *conn) event(ctx context.Context, clauses string, args ...any) (*core.Event, error) {
	found, err := c.events(ctx, clauses, args...)
	if err == nil && len(found) == 0 {
		err = core.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

// eventModel is the object that an event's context says it is about.
func eventModel(e *core.Event) (app, name, pk string) {
	for _, about := range []string{"model", "secret"} {
		m, ok := e.Context[about].(map[string]any)
		if !ok {
			continue
		}
		app, _ = m["app"].(string)
		name, _ = m["model_name"].(string)
		pk, _ = m["pk"].(string)
		return cut(app, maxEventName), cut(name, maxEventName), cut(strings.ReplaceAll(pk, "-", ""), maxEventName)
	}
	return "", "", ""
}

// maxEventSearch bounds what of an event's context a search looks at, in bytes.
const maxEventSearch = 4 << 10

func eventFilter(name string) (filter, bool) {
	field, lookup, _ := strings.Cut(name, "__")
	if field == "created" {
		return moment("e.at", lookup)
	}
	switch name {
	case "pk":
		return equals("e.id"), true
	case "action":
		return equals("e.action"), true
	case "client_ip":
		return equals("e.address"), true
	case "username":
		return folded("e.username_fold"), true
	case "app":
		return equals("CASE WHEN e.model_app = '' THEN '" + core.EventApp + "' ELSE e.model_app END"), true
	case "context_model_app":
		return equals("e.model_app"), true
	case "context_model_name":
		return equals("e.model_name"), true
	case "context_model_pk":
		return equals("e.model_pk <> '' AND e.model_pk"), true
	case "context_authorized_app":
		return equals("e.application_id"), true
	}
	return filter{}, false
}

func eventOrder(name string) (string, bool) {
	switch name {
	case "pk":
		return "e.id", true
	case "created", "expires":
		return "e.at", true
	case "action":
		return "e.action", true
	case "client_ip":
		return "e.address", true
	case "app":
		return "e.model_app", true
	}
	return "", false
}

func eventResource() *resource {
	return &resource{filter: eventFilter, order: eventOrder, search: []string{"e.search_fold"}, pk: "e.id"}
}

// ListEvents lists events: see api.Query. It counts in a query of its own, so that a
// page of a long log is read along its index.
func (db *DB) ListEvents(ctx context.Context, t core.TenantID, q api.Query) (out []core.Event, total int, err error) {
	clauses, args, err := eventResource().list(q, "")
	if err != nil {
		return nil, 0, err
	}
	err = db.read(ctx, t, directory, "list events", func(c *conn) error {
		var err error
		if out, err = c.events(ctx, clauses, args...); err != nil {
			return err
		}
		total, err = c.countAll(ctx, `events e`, clauses, args)
		return err
	})
	return out, total, err
}

// Event finds an event by ID.
func (db *DB) Event(ctx context.Context, t core.TenantID, id string) (e *core.Event, err error) {
	err = db.read(ctx, t, directory, "read event", func(q *conn) error {
		e, err = q.event(ctx, ` WHERE e.id = $1`, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// EventVolume counts the events that a query matches by action and time, in steps of
// a length.
func (db *DB) EventVolume(ctx context.Context, t core.TenantID, q api.Query, step time.Duration) (out []api.EventCount, err error) {
	clauses, args, err := eventResource().list(q, "")
	if err != nil {
		return nil, err
	}
	where, _, _ := strings.Cut(clauses, " ORDER BY ")
	b := &builder{args: args[:len(args)-2]} // without limit and offset
	size := "CAST(" + b.add(step.Microseconds()) + " AS BIGINT)"
	err = db.read(ctx, t, directory, "count events", func(c *conn) error {
		out = nil
		return c.each(ctx, func(s scanner) error {
			var n api.EventCount
			var at int64
			err := s.Scan(&n.Action, &at, &n.Count)
			n.Time = time.UnixMicro(at).UTC()
			out = append(out, n)
			return err
		}, `SELECT e.action, e.at / `+size+` * `+size+` AS slot, count(*) FROM events e`+where+` GROUP BY 1, 2 ORDER BY 2, 1 LIMIT 10000`, b.args...)
	})
	return out, err
}

// TopApplications counts an action's events by application, the most first.
func (db *DB) TopApplications(ctx context.Context, t core.TenantID, action string, limit int) (out []api.ApplicationCount, err error) {
	err = db.read(ctx, t, directory, "count events", func(c *conn) error {
		out = nil
		return c.each(ctx, func(s scanner) error {
			var n api.ApplicationCount
			err := s.Scan(&n.Application, &n.Events, &n.Users)
			out = append(out, n)
			return err
		}, `SELECT application_id, count(*), count(DISTINCT user_id) FROM events WHERE action = $1 AND application_id <> ''
			GROUP BY application_id ORDER BY 2 DESC, 1 LIMIT $2`, action, limit)
	})
	return out, err
}
