package caddymodule_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/postern-sso/postern/caddymodule"
)

// Every Caddyfile in the documentation can be copied: it is adapted without an
// error or a warning, and formatted as `caddy fmt` would.
func TestDocumentedCaddyfiles(t *testing.T) {
	documents, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	snippets := map[string][]byte{}
	for _, name := range documents {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(text), "```caddyfile\n")[1:] {
			body, _, ok := strings.Cut(part, "```")
			if !ok {
				t.Fatalf("%s: a Caddyfile does not end", name)
			}
			snippets[filepath.Base(name)+"#"+string(rune('1'+i))] = []byte(body)
		}
	}
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	snippets["Caddyfile.example"] = example
	if len(snippets) < 3 {
		t.Fatalf("only %d snippets were found", len(snippets))
	}
	for name, body := range snippets {
		t.Run(name, func(t *testing.T) {
			_, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(body, map[string]any{"filename": name})
			if err != nil {
				t.Error(err)
			}
			for _, w := range warnings {
				t.Error(w)
			}
			if formatted := caddyfile.Format(body); !bytes.Equal(formatted, body) {
				t.Errorf("caddy fmt would write:\n%s", formatted)
			}
		})
	}
}
