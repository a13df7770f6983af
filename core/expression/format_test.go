package expression_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/postern-sso/postern/core/expression"
)

// TestFormat compares formatting and arithmetic with CPython 3: testdata/format.json holds
// expressions and the text that each gave there, or null where it was an error.
func TestFormat(t *testing.T) {
	b, err := os.ReadFile("testdata/format.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases [][2]*string
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	e := &expression.Evaluator{Log: quiet()}
	for _, c := range cases {
		got, err := e.Eval(t.Context(), "public", "return "+*c[0], expression.Env{})
		switch {
		case c[1] == nil && err == nil:
			t.Errorf("%s: got %q, Python refuses it", *c[0], got)
		case c[1] != nil && (err != nil || got != *c[1]):
			t.Errorf("%s: got %q (%v), Python has %q", *c[0], got, err, *c[1])
		}
	}
}
