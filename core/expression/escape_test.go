package expression_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// E-01: nothing of what an escape from Python begins with exists.
func TestEscapes(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	env := d.env(t, "jo")
	env.Request = &core.RequestInfo{Host: "a.test", Scheme: "https", URI: "/"}
	env.Provider = &core.Client{ClientID: "c", Secret: core.Secret("top-secret")}
	for _, src := range []string{
		"__import__('os')", "__builtins__", "__builtins__['eval']", "open('/etc/passwd')", "exec('x = 1')", "eval('1')", "compile('1', 'x', 'eval')",
		"globals()", "locals()", "vars()", "dir()", "input()", "breakpoint()", "help()", "memoryview(b'')", "object()", "super()", "setattr(user, 'name', 'x')",
		"().__class__", "().__class__.__mro__", "''.__class__.__base__.__subclasses__()", "(lambda: 0).__globals__", "(lambda: 0).__code__", "(lambda: 0).func_globals",
		"user.__class__", "user.__dict__", "user._meta", "user._state", "request.__class__", "request.user.__class__.objects", "user.objects",
		"getattr(user, '__class__')", "getattr((), '__class__')", "getattr(str, '__mro__')", "getattr(lambda: 0, '__globals__')", "getattr(user, '_meta')", "getattr(user, '_' + '_class__')",
		"'{0.__class__}'.format(1)", "'{0.__class__.__mro__}'.format(user)", "'{x.__globals__}'.format(x=len)", "'{0[__class__]}'.format(user)", "'{a.__class__}'.format_map({'a': 1})",
		"f'{user.__class__}'", "'%(__class__)s' % user", "load('//x', 'y')", "len.__self__", "len.__module__", "str.__subclasses__()", "type(1).__base__", "type('X', (), {})",
		"user.check_password('x')", "user.set_password('x')", "user.save()", "user.delete()", "user.password", "user.ak_groups.create(name='x')", "user.ak_groups.all().delete()", "user.ak_groups.add(1)", "user.ak_groups.all().update(name='x')",
		"provider.client_secret", "provider.Secret", "provider.secret", "request.http_request.session", "http_request.COOKIES",
		"requests.get('http://169.254.169.254/')", "resolve_dns('localhost')", "reverse_dns('127.0.0.1')", "ak_send_email('a@b.test', 'x')", "ak_call_policy('x')", "ak_create_jwt(user, user, [])", "ak_create_jwt_raw(ak_create_jwt)",
		"datetime.__class__", "datetime.now().__class__", "datetime.max", "timedelta(1).__reduce__()", "now().__dict__", "ZoneInfo('../../../etc/passwd')", "ZoneInfo('/etc/passwd')", "ZoneInfo('Local')", "ZoneInfo('')", "ZoneInfo('posix/../../../../etc/passwd')", "datetime.fromisoformat('x' * 100)", "datetime(2026, 2, 30)", "datetime(0, 1, 1)",
		"datetime.now() < now()", "datetime.now() - now()", "now() + 1", "time(1) + timedelta(1)", "ak_message('x')", "ak_client_ip.x",
		"ak_logger.__init__", "ak_logger.handlers", "regex_match.__globals__", "ValueError('x').__traceback__", "ValueError('x').args",
	} {
		v, err := e.Eval(t.Context(), "public", "return "+src, env)
		if err == nil {
			t.Errorf("%s is %v", src, v)
		} else if strings.Contains(err.Error(), "top-secret") || strings.Contains(err.Error(), "internal") {
			t.Errorf("%s: %v", src, err)
		}
	}
	for _, src := range []string{
		"import os", "from os import path", "import os as x", "try:\n    x = 1\nexcept:\n    pass", "class X:\n    pass", "with open('x') as f:\n    pass",
		"global x", "nonlocal x", "async def f(): pass", "@x\ndef f(): pass", "def f():\n    import os\n    return os\nreturn f()", "x = await f()", "exec 'x'", "print 'x'",
		"user.name = 'x'", "user.attributes['x'] = 1", "user.ak_groups = []", "del user.name", "user.attributes.update(x=1)", "user.attributes.clear()", "user.attributes['list'].append(1)", "request.context['x'] = 1",
		"import datetime as x", "import datetime.datetime", "import datetime, os", "from datetime import os", "from datetime import *", "from datetime import datetime as d", "from . import x", "from django.contrib import auth", "from authentik.core.models import User", "import time",
		"(lambda: 0).__code__ = 1", "__x__ = 1", "len = 5\nreturn __builtins__", "for user.name in ['x']: pass", "user.attributes |= {'x': 1}", "user.attributes['list'] += [1]", "request.user.attributes.pop('upn')",
		"f = user\nf.is_superuser = True", "[0 for user.x in [1]]", "with user: pass", "lambda: (yield)", "x = yield 1",
	} {
		if v, err := e.Eval(t.Context(), "public", src, env); err == nil {
			t.Errorf("%s gives %v", src, v)
		}
	}
	// The control: beside each kind of escape stands what is allowed, and that works.
	for _, src := range []string{
		"return user.name", "return getattr(user, 'name')", "return getattr(user, '_meta', 'none')", "return '{0}'.format(user.name)", "return '{x[name]}'.format(x={'name': 1})", "return f'{user.name}'", "return '%(name)s' % {'name': 1}",
		"return provider.client_id", "return (lambda: 0)()", "import datetime\nreturn datetime.datetime(2026, 2, 28).isoformat()", "from datetime import datetime, timedelta\nreturn (datetime(2026, 1, 1) + timedelta(days=1)).year",
		"return now(ZoneInfo('Europe/Berlin')).year", "def f():\n    return 1\nreturn f()", "a = dict(user.attributes)\na['x'] = 1\nreturn a['x']", "return [g.name for g in user.ak_groups.all()]", "return str(ValueError('x'))", "return len([0 for x in [1]])",
	} {
		if _, err := e.Eval(t.Context(), "public", src, env); err != nil {
			t.Errorf("control: %s: %v", src, err)
		}
	}
}

