package storagetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

func eventTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"events/list":         eventsList,
		"events/count":        eventsCount,
		"events/expire":       eventsExpire,
		"token/past its time": tokensPastTime,
	}
}

// happened records three events, an hour apart.
func happened(b *bench) *core.User {
	b.Helper()
	u := b.user("Alice")
	about := func(pk string) map[string]any {
		return map[string]any{"model": map[string]any{"app": "authentik_core", "model_name": "group", "pk": pk, "name": "Ops_100%"}}
	}
	for _, e := range []core.Event{
		{Action: core.EventLogin, User: u.ID, UserName: "Alice", Address: "192.0.2.1", Message: "came in"},
		{Action: core.EventModelUpdated, User: u.ID, UserName: "Alice", Address: "192.0.2.2", Message: "Group Ops", Context: about("0190-aa")},
		{Action: core.EventAuthorize, UserName: "bob", Address: "2001:db8::1", Application: "app-1", Context: map[string]any{"scopes": "openid"}},
	} {
		b.ok(b.Record(b.ctx, b.t, e))
		b.clock.Add(time.Hour)
	}
	return u
}

func eventsList(b *bench) {
	happened(b)
	at := func(n int) string { return NewClock().Now().Add(time.Duration(n) * time.Hour).Format(time.RFC3339) }
	where := func(key, value string) api.Query { return api.Query{Where: map[string][]string{key: {value}}} }
	for _, c := range []struct {
		q    api.Query
		want string
	}{
		{api.Query{Order: []string{"-created"}}, "authorize_application model_updated login of 3"},
		{api.Query{Order: []string{"created"}}, "login model_updated authorize_application of 3"},
		{api.Query{Order: []string{"-created"}, Offset: 1, Limit: 1}, "model_updated of 3"},
		{api.Query{Order: []string{"-created"}, Offset: 9}, " of 3"},
		{where("action", "login"), "login of 1"},
		{where("action", "log"), " of 0"},
		{where("client_ip", "192.0.2.2"), "model_updated of 1"},
		{where("username", "BOB"), "authorize_application of 1"},
		{where("app", "authentik_core"), "model_updated of 1"},
		{where("app", core.EventApp), "login authorize_application of 2"},
		{where("context_model_app", "authentik_core"), "model_updated of 1"},
		{where("context_model_name", "group"), "model_updated of 1"},
		{where("context_model_pk", "0190aa"), "model_updated of 1"},
		{where("context_authorized_app", "app-1"), "authorize_application of 1"},
		{where("created__gt", at(0)), "model_updated authorize_application of 2"},
		{where("created__lt", at(1)), "login of 1"},
		{where("created", at(1)), "model_updated of 1"},
		{api.Query{Search: "CAME"}, "login of 1"},
		{api.Query{Search: "alice ops"}, "model_updated of 1"},
		{api.Query{Search: "db8"}, "authorize_application of 1"},
		{api.Query{Search: "ops_100%"}, "model_updated of 1"},
		{api.Query{Search: "opsx100"}, " of 0"},
		{api.Query{Search: "openid"}, "authorize_application of 1"},
	} {
		if c.q.Order == nil {
			c.q.Order = []string{"created"}
		}
		es, n, err := b.ListEvents(b.ctx, b.t, c.q)
		b.ok(err)
		var actions []string
		for _, e := range es {
			actions = append(actions, e.Action)
		}
		equal(b, fmt.Sprint(c.q), fmt.Sprintf("%s of %d", strings.Join(actions, " "), n), c.want)
	}
	_, _, err := b.ListEvents(b.ctx, b.t, where("message", "x"))
	b.field(err, "message")
	es, _, err := b.ListEvents(b.ctx, b.t, where("action", "model_updated"))
	b.ok(err)
	e, err := b.Event(b.ctx, b.t, es[0].ID)
	b.ok(err)
	equal(b, "one", fmt.Sprint(e.UserName, e.Address, e.Message, e.Expires.Sub(e.Time)), fmt.Sprint("Alice", "192.0.2.2", "Group Ops", 365*24*time.Hour))
	b.is(second(b.Event(b.ctx, b.t, "none")), core.ErrNotFound)
}

