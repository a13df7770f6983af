package expression_test

import (
	"context"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core/expression"
)

// A chain of attributes on one line is called at once, finds the same as one name a line, and is charged the same;
// an error names the line and the attribute.
func TestChainOfAttributes(t *testing.T) {
	e := &expression.Evaluator{Log: quiet()}
	var work, bytes int
	e.OnSpent(func(w, b int, _ uint64) { work, bytes = w, b })
	for _, n := range []int{1, 2, 7, 8, 9, 40} {
		inner := expression.Object{Type: "Link", Attributes: map[string]any{"end": "here"}}
		for range n {
			inner = expression.Object{Type: "Link", Attributes: map[string]any{"next": inner}}
		}
		env := expression.Env{Vars: map[string]any{"link": inner}}
		run := func(between, last string) (any, error) {
			return e.Eval(context.Background(), "public", "return (link"+strings.Repeat(between+"next", n)+between+last+")", env)
		}
		v, err := run(".", "end")
		if v != "here" || err != nil {
			t.Fatalf("%d: %v, %v", n, v, err)
		}
		oneWork, oneBytes := work, bytes
		if v, err := run("\n.", "end"); v != "here" || err != nil || work != oneWork || bytes != oneBytes {
			t.Errorf("%d: on lines of their own %v, %v; charged %d and %d, on one line %d and %d", n, v, err, work, bytes, oneWork, oneBytes)
		}
		if _, err := run(".", "wrong"); err == nil || err.Error() != "line 1: AttributeError: 'Link' object has no attribute 'wrong'" {
			t.Errorf("%d: %v", n, err)
		}
	}
	if _, err := e.Eval(context.Background(), "public", "return (user.name\n.wrong)", expression.Env{User: &people().users[0]}); err == nil || !strings.HasPrefix(err.Error(), "line 2: AttributeError: 'str'") {
		t.Errorf("on the second line: %v", err)
	}
}

// Whatever the name is with which a chain begins: the caller's, a variable, a parameter, one that := sets, or nobody's.
func TestChainBegins(t *testing.T) {
	e := &expression.Evaluator{Log: quiet()}
	link := func(name string, v any) expression.Object {
		return expression.Object{Type: "Link", Attributes: map[string]any{name: v}}
	}
	env := expression.Env{Vars: map[string]any{"a": link("b", link("c", "given"))}, User: &people().users[0]}
	for src, want := range map[string]string{
		"return a.b.c":                                  "given",
		"return (a\n.b\n.c)":                            "given",
		"return (a).b.c":                                "given",
		"return (a.b).c":                                "given",
		"x = a\nreturn x.b.c":                           "given",
		"a = a.b\nreturn a.c":                           "given",
		"if a.b:\n    a = a.b\nreturn a.c":              "given",
		"return (x := a.b).c":                           "given",
		"return (x := a).b.c + x.b.c":                   "givengiven",
		"return [y.b.c for y in [a]][0]":                "given",
		"return [a.b.c for y in [a]][0]":                "given",
		"return (lambda a: a.c)(a.b)":                   "given",
		"return (lambda: a.b.c)()":                      "given",
		"return a.b.c.upper().lower()":                  "given",
		"return f'{a.b.c}'":                             "given",
		"def f(a):\n    return a.c\nreturn f(a.b)":      "given",
		"return request.user.username == user.username": "true",
		"return nobody.b.c":                             "line 1: name 'nobody' is not defined",
		"return (nobody\n.b)":                           "line 1: name 'nobody' is not defined",
		"x = 1\nreturn a.x.c":                           "line 2: AttributeError: 'Link' object has no attribute 'x'",
		"return a.b.c.d.e":                              "line 1: AttributeError: 'str' object has no attribute 'd'",
		"return requests.get.x":                         "line 1: requests is not available: expressions have no network",
		"a.b = 1\nreturn a":                             "line 1: attributes cannot be set: objects are read-only",
		"a.b.c += 1\nreturn a":                          "line 1: attributes cannot be set: objects are read-only",
	} {
		v, err := e.Eval(context.Background(), "public", src, env)
		got, _ := v.(string)
		switch {
		case err != nil:
			got = err.Error()
		case v == true:
			got = "true"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", src, got, want)
		}
	}
}
