package expression_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// FuzzRewrite: whatever the source, the parser ends soon, does not panic, and puts the
// error on a line that the source has; lines put before the source move it by as many.
func FuzzRewrite(f *testing.F) {
	for _, src := range []string{
		seedMinioPolicy, seedMinioGroups, seedAWSRole, seedAWSGroupRole, seedAWSRoles, seedAWSSession, seedAWSSCIM,
		"return f'{x!r:>{w}}' 'b' rf\"\\d{y['k']}\"", "for a, (b, *c) in d:\n\tyield a if b else c\n", "x: int = 1; x **= 2; return not x is None, *y, {**z, 'a': 1}",
		"def f(a, *b, c=1, **d):\n    return lambda q, w=2: (n := q) + w\n", "return [x for y in z if y for x in y if x], {a: b for a, b in c}, {d for d in e}", "if a:\n  b\nelif c: d\nelse:\n  e",
		"raise ValueError('x') from y", "del a[0], b['c']", "assert a, 'b'", "return '''\n''' \\\n + \"\\x41\\u0042\"", "while (a := b()) and c < d <= e: break", "try:\n  x\nexcept: y", "return 0x_f + 1_0.5e-3 + .5", "\tx = 1\n\treturn x",
		"import x", "x = (\n", "f'{'", "f'{x!}'", "f'{x:{'", "f'''{\n'''", "a = b = c, d = e", "(a, [b, c[0]]), d = x", "return a[b:c:d], a[:], a[::-1]",
	} {
		f.Add(src)
	}
	for _, p := range expression.Defaults() {
		f.Add(p.Expression)
	}
	e := &expression.Evaluator{Log: quiet()}
	f.Fuzz(func(t *testing.T, src string) {
		var err error
		if took := cpuTime(func() { err = e.Check(src) }); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if err == nil {
			return
		}
		var syntax *expression.SyntaxError
		if !errors.As(err, &syntax) {
			t.Fatalf("not a syntax error: %v", err)
		}
		if strings.Contains(syntax.Message, "cannot be compiled") {
			t.Fatal(err)
		}
		lines := 1 + strings.Count(src, "\n") + strings.Count(src, "\r")
		if syntax.Line < 1 || syntax.Line > lines+1 {
			t.Fatalf("%v, but the source has %d lines", err, lines)
		}
		if len(src) < 60<<10 && !strings.Contains(src, "\ufeff") && !strings.Contains(src, "\x00") && !strings.Contains(err.Error(), "not UTF-8") && !strings.Contains(err.Error(), "is empty") {
			var moved *expression.SyntaxError
			if err := e.Check("# one\n\n# three\n" + src); !errors.As(err, &moved) || moved.Line != syntax.Line+3 || moved.Message != syntax.Message {
				t.Fatalf("%v became %v three lines further down", syntax, err)
			}
		}
	})
}

// FuzzEval: whatever runs ends, and fails in an orderly way.
func FuzzEval(f *testing.F) {
	for _, src := range bombs() {
		f.Add(src)
	}
	for _, p := range expression.Defaults() {
		f.Add(p.Expression)
	}
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	groups, _ := d.UserGroups(context.Background(), "public", "u1")
	env := expression.Env{User: &d.users[0], Groups: groups, Request: &core.RequestInfo{Host: "a.test", Scheme: "https", URI: "/"}}
	f.Fuzz(func(t *testing.T, src string) {
		var err error
		if took := cpuTime(func() { _, err = e.Eval(context.Background(), "public", src, env) }); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		var syntax *expression.SyntaxError
		var failed *expression.Error
		if err != nil && !errors.As(err, &syntax) && !errors.As(err, &failed) {
			t.Fatalf("%T: %v", err, err)
		}
		if err != nil && (strings.Contains(err.Error(), "internal error") || strings.Contains(err.Error(), "cannot be compiled")) {
			t.Fatal(err)
		}
	})
}
