package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"testing"
)

// builder is xcaddy's Builder as it is written to JSON.
type builder struct {
	CaddyVersion string `json:"caddy_version"`
	Plugins      []struct {
		ModulePath    string `json:"module_path"`
		ModuleVersion string `json:"module_version,omitempty"`
	} `json:"plugins"`
	Replacements json.RawMessage `json:"replacements,omitempty"`
}

// xcaddy builds with the Caddy that go.mod tests with.
func TestXcaddyVersion(t *testing.T) {
	text, err := os.ReadFile("../xcaddy.json")
	if err != nil {
		t.Fatal(err)
	}
	var b builder
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*github\.com/caddyserver/caddy/v2 (\S+)`).FindSubmatch(mod)
	if m == nil || string(m[1]) != b.CaddyVersion {
		t.Errorf("xcaddy.json builds Caddy %s, go.mod says %s", b.CaddyVersion, m)
	}
	if len(b.Plugins) != 1 || b.Plugins[0].ModulePath != "github.com/postern-sso/postern/caddymodule" {
		t.Errorf("plugins: %v", b.Plugins)
	}
}