// E-04: what an expression asks for is asked of its own tenant only.
func TestOtherTenant(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	if got, err := e.Eval(t.Context(), "public", "return ak_user_by(username='ada').email", expression.Env{}); err != nil || got != "ada@example.test" {
		t.Fatalf("own tenant: %v, %v", got, err)
	}
	if got, err := e.Eval(t.Context(), "t_other", "return ak_user_by(username='ada').email", expression.Env{}); err == nil {
		t.Errorf("another tenant's expression found %v", got)
	}
}

// E-05, for policies: what one may change is its own.
func TestPolicyEscapes(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet(), Policies: policies{"yes": "return True"}}
	env := d.env(t, "jo")
	env.Request = &core.RequestInfo{Host: "a.test", Scheme: "https", URI: "/", ClientIP: netip.MustParseAddr("192.0.2.1")}
	env.Object = &core.Application{ID: "a1", Slug: "wiki"}
	env.Context = m{"given": m{"list": l{int64(1)}}, "user": d.users[0].Attributes}
	for _, src := range []string{
		"request.user = ak_user_by(username='ada')", "request.context = {}", "request.obj.slug = 'x'", "http_request.META['REMOTE_ADDR'] = '10.0.0.1'", "request.http_request.method = 'x'",
		"user.attributes['x'] = 1", "ak_call_policy('yes').passing = False", "ak_call_policy('yes').messages.append('x')", "request.user.is_superuser = True", "ak_message.__globals__", "return ak_call_policy.__self__", "return context.__class__",
		"return request.http_request.COOKIES", "return http_request.headers['Cookie']", "return http_request.META['HTTP_AUTHORIZATION']", "return http_request.session",
	} {
		if passed, _, err := e.EvaluatePolicy(t.Context(), "public", src, env); err == nil {
			t.Errorf("%s gives %v", src, passed)
		}
	}
	for range 2 { // the second run sees nothing of the first
		passed, _, err := e.EvaluatePolicy(t.Context(), "public", "context['given']['list'].append(2)\ncontext['user']['upn'] = 'changed'\ncontext['n'] = context.get('n', 0) + 1\nreturn context['n'] == 1 and len(context['given']['list']) == 2", env)
		if err != nil || !passed {
			t.Errorf("%v (%v)", passed, err)
		}
	}
	if got := fmt.Sprint(env.Context, d.users[0].Attributes); strings.Contains(got, "changed") || strings.Contains(got, "[1 2]") {
		t.Errorf("a policy changed what it was given: %s", got)
	}
	// The control: a mapping's context is read-only.
	if _, err := e.Eval(t.Context(), "public", "context['n'] = 1", env); err == nil {
		t.Error("a mapping changed its context")
	}
}

