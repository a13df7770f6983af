package expression

import (
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// authentik are the functions that its expressions call by name.
func authentik() map[string]func(*run, *args) starlark.Value {
	return map[string]func(*run, *args) starlark.Value{
		"ak_is_group_member":        isGroupMember,
		"ak_user_by":                userBy,
		"ak_user_has_authenticator": hasAuthenticator,
		"ak_create_event":           createEvent,
		"ak_message":                message,
		"ak_call_policy":            callPolicy,
		"ak_create_jwt":             createToken,
		"ak_create_jwt_raw":         createRawToken,
		"ip_address":                ipAddress,
		"ip_network":                ipNetwork,
		"list_flatten":              listFlatten,
		"regex_match":               regexMatch,
		"regex_replace":             regexReplace,
		"slugify": func(r *run, a *args) starlark.Value {
			return starlark.String(r.slugify(r.str(a.one())))
		},
	}
}

// isGroupMember is ak_is_group_member(user, **lookups): whether one of the user's groups,
// direct or inherited, fits all lookups.
func isGroupMember(r *run, a *args) starlark.Value {
	if len(a.pos) != 1 {
		fail("ak_is_group_member() takes a user, and what to look for by name: ak_is_group_member(request.user, name=\"admins\")")
	}
	u := asUser(a.pos[0])
	for _, g := range u.all(r) {
		if r.fits(g, a.kw) {
			return starlark.True
		}
	}
	return starlark.False
}

// userBy is ak_user_by(**lookups): the first user that fits, or None. A lookup that no
// user has gives None too, as authentik does.
func userBy(r *run, a *args) starlark.Value {
	if len(a.pos) > 0 {
		fail("ak_user_by() takes names only: ak_user_by(username=\"…\")")
	}
	where := map[string]any{}
	for _, pair := range a.kw {
		name, _ := starlark.AsString(pair[0])
		field, suffix, found := strings.Cut(name, "__")
		switch field {
		case "id":
			field = "pk"
		case "pk", "uuid", "username", "email", "name", "is_active", "type", "path":
		case "attributes", "groups", "ak_groups":
			fail("ak_user_by() cannot look for %s", field)
		default:
			return starlark.None
		}
		if found {
			switch suffix {
			case "exact":
				suffix, found = "", false
			case "iexact", "startswith", "contains", "icontains":
			default:
				fail("ak_user_by() knows the lookups iexact, startswith, contains and icontains")
			}
		}
		if found {
			field += "__" + suffix
		}
		where[field] = r.toGo(pair[1], 0)
		if s, ok := where[field].(string); ok && field == "pk" {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return starlark.None
			}
			where[field] = n
		}
	}
	if len(where) == 0 {
		fail("ak_user_by() needs something to look for: ak_user_by(username=\"…\")")
	}
	var users []core.User
	r.ask("find users", func(d Directory) (err error) {
		users, err = d.FindUsers(r.ctx, r.tenant, where, 1)
		return err
	})
	if len(users) == 0 {
		return starlark.None
	}
	return r.newUser(&users[0], nil)
}

// ask queries the Directory. What goes wrong there is logged and not shown: a
// database's errors hold what was asked for.
func (r *run) ask(what string, query func(Directory) error) {
	if r.Directory == nil {
		fail("there is no directory to ask")
	}
	r.askOther(what, func() error { return query(r.Directory) })
}

// askOther is ask, of somebody else than the Directory.
func (r *run) askOther(what string, query func() error) {
	var err error
	r.charge(chargeQuery)
	r.outside(func() { err = query() })
	r.alloc(2048)
	var field *core.FieldError
	if errors.As(err, &field) {
		fail("%s: one of its look-ups cannot be made with a value of that type", what)
	}
	if err != nil {
		r.Log.ErrorContext(r.ctx, "expression: "+what, "tenant", string(r.tenant), "error", err)
		fail("the directory could not be read")
	}
}

func hasAuthenticator(r *run, a *args) starlark.Value {
	b := a.bind(1, "user", "device_type")
	u := asUser(b[0])
	kind := ""
	if b[1] != nil && b[1] != starlark.None {
		kind = a.text(b[1], "device_type", "")
	}
	if r.HasAuthenticator == nil || u.user == nil {
		return starlark.False
	}
	var has bool
	r.askOther("find authenticators", func() (err error) {
		has, err = r.HasAuthenticator(r.ctx, r.tenant, u.user.ID, kind)
		return err
	})
	return starlark.Bool(has)
}

