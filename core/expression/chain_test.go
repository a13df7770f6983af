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
