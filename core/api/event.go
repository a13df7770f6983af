package api

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// eventRoutes are those of the audit log. It is written by what happens, and read
// here.
func eventRoutes() []route {
	const path, right = "events/events/", access("authentik_events.view_event")
	return []route{
		{"GET", path, right, listEvents, about("List events, the newest first").lists(eventShape(), eventListing())},
		{"GET", path + "{event_uuid}/", right, retrieveEvent, about("Show an event").gives(eventShape())},
		{"GET", path + "actions/", right, eventActions, about("List the actions that events have").gives(listShape(typeShape()))},
		{"GET", path + "top_per_user/", right, topPerUser, about("Count an action's events by application").by(
			parameter{name: "action", kind: byText, preset: core.EventAuthorize, text: "The action."},
			parameter{name: "top_n", kind: byInt, preset: "15", text: "How many applications, at most 100."}).gives(listShape(topShape()))},
		{"GET", path + "volume/", right, eventVolume, about("Count events by action and time").by(volumeParameters()...).gives(listShape(volumeShape()))},
	}
}

func eventListing() listing {
	return listing{
		filters: map[string]filter{
			"action": byText, "client_ip": byText, "username": byText, "app": byText, "brand_name": byText,
			"context_model_app": byText, "context_model_name": byText, "context_model_pk": byText, "context_authorized_app": byUUID,
			"created": byTime, "created__lt": byTime, "created__gt": byTime,
		},
		order:  []string{"created", "expires", "action", "client_ip", "app", "pk"},
		preset: []string{"-created"},
	}
}

// maxHistory bounds how far back volume counts, in days.
const maxHistory = 366

func volumeParameters() []parameter {
	out := []parameter{{name: "history_days", kind: byInt, preset: "7", text: "How many days back, at most 366. Up to 7 are counted by the hour, more by the day."}}
	for _, name := range []string{"action", "client_ip", "username", "app", "brand_name", "context_model_app", "context_model_name", "context_model_pk"} {
		out = append(out, parameter{name: name, kind: byText})
	}
	return out
}

func eventShape() shape {
	return objectShape("Event", always("pk", uuidShape()), always("user", dictShape()), always("action", textShape()), always("app", textShape()),
		always("context", dictShape()), always("client_ip", textShape().orNull()), always("created", timeShape()),
		always("expires", timeShape().orNull()), always("brand", dictShape()))
}

func topShape() shape {
	return objectShape("EventTopPerUser", always("application", dictShape()), always("counted_events", integerShape()), always("unique_users", integerShape()))
}

func volumeShape() shape {
	return objectShape("EventVolume", always("action", textShape()), always("time", timeShape()), always("count", integerShape()))
}

// narrowed is a query by what the log keeps: without dashes in numbers of objects, as
// clients send them either way. none: nothing can match.
func (c *call) narrowed(q Query) (out Query, none bool) {
	if names := q.Where["brand_name"]; names != nil {
		delete(q.Where, "brand_name")
		none = names[0] != c.info.Tenant.Name
	}
	for i, pk := range q.Where["context_model_pk"] {
		q.Where["context_model_pk"][i] = strings.ReplaceAll(pk, "-", "")
	}
	return q, none
}

func listEvents(c *call) (reply, error) {
	q, p, err := c.query()
	if err != nil {
		return reply{}, err
	}
	q, none := c.narrowed(q)
	if none {
		return envelope(p, 0, nil)
	}
	rows, count, err := c.Store.ListEvents(c.ctx(), c.t, q)
	if err != nil {
		return reply{}, err
	}
	if err := c.gatherPeople(of(rows, func(e *core.Event) []core.UserID { return []core.UserID{e.User} })); err != nil {
		return reply{}, err
	}
	people := map[core.UserID]object{}
	var results []any
	for i := range rows {
		out, err := showEvent(c, &rows[i], people)
		if err != nil {
			return reply{}, err
		}
		results = append(results, out)
	}
	return envelope(p, count, results)
}

func retrieveEvent(c *call) (reply, error) {
	id, valid := uuid(c.key)
	if !valid {
		return reply{}, noSuch("Event")
	}
	e, err := c.Store.Event(c.ctx(), c.t, id)
	if err != nil {
		return reply{}, found(err, "Event")
	}
	out, err := showEvent(c, e, map[core.UserID]object{})
	if err != nil {
		return reply{}, err
	}
	return ok(out)
}

