package expression_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// policies are the sources that ak_call_policy finds, of the tenant "public".
type policies map[string]string

func (p policies) PolicyByName(_ context.Context, t core.TenantID, name string) (*core.ExpressionPolicy, error) {
	src, ok := p[name]
	if !ok || t != "public" {
		return nil, fmt.Errorf("policy: %w", core.ErrNotFound)
	}
	return &core.ExpressionPolicy{Name: name, Expression: src}, nil
}

// TestPolicyTruth: testdata/policy.json holds what bool() of CPython made of each source's
// result.
func TestPolicyTruth(t *testing.T) {
	b, err := os.ReadFile("testdata/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Source string
		Want   bool
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	e := &expression.Evaluator{Log: quiet()}
	given := m{"given": m{"deep": m{}}}
	for _, c := range cases {
		passed, _, err := e.EvaluatePolicy(t.Context(), "public", c.Source, expression.Env{Context: given})
		if err != nil || passed != c.Want {
			t.Errorf("%s: %v (%v), Python has %v", c.Source, passed, err, c.Want)
		}
	}
	if fmt.Sprint(given) != "map[given:map[deep:map[]]]" {
		t.Errorf("a run changed the caller's context: %v", given)
	}
}

// What an expression policy of authentik's sees.
func TestPolicyNames(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet(), Now: func() time.Time { return time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC) }}
	env := d.env(t, "jo")
	env.Request = &core.RequestInfo{Host: "a.test", Scheme: "https", URI: "/x?a=1", Method: "POST", UserAgent: "curl/8", ClientIP: netip.MustParseAddr("::ffff:192.0.2.7")}
	env.Object = &core.Application{ID: "a1", Slug: "wiki", Name: "Wiki"}
	env.Context = m{"oauth_scopes": l{"openid"}, "is_sso": true}
	env.Debug = true
	for _, src := range []string{
		"request.user.username == 'jo' and request.user == user",
		"request.obj.slug == 'wiki'", "request.debug", "request.context['oauth_scopes'] == ['openid']", "context == request.context and context is request.context",
		"http_request.method == 'POST' and request.http_request.path == '/x' and http_request.META['REMOTE_ADDR'] == '::ffff:192.0.2.7'",
		"http_request.META['REQUEST_METHOD'] == 'POST' and http_request.META['HTTP_USER_AGENT'] == http_request.headers['User-Agent'] == 'curl/8'",
		"ak_client_ip in ip_network('192.0.2.0/24') and str(ak_client_ip) == '192.0.2.7'", "ak_client_ip not in ip_network('10.0.0.0/8')",
		"ak_is_sso_flow", "ak_is_group_member(request.user, name='Minio users')", "not ak_is_group_member(request.user, name='Minio admins')",
		"ak_user_by(username='ada').name == 'Ada'", "not ak_user_has_authenticator(request.user)", "user.ak_groups.filter(name__startswith='Minio').exists()",
		"regex_match(request.user.email, '@example\\.test$')", "list_flatten(['a', 'b']) == 'a'", "'geoip' not in context and context.get('asn') is None",
		"now().hour == 8 and datetime.now(ZoneInfo('Europe/Zurich')).hour == 9 and timezone.now() == now() and datetime.now().tzinfo is None",
		"datetime.now(timezone.utc) - request.user.date_joined > timedelta(days=1)", "date.today() == date(2026, 11, 23) and datetime.now().weekday() == 0",
	} {
		d.users[0].Created = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		passed, _, err := e.EvaluatePolicy(t.Context(), "public", "return "+src, env)
		if err != nil || !passed {
			t.Errorf("%s: %v (%v)", src, passed, err)
		}
	}
	// What is not there is an error, and so no answer; and nothing but policies speaks.
	for src, want := range map[string]string{
		"ak_client_ip": "no request of a browser", "http_request.path": "not defined", "context['geoip']['country']": "KeyError: 'geoip'", "nope": "not defined",
		"http_request.COOKIES": "not defined", "request.http_request.path": "AttributeError",
	} {
		if passed, _, err := e.EvaluatePolicy(t.Context(), "public", "return "+src, expression.Env{}); err == nil || passed || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v (%v), want an error with %q", src, passed, err, want)
		}
	}
	for _, src := range []string{"return ak_message('x')", "return ak_is_sso_flow", "context['x'] = 1", "request.context['x'] = 1"} {
		if got, err := e.Eval(t.Context(), "public", src, env); err == nil {
			t.Errorf("a mapping's %s gives %v", src, got)
		}
	}
}

