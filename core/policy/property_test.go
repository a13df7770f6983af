package policy_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestDecideProperty holds the engine against the plain meaning of its words: any is or,
// all is and, over all bindings in whatever order.
func TestDecideProperty(t *testing.T) {
	results := map[string]bool{
		"user:alice": true, "user:bob": false, "group:staff": true, "group:people": true, "group:board": false,
		"policy:yes": true, "policy:no": false, "policy:say hello": false,
		"gone user:bob": false, "gone group:staff": false, "gone policy:yes": false,
	}
	rapid.Check(t, func(r *rapid.T) {
		mode := rapid.SampledFrom([]string{"any", "all"}).Draw(r, "mode")
		var texts []string
		anyPass, allPass := false, true
		for range rapid.IntRange(0, 8).Draw(r, "bindings") {
			text := rapid.SampledFrom([]string{
				"user:alice", "user:bob", "group:staff", "group:people", "group:board", "policy:yes", "policy:no", "policy:say hello",
				"policy:raise", "gone user:bob", "gone group:staff", "gone policy:yes",
			}).Draw(r, "binding")
			negate, failure := rapid.Bool().Draw(r, "negate"), rapid.Bool().Draw(r, "failure_result")
			pass := results[text] != negate
			switch text {
			case "policy:raise":
				pass = failure
			case "gone group:staff", "gone policy:yes":
				pass = false
			}
			anyPass, allPass = anyPass || pass, allPass && pass
			gone, is := strings.CutPrefix(text, "gone ")
			text = gone
			if negate {
				text = "!" + text
			}
			if failure {
				text = "+" + text
			}
			if is {
				text = "gone " + text
			}
			texts = append(texts, text)
		}
		want := mode == "any" && anyPass || mode == "all" && allPass || len(texts) == 0
		w := newWorld(t)
		w.bind(texts...)
		d, err := w.Decide(t.Context(), "public", request(mode))
		if err != nil || d.Allowed != want {
			r.Fatalf("%s of %q: allowed %v, want %v, %v\n%s", mode, texts, d.Allowed, want, err, strings.Join(d.Trace(), "\n"))
		}
		decides := 0
		for _, s := range d.Steps {
			if s.Decides {
				decides++
			}
		}
		if decides > 1 || len(d.Steps) != len(texts) || d.Reason == "" {
			r.Fatalf("%d of %d steps decide: %q", decides, len(d.Steps), d.Reason)
		}
	})
}
