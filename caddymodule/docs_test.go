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
	found, fenced := 0, false
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			// What is not said to be a Caddyfile is not held to be one.
			if !strings.HasPrefix(line, "```") {
				continue
			}
			if fenced = !fenced; fenced && line == "```" {
				t.Errorf("%s:%d: a snippet that does not say what it is: write ```caddyfile, ```sh, ```text, …", file, i+1)
			}
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
			if host := unserved(m[2]); host != "" {
				t.Errorf("%s, the snippet that begins with %q: a browser gets no certificate for %s", file, first, host)
			}
		}
	}
	if found == 0 {
		t.Error("no snippet was found: the search has lost its way")
	}
}

// unserved is the host of a snippet's origin if no site of it is of that host, and none gets its certificates
// at the first visit: `tls internal` at a site of any host has none.
func unserved(snippet string) string {
	origin := regexp.MustCompile(`(?m)^\t\torigin https://([^\s:]+)$`).FindStringSubmatch(snippet)
	if origin == nil || strings.Contains(snippet, "\n\t\ton_demand\n") || regexp.MustCompile(`(?m)^(\S+, )*`+regexp.QuoteMeta(origin[1])+`[ ,]`).MatchString(snippet) {
		return ""
	}
	return origin[1]
}

// The check is one: what looks right and fails at the handshake is found.
func TestUnserved(t *testing.T) {
	const global = "{\n\tpostern {\n\t\torigin https://auth.example.com\n\t}\n}\n\n"
	for sites, want := range map[string]string{
		":443 {\n\ttls internal\n\tpostern\n}\n":                  "auth.example.com",
		"https:// {\n\ttls internal\n\tpostern\n}\n":              "auth.example.com",
		"https:// {\n\ttls {\n\t\ton_demand\n\t}\n\tpostern\n}\n": "",
		"auth.example.com {\n\tpostern\n}\n":                      "",
		"www.example.com, auth.example.com {\n\tpostern\n}\n":     "",
		"auth.example.com.other {\n\tpostern\n}\n":                "auth.example.com",
	} {
		if got := unserved(global + sites); got != want {
			t.Errorf("%s: %q", sites, got)
		}
	}
}