// showEvent shows an event. people are the users that were looked up for the same
// answer.
func showEvent(c *call, e *core.Event, people map[core.UserID]object) (object, error) {
	context := object{}
	for k, v := range e.Context {
		context[k] = v
	}
	if e.Message != "" {
		context["message"] = e.Message
	}
	app := core.EventApp
	if m, ok := e.Context["model"].(map[string]any); ok {
		if label, ok := m["app"].(string); ok && label != "" {
			app = label
		}
	}
	if e.Application != "" {
		context["authorized_application"] = object{"app": "authentik_core", "model_name": "application", "pk": string(e.Application)}
	}
	user, met := people[e.User]
	if !met {
		user = object{}
		if e.User != "" {
			u, err := c.userOf(e.User)
			if err != nil && !errors.Is(err, core.ErrNotFound) {
				return nil, err
			}
			if err == nil {
				user["pk"], user["email"] = u.PK, u.Email
			}
		}
		people[e.User] = user
	}
	shown := object{"username": e.UserName}
	for k, v := range user {
		shown[k] = v
	}
	t := c.info.Tenant
	return object{
		"pk": e.ID, "user": shown, "action": e.Action, "app": app, "context": context, "client_ip": orNull(e.Address),
		"created": stamp(e.Time), "expires": stamp(e.Expires),
		"brand": object{"app": "authentik_brands", "model_name": "brand", "pk": t.UUID, "name": t.Name},
	}, nil
}

func eventActions(*call) (reply, error) {
	out := []object{}
	for _, action := range core.EventActions() {
		name := strings.ReplaceAll(action, "_", " ")
		out = append(out, object{
			"name": strings.ToUpper(name[:1]) + name[1:], "description": "", "component": action, "model_name": "", "requires_enterprise": false,
		})
	}
	return ok(out)
}

// topPerUser tells which applications an action is about most.
func topPerUser(c *call) (reply, error) {
	n, _ := strconv.Atoi(c.param("top_n"))
	if n < 1 || n > 100 {
		return reply{}, invalid{"top_n": {"Enter a number from 1 to 100."}}
	}
	rows, err := c.Store.TopApplications(c.ctx(), c.t, c.param("action"), n)
	if err != nil {
		return reply{}, err
	}
	var ids []string
	for _, row := range rows {
		ids = append(ids, string(row.Application))
	}
	apps, err := those("pk", ids, func(q Query) ([]core.Application, int, error) { return c.Store.ListApplications(c.ctx(), c.t, q) })
	if err != nil {
		return reply{}, err
	}
	names := map[core.ApplicationID]string{} // those that are still there
	for i := range apps {
		names[apps[i].ID] = apps[i].Name
	}
	out := []object{}
	for _, row := range rows {
		about := object{"app": "authentik_core", "model_name": "application", "pk": string(row.Application), "name": names[row.Application]}
		out = append(out, object{"application": about, "counted_events": row.Events, "unique_users": row.Users})
	}
	return ok(out)
}

// eventVolume counts events by action and time.
func eventVolume(c *call) (reply, error) {
	days, _ := strconv.Atoi(c.param("history_days"))
	if days < 1 || days > maxHistory {
		return reply{}, invalid{"history_days": {"Enter a number from 1 to 366."}}
	}
	step := time.Hour
	if days > 7 {
		step = 24 * time.Hour
	}
	q := Query{Where: map[string][]string{"created__gt": {c.Now().AddDate(0, 0, -days).UTC().Format(time.RFC3339Nano)}}}
	for name, values := range c.params {
		if name != "history_days" {
			q.Where[name] = values
		}
	}
	q, none := c.narrowed(q)
	if none {
		return ok([]object{})
	}
	rows, err := c.Store.EventVolume(c.ctx(), c.t, q, step)
	if err != nil {
		return reply{}, err
	}
	out := []object{}
	for _, row := range rows {
		out = append(out, object{"action": row.Action, "time": stamp(row.Time), "count": row.Count})
	}
	return ok(out)
}