// E-05: a run leaves nothing behind, neither in what it was given nor for the next run.
func TestNoState(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	env := d.env(t, "jo")
	env.Vars = map[string]any{"given": m{"list": l{int64(1)}}}
	for _, src := range []string{
		"def f(x=[]):\n    x.append(1)\n    return len(x)\nf()\nreturn f()",
		"d = {}\nd['n'] = d.get('n', 0) + 1\nreturn d['n'] + 1",
		"a = user.group_attributes()\na['list'].append('changed')\na['deep']['a'] = 'changed'\na['x'] = len(a['list'])\nreturn 2 if a['x'] == 5 else 0",
		"x = [1]\nx += [2]\nreturn len(x)",
		"if (n := 1) and (n := n + 1):\n    pass\nreturn n",
	} {
		for range 3 {
			if got, err := e.Eval(t.Context(), "public", src, env); err != nil || got != int64(2) {
				t.Errorf("%q: got %v, %v; want 2 each time", src, got, err)
			}
		}
	}
	if got := fmt.Sprint(d.groups[0].Attributes, d.groups[2].Attributes, d.users[0].Attributes, env.Vars); strings.Contains(got, "changed") {
		t.Errorf("a run changed what it was given: %s", got)
	}
	for _, src := range []string{"given['x'] = 1", "given['list'].append(2)", "request.context['given']['list'].append(2)"} {
		if _, err := e.Eval(t.Context(), "public", src, env); err == nil {
			t.Errorf("%s succeeds", src)
		}
	}
	// What a run returns belongs to the caller alone.
	got, err := e.Eval(t.Context(), "public", "return user.attributes", env)
	if err != nil {
		t.Fatal(err)
	}
	got.(m)["list"].(l)[0] = "changed"
	if d.users[0].Attributes["list"].(l)[0] != "own" {
		t.Error("a result shares a list with the directory")
	}
}

