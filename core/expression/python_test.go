package expression_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core/expression"
)

// TestPython runs sources whose results CPython 3 computed: testdata/python.json holds each
// with what CPython's json made of its result, floats as their repr.
func TestPython(t *testing.T) {
	b, err := os.ReadFile("testdata/python.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Source string
		Want   any
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	e := &expression.Evaluator{}
	for _, c := range cases {
		name, _, _ := strings.Cut(strings.TrimSpace(c.Source), "\n")
		t.Run(name, func(t *testing.T) {
			got, err := e.Eval(t.Context(), "public", c.Source, expression.Env{})
			if err != nil {
				t.Fatalf("%v\n%s", err, c.Source)
			}
			compareJSON(t, "", got, c.Want)
		})
	}
}

func compareJSON(t *testing.T, path string, got, want any) {
	t.Helper()
	switch w := want.(type) {
	case json.Number:
		i, _ := new(big.Int).SetString(w.String(), 10)
		switch g := got.(type) {
		case int64:
			if i.Cmp(big.NewInt(g)) == 0 {
				return
			}
		case *big.Int:
			if i.Cmp(g) == 0 {
				return
			}
		}
	case map[string]any:
		if f, ok := w["__float__"].(string); ok {
			if g, ok := got.(float64); ok && (pythonFloat(g) == f) {
				return
			}
			break
		}
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			break
		}
		for k := range w {
			compareJSON(t, path+"."+k, g[k], w[k])
		}
		return
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			compareJSON(t, path+"["+strconv.Itoa(i)+"]", g[i], w[i])
		}
		return
	default:
		if reflect.DeepEqual(got, want) {
			return
		}
	}
	t.Errorf("%s: got %#v, Python has %v", path, got, want)
}

func pythonFloat(f float64) string {
	s := strconv.FormatFloat(f, 'g', 17, 64)
	for p := 1; p < 17; p++ {
		short := strconv.FormatFloat(f, 'g', p, 64)
		if g, _ := strconv.ParseFloat(short, 64); g == f {
			s = strconv.FormatFloat(f, 'f', -1, 64)
			if e := strconv.FormatFloat(f, 'e', -1, 64); f != 0 && (f >= 1e16 || f < 1e-4 && f > 0) {
				return e
			}
			break
		}
	}
	if !strings.ContainsAny(s, ".einf") {
		s += ".0"
	}
	return s
}

// A list or dict that holds itself is written as CPython writes it.
func TestReprOfCycle(t *testing.T) {
	e := &expression.Evaluator{}
	for src, want := range map[string]string{
		"l = [1]\nl.append(l)\nreturn str(l)":              "[1, [...]]",
		"d = {}\nd['x'] = d\nreturn repr(d)":               "{'x': {...}}",
		"l = []\nd = {'l': l}\nl.append(d)\nreturn f'{d}'": "{'l': [{...}]}",
	} {
		if got, err := e.Eval(t.Context(), "public", src, expression.Env{}); err != nil || got != want {
			t.Errorf("%s: %v (%v), want %s", src, got, err, want)
		}
	}
}