// createEvent is ak_create_event(action, **context). An action that is not one of
// authentik's gets its prefix for custom ones.
func createEvent(r *run, a *args) starlark.Value {
	if len(a.pos) != 1 {
		fail("ak_create_event() takes an action, and names: ak_create_event(\"my_action\", message=\"…\")")
	}
	if r.events++; r.events > maxEvents {
		fail("ak_create_event() is called more than %d times", maxEvents)
	}
	r.charge(chargeEvent)
	action := cut(a.text(a.pos[0], "action", ""), 100)
	if !slices.Contains([]string{
		core.EventLogin, core.EventLoginFailed, core.EventLogout, core.EventAuthorize, core.EventSuspicious, core.EventPasswordSet,
		core.EventSecretView, core.EventModelCreated, core.EventModelUpdated, core.EventModelDeleted, core.EventMappingException,
		core.EventConfigurationError, core.EventSystemException, "policy_execution", "policy_exception", "email_sent", "update_available",
	}, action) {
		action = "custom_" + action
	}
	e := core.Event{Time: r.Now(), Action: action, Context: map[string]any{}}
	for _, pair := range a.kw {
		name, _ := starlark.AsString(pair[0])
		e.Context[name] = r.toGo(pair[1], 0)
	}
	if m, ok := e.Context["message"].(string); ok {
		e.Message = m
	}
	if u := r.env.User; u != nil {
		e.User, e.UserName = u.ID, u.UserName
	}
	if q := r.env.Request; q != nil && q.ClientIP.IsValid() {
		e.Address = q.ClientIP.String()
	}
	if r.env.Application != nil {
		e.Application = r.env.Application.ID
	}
	if r.Events == nil {
		r.Log.InfoContext(r.ctx, "expression event", "tenant", string(r.tenant), "action", action, "message", e.Message)
		return starlark.None
	}
	r.askOther("record event", func() error { return r.Events.Record(r.ctx, r.tenant, e) })
	return starlark.None
}

// logger is ak_logger: a method for each level.
func logger() starlark.Value {
	level := func(name, as string) starlark.Value {
		return &builtin{name: name, fn: func(r *run, a *args) starlark.Value { return r.log(as, a) }}
	}
	levels := map[string]starlark.Value{
		"debug": level("debug", "debug"), "info": level("info", "info"),
		"warning": level("warning", "warning"), "warn": level("warn", "warning"),
		"error": level("error", "error"), "critical": level("critical", "error"), "exception": level("exception", "error"),
	}
	return &object{kind: "Logger", id: "logger", get: func(name string) starlark.Value { return levels[name] }}
}

// log writes one line. Lines and their length are bounded: a log is a disk.
func (r *run) log(level string, a *args) starlark.Value {
	if r.lines++; r.lines > maxLines {
		return starlark.None
	}
	var words []string
	for _, v := range a.pos {
		words = append(words, cut(r.str(v), 1000))
	}
	line := LogLine{Time: r.Now(), Level: level, Message: cut(strings.Join(words, " "), 1000), Attributes: map[string]string{}}
	attrs := []any{"tenant", string(r.tenant)}
	for i, pair := range a.kw {
		if i == 20 {
			break
		}
		name, _ := starlark.AsString(pair[0])
		name, value := cut(name, 100), cut(r.str(pair[1]), 1000)
		attrs = append(attrs, name, value)
		line.Attributes[name] = value
	}
	var at slog.Level
	switch level {
	case "debug":
		at = slog.LevelDebug
	case "warning":
		at = slog.LevelWarn
	case "error":
		at = slog.LevelError
	}
	r.charge(1000)
	r.Log.Log(r.ctx, at, "expression: "+line.Message, attrs...)
	if r.env.Logged != nil {
		r.alloc(1000 + 1200*len(line.Attributes))
		r.env.Logged(line)
	}
	return starlark.None
}

// listFlatten is authentik's: the first element of a list, None of an empty one, and
// anything else as it is.
func listFlatten(_ *run, a *args) starlark.Value {
	l, ok := a.one().(*list)
	switch {
	case !ok:
		return a.pos[0]
	case len(l.items) == 0:
		return starlark.None
	}
	return l.items[0]
}