// E-07: an error names the line, and holds no value that the expression read.
func TestErrorsHoldNoValues(t *testing.T) {
	const secret = "hunter2"
	d := people()
	d.users[0].Attributes["secret"] = secret
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	env := d.env(t, "jo")
	env.Vars = map[string]any{"password": secret}
	for _, src := range []string{
		"raise Exception(password)", "raise ValueError(f'wrong: {password}')", "raise KeyError(user.attributes['secret'])", "e = ValueError(password)\nraise e", "raise password",
		"assert False, password", "assert user.name == 'x', f'{password}'",
		"return {}[password]", "return {'a': 1}[user.attributes['secret']]", "return [][password]", "return int(password)", "return float(password)", "return password + 1", "return password - 1",
		"return password.nope", "return getattr(user, password)", "return password()", "return 'x'.join([password, 1])", "return {password: 1}.pop('x')", "return ip_address(password)", "return ip_network(password)",
		"f = lambda: 0\nreturn f(**{password: 1})", "def f(a): return a\nreturn f(1, **{password: 1})", "return user.ak_groups.filter(**{password: 1})", "return dict(password)", "return '{x}'.format(**{password: 1})",
		"return format('x', password)", "return f'{1:{password}}'", "return '%d' % password", "return ('%' + password) % 1", "return regex_match('x', '(' + password)", "return range(password)", "return round(password)", "a, b = password\nreturn a",
		"return {[password]: 1}", "return sorted([1, password])", "return password < 1", "return password in 5", "return len(5) + password", "return (lambda x: x.nope)(password)", "return [password].index('x')", "return ak_user_by(username=password).x", "return ''.index(password)",
		"return [x.nope for x in [password]]", "return getattr('x', password)", "return '{0.%s}'.format('x') % password", "return ('{0.' + password + '}').format(1)", "return ak_user_by(nope__x=password).name", "return chr(password)", "return user.attributes[password]",
	} {
		_, err := e.Eval(t.Context(), "public", "\n\n"+src, env)
		var plain *expression.Error
		switch {
		case err == nil:
			t.Errorf("%s: no error", src)
		case strings.Contains(err.Error(), secret):
			t.Errorf("%s: the error holds the secret: %v", src, err)
		case !errors.As(err, &plain) || plain.Line < 3 || plain.Line > 4:
			t.Errorf("%s: the error names no line, or a wrong one: %v", src, err)
		}
	}
	// The control: what stands in the source itself is shown.
	for src, want := range map[string]string{
		"raise ValueError('no role')":        "line 1: ValueError: no role",
		"x = 1\nreturn {}['aws_role']":       "line 2: KeyError: 'aws_role' is not in the dict",
		"assert False, 'must not be'":        "line 1: AssertionError: must not be",
		"return nobody":                      "line 1: name 'nobody' is not defined",
		"def f():\n    return q\nreturn f()": "line 2: name 'q' is not defined",
		"return user.nope":                   "line 1: AttributeError: 'User' object has no attribute 'nope'",
	} {
		if _, err := e.Eval(t.Context(), "public", src, env); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", src, err, want)
		}
	}
	// The directory's own errors are logged, and not shown.
	var log strings.Builder
	e.Log = slog.New(slog.NewTextHandler(&log, nil))
	broken := &expression.Evaluator{Directory: &directory{err: errors.New("near WHERE name = " + secret)}, Log: e.Log}
	_, err := broken.Eval(t.Context(), "public", "return ak_user_by(username='x')", env)
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(log.String(), secret) {
		t.Errorf("error %v, log %s", err, log.String())
	}
}

// E-05: dates and durations are values: no run changes one that another holds, and none
// reads a clock, a zone or a file but those it is given.
func TestDatesAreValues(t *testing.T) {
	d := people()
	at := time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)
	e := &expression.Evaluator{Directory: d, Log: quiet(), Now: func() time.Time { return at }}
	env := d.env(t, "jo")
	for _, src := range []string{
		"now().year = 1999", "datetime.now = 5", "datetime.year = 1", "timedelta.days = 1", "d = now()\nd.hour += 1", "user.date_joined.year = 1", "del now().year", "ZoneInfo.key = 'x'", "d = date(2026, 1, 1)\nd.day = 2",
		"return ZoneInfo('/usr/share/zoneinfo/UTC')", "return ZoneInfo('../UTC')", "return ZoneInfo('Europe/../UTC')", "return ZoneInfo('./UTC')", "return ZoneInfo('file:UTC')", "return ZoneInfo('UTC\\x00')", "return ZoneInfo('x' * 100000)", "return ZoneInfo('localtime')",
		"return datetime.strptime('x', '%s')", "return datetime.fromtimestamp(10 ** 30)", "return timedelta(days=10 ** 12)", "return datetime.min - timedelta(days=1)", "return date(2026, 13, 1)", "return datetime(10 ** 20, 1, 1)",
	} {
		if v, err := e.Eval(t.Context(), "public", src, env); err == nil {
			t.Errorf("%s gives %v", src, v)
		} else if strings.Contains(err.Error(), "internal") || strings.Contains(err.Error(), "/usr/") {
			t.Errorf("%s: %v", src, err)
		}
	}
	for range 2 { // the second run sees what the first one saw
		got, err := e.Eval(t.Context(), "public", "d = now()\ne = d\nd += timedelta(hours=1)\nreturn [d.hour, e.hour, now().hour, d.replace(year=1999).year, d.year]", env)
		if err != nil || fmt.Sprint(got) != "[9 8 8 1999 2026]" {
			t.Errorf("%v, %v", got, err)
		}
	}
	at = at.Add(2 * time.Hour) // the control: it is this clock that is read
	if got, err := e.Eval(t.Context(), "public", "return now().hour", env); err != nil || got != int64(10) {
		t.Errorf("control: %v, %v", got, err)
	}
}

