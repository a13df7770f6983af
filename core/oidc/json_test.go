package oidc_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core/oidc"
)

// same holds what is written against encoding/json.
func same(t *testing.T, v any) {
	t.Helper()
	want, wantErr := json.Marshal(v)
	got, err := oidc.AppendJSON([]byte("before"), v)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%#v: %v, and encoding/json says %v", v, err, wantErr)
	}
	if err == nil && string(got) != "before"+string(want) {
		t.Fatalf("%#v:\n%s\nencoding/json:\n%s", v, got, want)
	}
}

// What mappings give, and what this package adds, is written as encoding/json writes it.
func TestClaimsAreJSON(t *testing.T) {
	texts := []string{"", "plain", `"quoted"`, `back\slash`, "<b>&amp;</b>", "tab\tand\nline\x00\x1f\x7f", "Jörg 例 🦊", "\u2028\u2029", "half \xff\xc3 bytes", "\xed\xa0\x80", "~ "}
	for c := range 256 {
		texts = append(texts, "a"+string([]byte{byte(c)})+"b")
	}
	for _, s := range texts {
		same(t, s)
		same(t, []string{s, s})
		same(t, map[string]any{s: s, s + "2": []any{s, nil}})
	}
	for _, v := range []any{
		nil, true, false, int64(0), int64(math.MinInt64), int64(math.MaxInt64), 7, big.NewInt(0), new(big.Int).Lsh(big.NewInt(-3), 200), (*big.Int)(nil),
		0.0, 1.5, math.Copysign(0, -1), 1e21, 1e-7, 5e-324, math.MaxFloat64, math.NaN(), math.Inf(1), float32(0.1),
		[]string(nil), []string{}, []any(nil), []any{}, map[string]any(nil), map[string]any{},
		map[string]any{"b": int64(1), "a": map[string]any{"z": []any{[]any{}, map[string]any{}, 2.5}}, "": nil, "B": true},
		[]any{math.NaN()}, map[string]any{"x": []any{int64(1), math.Inf(-1)}}, map[string]any{"f": func() {}},
		struct {
			A string `json:"a,omitempty"`
			B []byte
		}{B: []byte("x")},
	} {
		same(t, v)
	}
	many := map[string]any{}
	for i := range 100 {
		many[strings.Repeat("n", i)] = int64(i)
	}
	same(t, many)
}

// A second part of claims, and the answer with the tokens, which need no escape, are as encoding/json has them too.
func TestAnswerIsJSON(t *testing.T) {
	for _, s := range []string{"", "x", "<&>", "é\xff\"\\\n"} {
		for _, refresh := range []string{"", "R3fresh"} {
			sent, want, err := oidc.Answer("eyJ-_.a.b", refresh, s+"s", "eyJ..c.d.e", math.MinInt64)
			if err != nil || !bytes.Equal(sent, want) {
				t.Errorf("%s\nencoding/json:\n%s, %v", sent, want, err)
			}
		}
		var claims map[string]any
		first := []byte(`{"a":"1"}`)
		all := oidc.With(first, "b", s, "c"+s, "2")
		if err := json.Unmarshal(all, &claims); err != nil || len(claims) != 3 || claims["b"] != strings.ToValidUTF8(s, "\ufffd") {
			t.Errorf("%s: %v, %v", all, claims, err)
		}
		if string(first) != `{"a":"1"}` {
			t.Errorf("the first part was changed: %s", first)
		}
	}
}

func FuzzClaims(f *testing.F) {
	for _, s := range []string{`{"sub":"alice","groups":["a","b"],"n":1.5,"deep":{"x":[null,true]}}`, `"\u2028<"`, `[1e300,-0]`, "\xff", `{"a":{"a":{"b":[[],{}]}}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		same(t, s)
		same(t, map[string]any{s: []any{s, []string{s}}})
		var v any
		if json.Unmarshal([]byte(s), &v) == nil {
			same(t, v)
		}
	})
}