func TestPolicyMessages(t *testing.T) {
	e := &expression.Evaluator{Log: quiet(), Policies: policies{"inner": "ak_message('inside')\nreturn False"}}
	say := func(src string) (bool, []string, error) {
		return e.EvaluatePolicy(t.Context(), "public", src, expression.Env{})
	}
	if passed, got, err := say("ak_message('Access denied')\nak_message(5)\nreturn False"); passed || err != nil || !slices.Equal(got, []string{"Access denied", "5"}) {
		t.Error(passed, got, err)
	}
	// The messages of a policy that was called are its caller's to pass on.
	if passed, got, err := say("x = ak_call_policy('inner')\nfor m in x.messages:\n    ak_message('> ' + m)\nreturn not x.passing"); !passed || err != nil || !slices.Equal(got, []string{"> inside"}) {
		t.Error(passed, got, err)
	}
	// What was said before a failure is not lost.
	if passed, got, err := say("ak_message('before')\nreturn nope"); passed || err == nil || !slices.Equal(got, []string{"before"}) {
		t.Error(passed, got, err)
	}
	_, got, err := say("for i in range(100):\n    ak_message('é' * 1000)\nreturn True")
	if err != nil || len(got) != 20 || len(got[0]) > 510 {
		t.Errorf("%d messages of %d bytes (%v)", len(got), len(got[0]), err)
	}
}

func TestPolicyLog(t *testing.T) {
	var lines []expression.LogLine
	e := &expression.Evaluator{Log: quiet()}
	env := expression.Env{Logged: func(l expression.LogLine) { lines = append(lines, l) }}
	if _, _, err := e.EvaluatePolicy(t.Context(), "public", "ak_logger.warning('hm', user=1)\nak_logger.debug('a', 'b')\nfor i in range(100):\n    ak_logger.info('x' * 5000)\nreturn True", env); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 50 || lines[0].Level != "warning" || lines[0].Message != "hm" || lines[0].Attributes["user"] != "1" || lines[1].Message != "a b" || len(lines[2].Message) > 1010 {
		t.Errorf("%d lines: %+v", len(lines), lines[:2])
	}
}

func TestCallPolicy(t *testing.T) {
	all := policies{
		"yes": "return True", "no": "return False", "none": "pass", "raw": "return [request.user.username, context.get('key')]",
		"sets": "context['set'] = context.get('set', 0) + 1\nreturn True", "broken": "return 1 +", "fails": "x = 1\nreturn {}['k']", "bomb": "while True:\n    pass",
		"itself": "return ak_call_policy('itself').passing", "ping": "return ak_call_policy('pong').passing", "pong": "return ak_call_policy('ping').passing",
		"d0": "return True", "secret": "raise ValueError(context['password'])",
	}
	for i := range 8 {
		all[fmt.Sprintf("d%d", i+1)] = fmt.Sprintf("return ak_call_policy('d%d').passing", i)
	}
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet(), Policies: all}
	env := d.env(t, "jo")
	env.Context = m{"password": "hunter2"}
	for src, want := range map[string]any{
		"ak_call_policy('yes').passing":             true,
		"ak_call_policy('no').passing":              false,
		"ak_call_policy('none').passing":            false,
		"ak_call_policy('yes')":                     true,
		"ak_call_policy('no')":                      false, // in authentik it is true, which lets everybody in
		"not ak_call_policy('no')":                  true,
		"ak_call_policy('raw', key='v').raw_result": true,
		"ak_call_policy('raw', key='v').raw_result == ['jo', 'v'] and context['key'] == 'v'": true,
		"ak_call_policy('sets') and ak_call_policy('sets') and context['set'] == 2":          true,
		"ak_call_policy('yes').messages == ()":                                               true,
		"ak_call_policy('d4').passing":                                                       true,
		"ak_call_policy('d8').passing":                                                       errors.New("5 deep"),
		"ak_call_policy('nobody')":                                                           errors.New("no policy of that name"),
		"ak_call_policy(5)":                                                                  errors.New("must be a string"),
		"ak_call_policy()":                                                                   errors.New("takes a name"),
		"ak_call_policy('broken')":                                                           errors.New("line 1: policy 'broken': line 1: "),
		"not ak_call_policy('fails').passing":                                                errors.New("policy 'fails': line 2: KeyError"),
		"not ak_call_policy('bomb').passing":                                                 expression.ErrLimit,
		"not ak_call_policy('itself').passing":                                               errors.New("cannot call themselves"),
		"not ak_call_policy('ping').passing":                                                 errors.New("cannot call themselves"),
		"not ak_call_policy('secret').passing":                                               errors.New("ValueError was raised"),
		"[ak_call_policy('yes') for i in range(1000)]":                                       expression.ErrLimit,
	} {
		passed, _, err := e.EvaluatePolicy(t.Context(), "public", "return "+src, env)
		if wrong, ok := want.(error); ok {
			if err == nil || passed || !errors.Is(err, wrong) && !strings.Contains(err.Error(), wrong.Error()) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v (%v), want %v", src, passed, err, wrong)
			}
		} else if err != nil || passed != want {
			t.Errorf("%s: %v (%v), want %v", src, passed, err, want)
		}
	}
	// a policy of another tenant does not exist.
	if _, _, err := e.EvaluatePolicy(t.Context(), "t_other", "return ak_call_policy('yes')", expression.Env{}); err == nil || !strings.Contains(err.Error(), "no policy of that name") {
		t.Errorf("another tenant's policy: %v", err)
	}
	// A mapping may ask too; what the policy does to its context, the mapping does not see.
	got, err := e.Eval(t.Context(), "public", "a = ak_call_policy('sets', key=1).passing\nreturn [a, 'set' in request.context, ak_call_policy('raw').raw_result]", env)
	if err != nil || fmt.Sprint(got) != "[true false [jo 1]]" {
		t.Errorf("a mapping: %v (%v)", got, err)
	}
}

