package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

func TestEventsAreListed(t *testing.T) {
	e := open(t)
	group := e.want(201, "POST", "core/groups/", map[string]any{"name": "ops"})["pk"].(string)
	app := e.want(201, "POST", "core/applications/", map[string]any{"name": "App", "slug": "app"})["pk"].(string)
	root, err := e.db.UserByName(t.Context(), e.tenant.ID, "root")
	e.must(err)
	e.must(e.db.Record(t.Context(), e.tenant.ID, core.Event{
		Action: core.EventAuthorize, User: root.ID, UserName: "root", Application: core.ApplicationID(app), Message: "let in", Time: e.now.Add(-time.Millisecond),
	}))
	e.now = e.now.Add(time.Second)
	e.want(200, "PATCH", "core/groups/"+group+"/", map[string]any{"name": "ops2"})

	list := e.want(200, "GET", "events/events/", nil)
	e.fitsList(list, "Event")
	is := list["results"].([]any)[0].(map[string]any)
	context := is["context"].(map[string]any)
	model := context["model"].(map[string]any)
	user := is["user"].(map[string]any)
	if is["action"] != "model_updated" || is["app"] != "authentik_core" || is["client_ip"] != "192.0.2.7" || model["pk"] != group ||
		user["username"] != "root" || user["pk"] != float64(e.rootPK) || !strings.HasPrefix(fmt.Sprint(is["created"]), "2026-11-22T12:00:01") ||
		!strings.HasPrefix(fmt.Sprint(is["expires"]), "2027-11-22T12:00:01") {
		t.Errorf("%v", is)
	}
	one := e.want(200, "GET", "events/events/"+is["pk"].(string)+"/", nil)
	e.fits(one, "Event")
	if fmt.Sprint(one) != fmt.Sprint(is) {
		t.Errorf("one: %v\nlisted: %v", one, is)
	}
	for query, want := range map[string]string{
		"action=authorize_application": "[authorize_application]", "search=let+in": "[authorize_application]",
		"context_model_pk=" + strings.ReplaceAll(group, "-", ""): "[model_updated model_created]",
		"context_model_pk=" + group + "&ordering=created":        "[model_created model_updated]",
		"context_authorized_app=" + app:                          "[authorize_application]",
		"username=nobody":                                        "[]", "brand_name=other": "[]", "client_ip=192.0.2.8": "[]",
		"created__gt=2026-11-22T12:00:00Z": "[model_updated]", "app=postern": "[authorize_application]",
		"page_size=1&page=2": "[model_created]", "brand_name=" + strings.ReplaceAll(e.tenant.Name, " ", "+") + "&action=model_updated": "[model_updated]",
	} {
		if got := fmt.Sprint(e.names("events/events/?"+query, "action")); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	top := e.send(e.root, "GET", "events/events/top_per_user/?top_n=3", nil)
	if s := string(top.body); top.status != 200 || !strings.Contains(s, `"counted_events":1`) || !strings.Contains(s, `"name":"App"`) {
		t.Errorf("top: %d %s", top.status, s)
	}
	volume := e.send(e.root, "GET", "events/events/volume/?history_days=1&action=model_updated", nil)
	if s := string(volume.body); s != `[{"action":"model_updated","count":1,"time":"2026-11-22T12:00:00Z"}]` {
		t.Errorf("volume: %d %s", volume.status, s)
	}
	actions := e.send(e.root, "GET", "events/events/actions/", nil)
	for _, a := range core.EventActions() {
		if !strings.Contains(string(actions.body), `"`+a+`"`) {
			t.Errorf("%s is not among the actions", a)
		}
	}
	for path, field := range map[string]string{"top_per_user/?top_n=0": "top_n", "volume/?history_days=367": "history_days", "?created__gt=x": "created__gt"} {
		e.refused("GET", "events/events/"+path, nil, field, "")
	}
	if a := e.send(e.root, "POST", "events/events/", map[string]any{"action": "login"}); a.status != 405 {
		t.Errorf("an event can be made up: %d", a.status)
	}
}