func eventsCount(b *bench) {
	u := happened(b)
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventAuthorize, User: u.ID, Application: "app-1"}))
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventAuthorize, User: u.ID, Application: "app-1"}))
	b.ok(b.Record(b.ctx, b.t, core.Event{Action: core.EventAuthorize, User: u.ID, Application: "app-2"}))
	top, err := b.TopApplications(b.ctx, b.t, core.EventAuthorize, 9)
	b.ok(err)
	equal(b, "top", fmt.Sprint(top), "[{app-1 3 2} {app-2 1 1}]")
	top, err = b.TopApplications(b.ctx, b.t, core.EventAuthorize, 1)
	b.ok(err)
	equal(b, "the first", len(top), 1)
	counts, err := b.EventVolume(b.ctx, b.t, api.Query{Where: map[string][]string{"action": {"authorize_application"}}}, time.Hour)
	b.ok(err)
	first := NewClock().Now().Add(2 * time.Hour)
	want := []api.EventCount{{Action: "authorize_application", Time: first, Count: 1}, {Action: "authorize_application", Time: first.Add(time.Hour), Count: 3}}
	equal(b, "volume", fmt.Sprint(counts), fmt.Sprint(want))
	counts, err = b.EventVolume(b.ctx, b.t, api.Query{}, 24*time.Hour)
	b.ok(err)
	equal(b, "actions in a day", len(counts), 3)
}

func eventsExpire(b *bench) {
	happened(b)
	b.ok(b.DeleteExpired(b.ctx, b.t, NewClock().Now().Add(365*24*time.Hour-time.Second)))
	_, n, err := b.ListEvents(b.ctx, b.t, api.Query{})
	b.ok(err)
	equal(b, "before their time", n, 3)
	b.ok(b.DeleteExpired(b.ctx, b.t, NewClock().Now().Add(365*24*time.Hour+time.Minute)))
	_, n, err = b.ListEvents(b.ctx, b.t, api.Query{})
	b.ok(err)
	equal(b, "after a year", n, 2)
}

// tokensPastTime: the key of an API token is replaced, every other token goes.
func tokensPastTime(b *bench) {
	u, now := b.user("alice"), b.clock.Now()
	for i, intent := range []core.TokenIntent{core.IntentAPI, core.IntentAppPassword, core.IntentRecovery, core.IntentVerification} {
		b.ok(b.CreateToken(b.ctx, b.t, &core.Token{Identifier: string(intent), Intent: intent, User: u.ID, Expiring: true, Expires: now.Add(time.Hour)}, core.Secret(fmt.Sprint("key", i))))
	}
	b.token(u.ID, "forever")
	b.ok(b.DeleteExpired(b.ctx, b.t, now.Add(time.Hour-time.Second)))
	_, n, err := b.ListTokens(b.ctx, b.t, api.Query{})
	b.ok(err)
	equal(b, "before their time", n, 5)
	over := now.Add(time.Hour)
	b.ok(b.DeleteExpired(b.ctx, b.t, over))
	tokens, _, err := b.ListTokens(b.ctx, b.t, api.Query{Order: []string{"identifier"}})
	b.ok(err)
	equal(b, "left", len(tokens), 2)
	equal(b, "left", tokens[0].Identifier+" "+tokens[1].Identifier, "api forever")
	b.is(second(b.TokenByKey(b.ctx, b.t, core.Hash("key0"))), core.ErrNotFound)
	key, err := b.TokenKey(b.ctx, b.t, "api")
	b.ok(err)
	got, err := b.TokenByKey(b.ctx, b.t, core.Hash(string(key)))
	b.ok(err)
	equal(b, "rotated", fmt.Sprint(got.Identifier, len(key), got.Expires.Sub(over)), fmt.Sprint("api", 60, 24*time.Hour))
	b.ok(second(b.TokenByKey(b.ctx, b.t, core.Hash("key of forever"))))
	es, _, err := b.ListEvents(b.ctx, b.t, api.Query{Where: map[string][]string{"action": {core.EventSecretRotate}}})
	b.ok(err)
	equal(b, "events", len(es), 1)
	if strings.Contains(fmt.Sprint(es), string(key)) {
		b.Error("the event holds the key")
	}
}