// A policy that is called spends its caller's budget.
func TestCalledPolicyIsCharged(t *testing.T) {
	long := strings.Repeat("#", 20_000) + "\nreturn True"
	e := &expression.Evaluator{Directory: people(), Log: quiet(), Policies: policies{"small": "return True", "large": "return [i for i in range(2000)]", "long": long}}
	cost := func(name string) (total int) {
		e.OnSpent(func(work, bytes int, steps uint64) { total = work + bytes + int(steps) })
		if _, _, err := e.EvaluatePolicy(t.Context(), "public", "return ak_call_policy('"+name+"').passing", expression.Env{}); err != nil {
			t.Fatal(err)
		}
		return total
	}
	small := cost("small")
	if large := cost("large"); large < small+10_000 {
		t.Errorf("an expensive policy costs %d, a cheap one %d", large, small)
	}
	if l := cost("long"); l < small+80_000 {
		t.Errorf("a long policy costs %d, a short one %d", l, small)
	}
}

// user.app_entitlements and app_entitlements_attributes, as authentik's mapping of the scope
// "entitlements" asks for them.
func TestEntitlements(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet(), Entitlements: func(_ context.Context, tenant core.TenantID, u *core.User, groups []core.Group, app core.ApplicationID) ([]core.Entitlement, error) {
		if tenant != "public" || app != "a1" || u.UserName != "jo" || len(groups) != 2 {
			return nil, nil
		}
		return []core.Entitlement{
			{ID: "e1", Application: "a1", Name: "edit", Attributes: m{"level": float64(1), "list": l{"a"}}},
			{ID: "e2", Application: "a1", Name: "read", Attributes: m{"level": float64(2), "list": l{"b"}}},
		}, nil
	}}
	env := d.env(t, "jo")
	env.Provider = &core.Client{ProviderBase: core.ProviderBase{ID: 7}}
	env.Application = &core.Application{ID: "a1", Provider: 7, Slug: "wiki"}
	check(t, e, env, []want{
		{"entitlements = [entitlement.name for entitlement in request.user.app_entitlements(provider.application)]\nreturn {'entitlements': entitlements, 'roles': entitlements}", m{"entitlements": l{"edit", "read"}, "roles": l{"edit", "read"}}},
		{"request.user.app_entitlements_attributes(provider.application)", m{"level": i(2), "list": l{"a", "b"}}},
		{"[user.app_entitlements(provider.application).filter(name='edit').exists(), user.app_entitlements(provider.application).filter(attributes__level=2).first().name, user.app_entitlements(provider.application).values_list('name', flat=True)]", l{true, "read", l{"edit", "read"}}},
		{"[list(user.app_entitlements(None)), user.app_entitlements_attributes(None)]", l{l{}, m{}}},
		{"[list(ak_user_by(username='ada').app_entitlements(provider.application)), user.app_entitlements(provider.application)[0].app.slug]", l{l{}, "wiki"}},
		{"user.app_entitlements('wiki')", errors.New("an application is needed")},
		{"user.app_entitlements(provider.application)[0].attributes['level'] = 9\nreturn 1", errors.New("read-only")},
	})
	env.Object, env.Provider = env.Application, nil
	if passed, _, err := e.EvaluatePolicy(t.Context(), "public", "return request.user.app_entitlements(request.obj).filter(name='edit').exists()", env); err != nil || !passed {
		t.Error(passed, err)
	}
}
