package caddymodule_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Every Caddyfile and JSON snippet in the documentation is valid, and as `caddy fmt` writes it.
func TestDocumentedSnippets(t *testing.T) {
	files, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?ms)^```(caddyfile|json)\n(.*?)^```$")
	found := 0
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
			found++
			first, _, _ := strings.Cut(m[2], "\n")
			if m[1] == "json" {
				var config caddy.Config
				if err := json.Unmarshal([]byte(m[2]), &config); err != nil {
					t.Errorf("%s, the snippet that begins with %q: %v", file, first, err)
				}
				continue
			}
			if got := string(caddyfile.Format([]byte(m[2]))); got != m[2] {
				t.Errorf("%s, the snippet that begins with %q is not as `caddy fmt` writes it:\n%s", file, first, got)
			}
			_, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(m[2]), map[string]any{"filename": file})
			if err != nil || len(warnings) > 0 {
				t.Errorf("%s, the snippet that begins with %q: %v %v", file, first, err, warnings)
			}
		}
	}
	if found == 0 {
		t.Error("no snippet was found: the search has lost its way")
	}
}
