package expression_test

import (
	"context"
	"errors"
	"log/slog"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// want is an expression and what it gives, or, as an error, the text that its error holds.
type want struct {
	src  string
	want any
}

func check(t *testing.T, e *expression.Evaluator, env expression.Env, cases []want) {
	t.Helper()
	for _, c := range cases {
		src := c.src
		if !strings.Contains(src, "return ") && !strings.Contains(src, "\n") {
			src = "return " + src
		}
		got, err := e.Eval(t.Context(), "public", src, env)
		if wrong, ok := c.want.(error); ok {
			if err == nil || !strings.Contains(err.Error(), wrong.Error()) {
				t.Errorf("%s: got %#v (%v), want an error with %q", c.src, got, err, wrong)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %#v (%v), want %#v", c.src, got, err, c.want)
		}
	}
}

func i(n int64) int64 { return n }

func TestObjects(t *testing.T) {
	d := people()
	d.users[0].Created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d.users[0].LastLogin = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	env := d.env(t, "jo")
	env.Request = &core.RequestInfo{Tenant: &core.Tenant{ID: "public", Name: "Public"}, Host: "a.test", Scheme: "https", URI: "/p/a?q=1&q=2&r=%20x", ClientIP: netip.MustParseAddr("192.0.2.7"), ID: "req-1"}
	env.Provider = &core.Client{ProviderBase: core.ProviderBase{ID: 7, Name: "minio"}, ClientID: "cid", Type: core.ClientPublic, Secret: "top-secret"}
	env.Application = &core.Application{ID: "a1", Slug: "minio", Name: "Minio", Provider: 7}
	env.Mapping = &core.PropertyMapping{ID: "m1", Name: "mine", ScopeName: "x"}
	env.Vars = map[string]any{"connection": nil, "token": expression.Object{Attributes: m{"session_id": "s"}}}
	env.Context = map[string]any{"extra": l{"a"}}
	check(t, e, env, []want{
		{"[user.pk, user.id, user.uuid, user.uid, user.username, user.name, user.email]", l{i(1), i(1), "u1", "hash-of-jo", "jo", "Jo Doe Smith", "jo@example.test"}},
		{"[user.email_verified, user.path, user.type, user.is_active, user.is_superuser, user.is_authenticated, user.is_anonymous]", l{true, "users", "internal", true, false, true, false}},
		{"str(user) + repr(user)", "jo<User: jo>"},
		{"user.attributes", m{"upn": "jo@corp", "settings": m{"locale": "de"}, "list": l{"own"}, "n": i(5)}},
		{"[user.date_joined, user.last_login, user.password_change_date]", l{"2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05.000006+00:00", nil}},
		{"[str(user.date_joined), user.date_joined.year, user.date_joined.timestamp(), user.date_joined < user.last_login]", l{"2026-01-02 03:04:05+00:00", i(2026), float64(1767323045), true}},
		{"[user.date_joined.strftime('%Y-%m-%d %H:%M:%S %j %B %a %%'), user.last_login.strftime('%f%z')]", l{"2026-01-02 03:04:05 002 January Fri %", "000006+0000"}},
		{"user.date_joined.strftime('%Q')", errors.New("strftime() knows")},
		{"[g.name for g in user.ak_groups.all()]", l{"Minio users"}},
		{"[g.name for g in user.groups.all()]", l{"Minio users"}},
		{"[g.name for g in user.all_groups()]", l{"Minio users", "Staff"}},
		{"user.group_attributes()", m{"aws_role": "staff", "list": l{"u", "s", "u", "own"}, "deep": m{"a": "staff", "b": i(1)}, "upn": "jo@corp", "settings": m{"locale": "de"}, "n": i(5)}},
		{"user.group_attributes(request)['aws_role']", "staff"},
		{"[user.locale(), user.avatar]", l{"de", ""}},
		{"list(user.app_entitlements(provider.application))", l{}},
		{"user.all_groups().filter(name='Staff').exists()", true},
		{"[user.ak_groups.filter(name='Staff').exists(), user.ak_groups.exists(), user.ak_groups.count(), user.ak_groups.first().name, user.ak_groups.last().name]", l{false, true, i(1), "Minio users", "Minio users"}},
		{"list(user.all_groups().values_list('name', flat=True))", l{"Minio users", "Staff"}},
		{"list(user.all_groups().values_list('num_pk', 'name'))", l{l{i(1), "Minio users"}, l{i(3), "Staff"}}},
		{"user.all_groups().values('name')", l{m{"name": "Minio users"}, m{"name": "Staff"}}},
		{"[g.name for g in user.all_groups().order_by('-name')]", l{"Staff", "Minio users"}},
		{"[g.name for g in user.all_groups().exclude(name__startswith='Minio')]", l{"Staff"}},
		{"[g.name for g in user.all_groups()[1:]]", l{"Staff"}},
		{"user.all_groups()[0].name", "Minio users"},
		{"len(user.all_groups())", i(2)},
		{"user.all_groups().first() in user.all_groups()", true},
		{"user.all_groups().get(name='Staff').num_pk", i(3)},
		{"user.all_groups().filter(name__in=['Staff', 'x']).count()", i(1)},
		{"user.all_groups().filter(name__iexact='STAFF').count()", i(1)},
		{"user.all_groups().filter(name__icontains='MINIO', is_superuser=False).count()", i(1)},
		{"user.all_groups().filter(name__endswith='f', name__istartswith='s').count()", i(1)},
		{"user.all_groups().filter(name__regex='^M.*s$').count()", i(1)},
		{"user.all_groups().filter(name__iregex='^m.*S$').count()", i(1)},
		{"user.all_groups().filter(num_pk__gt=1, num_pk__lte=3).count()", i(1)},
		{"user.all_groups().filter(attributes__aws_role='staff').count()", i(1)},
		{"user.all_groups().filter(attributes__deep__a='users').count()", i(1)},
		{"user.all_groups().filter(attributes__nope__isnull=True).count()", i(2)},
		{"user.all_groups().filter(attributes__list__contains='s').count()", i(1)},
		{"user.all_groups().filter(group_uuid='g3').count()", i(1)},
		{"user.all_groups().filter(nope='x').count()", errors.New("'Group' object has no such attribute")},
		{"user.all_groups().get(name='x')", errors.New("get() found 0 objects of type Group")},
		{"user.ak_groups.filter('x')", errors.New("takes names only")},
		{"user.all_groups().filter(name='Staff').first().attributes['aws_role']", "staff"},
		{"user.ak_groups.first().parent.name", "Staff"},
		{"[p.name for p in user.ak_groups.first().parents.all()]", l{"Staff"}},
		{"user.all_groups()[1].parent", nil},
		{"[u.username for u in user.ak_groups.first().users.all()]", l{"jo"}},
		{"user.ak_groups.first().users.filter(username='jo').exists()", true},
		{"[user.all_groups()[1].is_member(user), user.all_groups()[1].is_member(ak_user_by(username='ada'))]", l{true, false}},
		{"user.ak_groups.first().roles.count()", i(0)},
		{"[ak_is_group_member(user, name='Staff'), ak_is_group_member(request.user, name='Minio admins'), ak_is_group_member(user, name__startswith='Min')]", l{true, false, true}},
		{"ak_is_group_member(user, group_uuid='g3')", true},
		{"ak_is_group_member('jo', name='x')", errors.New("a user is needed here, not 'str'")},
		{"[ak_user_by(username='ada').name, ak_user_by(username='nobody'), ak_user_by(nope='x'), ak_user_by(pk=2).username, ak_user_by(pk='2').username, ak_user_by(id=2).username, ak_user_by(username__iexact='ADA').pk]", l{"Ada", nil, nil, "ada", "ada", "ada", i(2)}},
		{"ak_user_by(username='ada').is_superuser", true},
		{"ak_user_by(username='ada').uid", errors.New("uid is known only of the user")},
		{"ak_user_by(attributes__x=1)", errors.New("cannot look for attributes")},
		{"ak_user_by()", errors.New("needs something to look for")},
		{"[user == request.user, user == ak_user_by(pk=1), user != ak_user_by(pk=2), user in [request.user], {user: 1}[request.user]]", l{true, true, true, true, i(1)}},
		{"ak_user_has_authenticator(user)", false},
		{"ak_user_has_authenticator(user, 'totp')", false},

		{"[request.debug, request.obj.name, request.obj.scope_name, request.http_request.scheme]", l{false, "mine", "x", "https"}},
		{"request.context", errors.New("cannot be part of the result")},
		{"sorted(request.context)", l{"connection", "extra", "provider", "token"}},
		{"[request.context['extra'], context['extra'][0], request.context.get('token').session_id, token.session_id, connection]", l{l{"a"}, "a", "s", "s", nil}},
		{"[http_request.path, http_request.get_host(), http_request.is_secure(), http_request.build_absolute_uri(), http_request.get_full_path()]", l{"/p/a", "a.test", true, "https://a.test/p/a?q=1&q=2&r=%20x", "/p/a?q=1&q=2&r=%20x"}},
		{"[http_request.GET, http_request.META['REMOTE_ADDR'], http_request.brand.branding_title, http_request.tenant.schema_name]", l{m{"q": "2", "r": " x"}, "192.0.2.7", "Postern", "public"}},
		{"ip_address(http_request.META['REMOTE_ADDR']) in ip_network('192.0.2.0/24')", true},
		{"[provider.pk, provider.name, provider.client_id, provider.client_type, provider.application.slug]", l{i(7), "minio", "cid", "public", "minio"}},
		{"type(user)", errors.New("cannot be part of the result")},
		{"str(type(user))", "<class 'User'>"},
		{"user", errors.New("a User cannot be part of the result: return one of its attributes")},
		{"[g for g in user.all_groups()]", errors.New("a Group cannot be part of the result")},
		{"lambda: 1", errors.New("a value of type 'function' cannot be part of the result")},
		{"user.check_password('x')", errors.New("check_password() is not available")},
		{"for g in user.ak_groups.all():\n    yield g.name", l{"Minio users"}},
	})

	// Nobody: request.user is an empty user, and user does not exist.
	check(t, e, expression.Env{}, []want{
		{"[request.user.username, request.user.email, request.user.pk, request.user.attributes, request.user.is_superuser]", l{"", "", nil, m{}, false}},
		{"[request.user.group_attributes(), list(request.user.all_groups()), list(request.user.ak_groups.all()), request.user.uid, request.user.is_anonymous]", l{m{}, l{}, l{}, "", true}},
		{"ak_is_group_member(request.user, name='x')", false},
		{"[request.http_request, request.obj, request.context]", l{nil, nil, m{}}},
		{"user", errors.New("line 1: name 'user' is not defined")},
		{"http_request", errors.New("name 'http_request' is not defined")},
		{"provider", errors.New("name 'provider' is not defined")},
		{"token", errors.New("name 'token' is not defined")},
		{"context", errors.New("name 'context' is not defined")},
		{"x = 1\nreturn user or x", errors.New("line 2: name 'user' is not defined")},
	})

	// A group's mapping: user is None.
	env = expression.Env{Vars: map[string]any{"user": nil, "group": &d.groups[2]}}
	check(t, e, env, []want{
		{"[user, group.name, group.pk, group.num_pk, group.is_superuser]", l{nil, "Staff", "g3", i(3), false}},
		{"x = user\nuser = 'mine'\nreturn [x, user]", l{nil, "mine"}},
		{"if False:\n    group = 1\nreturn group.name", "Staff"},
		{"def f():\n    return group.name\nreturn f()", "Staff"},
		{"group = group.name\nreturn group", "Staff"},
		{"if (group := group.name):\n    pass\nreturn group", "Staff"},
	})
}

func TestFunctions(t *testing.T) {
	e := &expression.Evaluator{Log: quiet()}
	check(t, e, expression.Env{}, []want{
		{"[regex_match('abc', 'b'), regex_match('abc', '^b'), regex_match('abc', 'c$'), regex_match(123, '2'), regex_match('', '')]", l{true, false, true, true, true}},
		{`[regex_match('jörg', r'^\w+$'), regex_match('٣', r'^\d$'), regex_match('a-b', r'^[\w-]+$'), regex_match(' ', r'\s'), regex_match('ab', r'(?i)^AB\Z'), regex_match('é', r'\W')]`, l{true, true, true, true, true, false}},
		{`[regex_match('a]b', r'[]]'), regex_match('a[b', r'[[]'), regex_match('x', r'[^]]'), regex_match('a.b', r'a\.b'), regex_match('aXb', r'a\.b')]`, l{true, true, true, true, false}},
		{`[regex_replace('a1b22', r'\d+', '#'), regex_replace('John Smith', r'(\w+) (\w+)', r'\2, \1'), regex_replace('ab', '(?P<x>a)', r'<\g<x>\g<1>>'), regex_replace('aaa', '', '-'), regex_replace('abc', 'x', 'y'), regex_replace('a', 'a', r'\\n\n')]`, l{"a#b#", "Smith, John", "<aa>b", "-a-a-a-", "abc", "\\n\n"}},
		{`regex_replace('user@example.com', '@.*$', '')`, "user"},
		{"regex_match('a', '(?=a)')", errors.New("lookahead")},
		{"regex_match('a', '(?<!a)')", errors.New("lookbehind")},
		{`regex_match('a', r'(a)\1')`, errors.New("backreferences")},
		{"regex_match('a', '(')", errors.New("missing closing )")},
		{`regex_replace('a', 'a', r'\1')`, errors.New("names a group")},
		{"[list_flatten(['a', 'b']), list_flatten([]), list_flatten('a'), list_flatten(None)]", l{"a", nil, "a", nil}},
		{"[slugify('Hello Wörld!'), slugify('  a -- b  '), slugify('Ünïcödé ﬁne'), slugify('日本'), slugify('a_b'), slugify('___'), slugify(12)]", l{"hello-world", "a-b", "unicode-fine", "", "a_b", "", "12"}},
		{"[str(ip_address('10.0.0.1')), ip_address('10.0.0.1').is_private, ip_address('8.8.8.8').is_global, ip_address('::1').is_loopback, ip_address('::1').version]", l{"10.0.0.1", true, true, true, i(6)}},
		{"[ip_address('10.0.0.5') in ip_network('10.0.0.0/8'), ip_address('11.0.0.5') in ip_network('10.0.0.0/8'), ip_address('::1') in ip_network('10.0.0.0/8')]", l{true, false, false}},
		{"[str(ip_network('10.0.0.0/8')), ip_network('10.0.0.0/8').prefixlen, str(ip_network('10.0.0.0/8').network_address), ip_network('10.0.0.0/24').num_addresses, ip_network('10.1.2.3/8', strict=False).subnet_of(ip_network('0.0.0.0/0'))]", l{"10.0.0.0/8", i(8), "10.0.0.0", i(256), true}},
		{"ip_network('10.1.2.3/8')", errors.New("host bits")},
		{"ip_address('nope')", errors.New("ip_address() needs")},
		{"[ip_address('10.0.0.1') < ip_address('10.0.0.2'), ip_address('10.0.0.1') == ip_address('10.0.0.1'), ip_address('10.0.0.1') + 1]", l{true, true, "10.0.0.2"}},
		{"ip_network('::/0').num_addresses", new(big.Int).Lsh(big.NewInt(1), 128)},
		{"requests.get('http://x')", errors.New("requests is not available: expressions have no network")},
		{"resolve_dns('x')", errors.New("expressions have no network")},
		{"reverse_dns('x')", errors.New("expressions have no network")},
		{"ak_call_policy('x')", errors.New("ak_call_policy is not available")},
		{"ak_create_jwt()", errors.New("ak_create_jwt() needs the argument")},
		{"ak_send_email()", errors.New("ak_send_email is not available")},
		{"{1: 'a', None: 'b', True: 'c', 1.5: 'd'}", m{"1": "c", "null": "b", "1.5": "d"}},
		{"{(1, 2): 'a'}", errors.New("a key of type 'tuple' cannot be part of the result")},
		{"x = []\nx.append(x)\nreturn x", errors.New("or holds itself")},
		{"(1, {2}, range(2))", l{i(1), l{i(2)}, l{i(0), i(1)}}},
		{"ip_address('10.0.0.1')", "10.0.0.1"},
	})
}

func TestSkipObject(t *testing.T) {
	e := &expression.Evaluator{Log: quiet()}
	for _, src := range []string{"raise SkipObject", "raise SkipObject()", "if True:\n    raise SkipObject('a service account')"} {
		if _, err := e.Eval(t.Context(), "public", src, expression.Env{}); !errors.Is(err, expression.ErrSkipObject) {
			t.Errorf("%s: %v", src, err)
		}
	}
	if _, err := e.Eval(t.Context(), "public", "raise ValueError('SkipObject')", expression.Env{}); err == nil || errors.Is(err, expression.ErrSkipObject) {
		t.Errorf("another exception skips: %v", err)
	}
}

type events struct{ all []core.Event }

func (e *events) Record(_ context.Context, _ core.TenantID, ev core.Event) error {
	e.all = append(e.all, ev)
	return nil
}

func TestEventsAndLog(t *testing.T) {
	d := people()
	var log strings.Builder
	recorded := &events{}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e := &expression.Evaluator{
		Directory: d, Events: recorded, Now: func() time.Time { return now },
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	env := d.env(t, "jo")
	check(t, e, env, []want{
		{"return [ak_create_event('my_action', message='hello', n=[1]), ak_logger.warning('a \"line\"', user=user.username), ak_logger.debug('d'), print('p', 1)]", l{nil, nil, nil, nil}},
		{"ak_create_event('login')", nil},
		{"for i in range(11):\n    ak_create_event('x')", errors.New("more than 10 times")},
		{"for i in range(1000):\n    ak_logger.info('many', i=i)", nil},
	})
	if ev := recorded.all[0]; ev.Action != "custom_my_action" || ev.Message != "hello" || ev.User != "u1" || ev.UserName != "jo" || !ev.Time.Equal(now) || !reflect.DeepEqual(ev.Context, m{"message": "hello", "n": l{i(1)}}) {
		t.Errorf("recorded %+v", ev)
	}
	if recorded.all[1].Action != "login" || len(recorded.all) != 12 {
		t.Errorf("recorded %d events, the second %+v", len(recorded.all), recorded.all[1])
	}
	out := log.String()
	if !strings.Contains(out, "level=WARN") || !strings.Contains(out, "user=jo") || !strings.Contains(out, "level=DEBUG") {
		t.Errorf("log: %.500s", out)
	}
	if n := strings.Count(out, "many"); n != 50 {
		t.Errorf("%d lines of one run, want 50", n)
	}
}

func TestHasAuthenticator(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet(), HasAuthenticator: func(_ context.Context, tenant core.TenantID, u core.UserID, kind string) (bool, error) {
		return tenant == "public" && u == "u1" && (kind == "" || kind == "totp"), nil
	}}
	check(t, e, d.env(t, "jo"), []want{{"[ak_user_has_authenticator(user), ak_user_has_authenticator(user, 'totp'), ak_user_has_authenticator(user, device_type='webauthn'), ak_user_has_authenticator(ak_user_by(pk=2))]", l{true, true, false, false}}})
	check(t, e, expression.Env{}, []want{{"ak_user_has_authenticator(request.user)", false}})
}

func TestSyntaxErrors(t *testing.T) {
	e := &expression.Evaluator{Log: quiet()}
	for src, want := range map[string]string{
		"":              "line 1: the expression is empty",
		"# nothing\n\n": "line 1: the expression is empty",
		"x = 1\ntry:\n    y = 2\nexcept KeyError:\n    y = 3": "line 2: try/except is not available: test first",
		"x = 1\n\nimport json":                                "line 3: import is not available",
		"from a import b":                                     "line 1: import is not available",
		"class A:\n    pass":                                  "line 1: class is not available",
		"x = 1\nglobal x":                                     "line 2: global is not available",
		"with x as y:\n    pass":                              "line 1: with is not available",
		"return 1 +":                                          "line 1: expected an expression, found end of line",
		"x = (1,\n2\n":                                        "line 3: '(' is never closed",
		"x = 1)\n":                                            "line 1: ')' closes nothing",
		"x = [1)\n":                                           "line 1: ')' closes nothing",
		"if x = 1:\n    pass":                                 "line 1: expected ':' after the condition, found '='",
		"if True:\nreturn 1":                                  "line 2: expected an indented block",
		"return 1\n  return 2":                                "line 2: this line is indented",
		"if 1:\n    x = 1\n  y = 2":                           "line 3: the indentation does not match",
		"return 'abc":                                         "line 1: this string is never closed",
		"return '''abc\n\n":                                   "line 1: this string is never closed",
		"x = 1\nreturn f'{x'":                                 "line 2: this string is never closed",
		"return f'{x":                                         "line 1: a '{' in an f-string is never closed",
		"return f'}'":                                         "line 1: a single '}' in an f-string",
		"return f'{}'":                                        "line 1: an empty {} in an f-string",
		"return f'{x!z}'":                                     "line 1: after ! in an f-string only r, s and a",
		"return f'{1 +}'":                                     "line 1: expected an expression",
		"return f'''\n{\n1 +\n}'''":                           "line 4: expected an expression",
		"return 1 = 2":                                        "line 1: unexpected '=': write == to compare",
		"f() = 1":                                             "line 1: this cannot be assigned to",
		"x.y = 1":                                             "line 1: attributes cannot be set",
		"x[1:2] = 1":                                          "line 1: a slice cannot be assigned to",
		"break":                                               "line 1: break stands outside a loop",
		"def f():\n    continue":                              "line 2: continue stands outside a loop",
		"for x in y:\n    pass\nelse:\n    pass":              "line 3: else after for is not available",
		"raise":                                               "line 1: raise needs an exception",
		"del x":                                               "line 1: del removes only an item",
		"x = yield 1":                                         "line 1: yield has no value",
		"return b'x'":                                         "line 1: bytes literals are not available",
		"return 012":                                          "line 1: a number may not begin with 0",
		"return 1j":                                           "line 1: 1j is not a number",
		"return x y":                                          "line 1: unexpected 'y'",
		"return $":                                            "line 1: the character $ has no meaning here",
		"return x.__class__":                                  "line 1: attributes that begin with an underscore",
		"x: int":                                              "line 1: a variable needs a value",
		"return f(a=1, 2)":                                    "line 1: an argument without a name follows one with a name",
		"def f(a, a): pass":                                   "line 1: duplicate parameter: a",
		"return lambda **k: k":                                "line 1: a lambda has no **parameters",
		"for x in (x := [1]):\n    pass":                      "'x' is set by := and is also a parameter, loop variable or function",
		"a, *b, *c = x":                                       "line 1: only one target may have a star",
		"elif x:\n    pass":                                   "line 1: elif has no if before it",
		"@property\ndef f(): pass":                            "line 1: decorators are not available",
		"return a @ b":                                        "line 1: the operator @ is not available",
		"return '\\xZZ'":                                      `line 1: \x needs 2 hexadecimal digits`,
		"return \"\\N{DASH}\"":                                `line 1: \N{…} is not available`,
		"return 1 \\ 2":                                       "line 1: a backslash outside a string",
		"async def f(): pass":                                 "line 1: async is not available",
		"return [x async for x in y]":                         "line 1: async is not available",
		"return await x":                                      "line 1: await is not available",
	} {
		err := e.Check(src)
		var syntax *expression.SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", src, err, want)
		}
		if _, again := e.Eval(t.Context(), "public", src, expression.Env{}); again == nil || again.Error() != err.Error() {
			t.Errorf("%q: Check says %v, Eval %v", src, err, again)
		}
	}
}

// An error names the line that it happened on, however the source is laid out.
func TestErrorLines(t *testing.T) {
	e := &expression.Evaluator{Log: quiet()}
	for src, line := range map[string]int{
		"return nope": 1, "\n\nreturn nope": 3, "# a\r\nreturn nope": 2, "x = (1,\n  nope,\n  2)": 2, "return f'''\n\n{nope}'''": 3,
		"x = '''\n\n'''\nreturn nope": 4, "def f():\n    x = 1\n    return nope\nx = 2\nreturn f()": 3, "x = 1 \\\n  + nope": 2,
		"return [1,\n  {'a':\n nope}]": 3, "return sorted([1, 2],\n  key=lambda q:\n    nope)": 3, "if 0:\n    pass\nelif nope:\n    pass": 3, "return 1 if 0 else (\nnope)": 2,
		"for x in [1]:\n    nope": 2, "return 1 // 0": 1, "x = [1]\n\nx[5]": 3, "x = 'a'\nx.nope()": 2, "x = 1\nx()": 2, "x = {}\nfor i in [1, 2]:\n    x[\n    i]": 3,
		"def f(a):\n    pass\n\nf()": 4, "x, y = 1, 2\na, b = [1]": 2, "\treturn nope": 1, "return {}['a']": 1, "\n\n\nwhile True:\n    pass": 4,
	} {
		_, err := e.Eval(t.Context(), "public", src, expression.Env{})
		var at *expression.Error
		if !errors.As(err, &at) || at.Line != line && at.Line != line+1 || at.Line != line && !errors.Is(err, expression.ErrLimit) {
			t.Errorf("%q: %v, want line %d", src, err, line)
		}
	}
}
