package api_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// shapes.json has, for each kind of answer, the type of each member, as
// authentik's published schema of 2026.2 has it, together with the required ones
// of 2025.2: "req" must be there, "null" may be null. The real client refuses
// whatever breaks this.
//
//go:embed testdata/shapes.json
var shapesJSON []byte

func shapes(t testing.TB) map[string]map[string]string {
	t.Helper()
	var out map[string]map[string]string
	if err := json.Unmarshal(shapesJSON, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

var uuidText = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// misfits tells where v is not of the shape.
func misfits(all map[string]map[string]string, v any, shape, path string) []string {
	o, isObject := v.(map[string]any)
	if !isObject {
		return []string{path + " is no object"}
	}
	var out []string
	for name, spec := range all[shape] {
		words := strings.Fields(spec)
		member, there := o[name]
		switch {
		case !there && slices.Contains(words, "req"):
			out = append(out, path+"."+name+" is missing")
		case !there:
		case member == nil && !slices.Contains(words, "null"):
			out = append(out, path+"."+name+" is null")
		case member != nil:
			out = append(out, mistyped(all, member, words[0], path+"."+name)...)
		}
	}
	return out
}

func mistyped(all map[string]map[string]string, v any, kind, path string) []string {
	wrong := []string{fmt.Sprintf("%s is %v, not of type %s", path, v, kind)}
	if item, isList := strings.CutPrefix(kind, "["); isList {
		items, ok := v.([]any)
		if !ok {
			return wrong
		}
		var out []string
		for i, w := range items {
			out = append(out, mistyped(all, w, strings.TrimSuffix(item, "]"), fmt.Sprintf("%s[%d]", path, i))...)
		}
		return out
	}
	if values, isEnum := strings.CutPrefix(kind, "enum("); isEnum {
		if s, ok := v.(string); !ok || !slices.Contains(strings.Split(strings.TrimSuffix(values, ")"), "|"), s) {
			return wrong
		}
		return nil
	}
	if _, named := all[kind]; named {
		return misfits(all, v, kind, path)
	}
	base, format, _ := strings.Cut(kind, ":")
	ok := false
	switch base {
	case "any":
		ok = true
	case "object":
		_, ok = v.(map[string]any)
	case "boolean":
		_, ok = v.(bool)
	case "number":
		_, ok = v.(float64)
	case "integer":
		n, isNumber := v.(float64)
		ok = isNumber && n == math.Trunc(n)
	case "string":
		s, isString := v.(string)
		ok = isString
		switch format {
		case "uuid":
			ok = ok && uuidText.MatchString(s)
		case "date-time":
			_, err := time.Parse(time.RFC3339, s)
			ok = ok && err == nil && strings.HasSuffix(s, "Z")
		}
	}
	if !ok {
		return wrong
	}
	return nil
}

// fits fails the test where v is not of the shape.
func (e *env) fits(v any, shape string) {
	e.Helper()
	all := shapes(e.TB)
	if all[shape] == nil {
		e.Fatalf("there is no shape %s", shape)
	}
	for _, m := range misfits(all, v, shape, shape) {
		e.Error(m)
	}
}

// fitsList does so for a list: the envelope and every row.
func (e *env) fitsList(v map[string]any, shape string) {
	e.Helper()
	for _, key := range []string{"pagination", "results", "autocomplete"} {
		if v[key] == nil {
			e.Errorf("the list has no %s", key)
		}
	}
	e.fits(v["pagination"], "Pagination")
	rows, _ := v["results"].([]any)
	for _, row := range rows {
		e.fits(row, shape)
	}
}

// TestShapeChecker: the checker finds each kind of mistake, so that its silence
// means something.
func TestShapeChecker(t *testing.T) {
	all := shapes(t)
	good := func() map[string]any {
		return map[string]any{"pk": 1.0, "username": "a", "name": "b", "uid": "c", "last_login": nil}
	}
	if m := misfits(all, good(), "PartialUser", ""); m != nil {
		t.Fatal(m)
	}
	for name, spoil := range map[string]func(map[string]any){
		"missing":   func(o map[string]any) { delete(o, "uid") },
		"null":      func(o map[string]any) { o["uid"] = nil },
		"type":      func(o map[string]any) { o["pk"] = "1" },
		"fraction":  func(o map[string]any) { o["pk"] = 1.5 },
		"date-time": func(o map[string]any) { o["last_login"] = "yesterday" },
		"no Z":      func(o map[string]any) { o["last_login"] = "2026-01-01T00:00:00+01:00" },
	} {
		o := good()
		spoil(o)
		if misfits(all, o, "PartialUser", "") == nil {
			t.Errorf("%s was not found", name)
		}
	}
	if mistyped(all, "weird", all["Flow"]["layout"], "") == nil || mistyped(all, "x", "string:uuid", "") == nil {
		t.Error("an unknown choice or a bad UUID was not found")
	}
}