// E-08: a policy that raises, runs too long or is no program is an error, and never a yes.
func TestPoliciesFailClosed(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet(), Policies: policies{"yes": "return True", "fails": "raise ValueError('x')"}}
	env := d.env(t, "jo")
	for _, src := range []string{
		"raise ValueError('x')", "return 1 / 0", "return True\n)", "return nobody", "while True:\n    pass", "return ak_call_policy('fails')", "return not ak_call_policy('fails').passing", "return ak_call_policy('yes') and ak_call_policy('nobody')",
		"ak_message('x')\nraise ValueError('x')", "return not [x for x in range(10 ** 9)]", "return now() < datetime.nope", "raise SkipObject", "return user.nope or True", "return True or {}['x'] if {}['x'] else True",
	} {
		if passed, _, err := e.EvaluatePolicy(t.Context(), "public", src, env); err == nil || passed {
			t.Errorf("%s: %v, %v", src, passed, err)
		}
	}
	if passed, _, err := e.EvaluatePolicy(t.Context(), "public", "return ak_call_policy('yes').passing", env); err != nil || !passed { // the control
		t.Errorf("control: %v, %v", passed, err)
	}
}

// E-10, for policies: each run has its own context and messages. Run with -race.
func TestPoliciesInParallel(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet(), Policies: policies{"adds": "context['n'] = context.get('n', 0) + 1\nak_message('called')\nreturn True"}}
	env := d.env(t, "jo")
	env.Context = m{"given": l{int64(1)}}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			src := "ak_message('hello ' + user.username)\ncontext['given'].append(2)\nreturn ak_call_policy('adds') and ak_call_policy('adds') and context['n'] == 2 and len(context['given']) == 2"
			passed, said, err := e.EvaluatePolicy(context.Background(), "public", src, env)
			if err != nil || !passed || len(said) == 0 || said[0] != "hello jo" {
				t.Errorf("%v %v, %v", passed, said, err)
			}
		})
	}
	wg.Wait()
	if fmt.Sprint(env.Context) != "map[given:[1]]" {
		t.Errorf("the runs share their context: %v", env.Context)
	}
}

// E-10: many runs of one program at once. Run with -race.
func TestParallel(t *testing.T) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	env := d.env(t, "jo")
	env.Request = &core.RequestInfo{Host: "a.test", Scheme: "https", URI: "/x?a=1", ClientIP: netip.MustParseAddr("192.0.2.1")}
	src := `
out = []
for i in range(20):
    out.append(f"{i:>3}")
def f(x=[]):
    x.append(len(x))
    return x
return [len(out), f(), f(), user.group_attributes()["aws_role"], regex_replace("a1b2", "[0-9]", "#"), [g.name for g in user.all_groups()], http_request.GET["a"]]
`
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 5 {
				got, err := e.Eval(context.Background(), "public", src, env)
				if want := "[20 [0 1] [0 1] staff a#b# [Minio users Staff] 1]"; err != nil || fmt.Sprint(got) != want {
					t.Errorf("got %v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}
