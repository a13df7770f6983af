package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/postern-sso/postern/caddymodule"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const ruler = "----------\n"

// Each file is a Caddyfile, a ruler, and the JSON it stands for, or a part of the error with
// which it is refused.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			input, want, ok := strings.Cut(string(text), ruler)
			if !ok {
				t.Fatal("no ruler")
			}
			got, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
			if err != nil {
				got = []byte(err.Error())
			} else {
				var out bytes.Buffer
				if err := json.Indent(&out, got, "", "\t"); err != nil {
					t.Fatal(err)
				}
				got = out.Bytes()
				for _, w := range warnings {
					t.Errorf("warning: %s", w.Message)
				}
				if formatted := caddyfile.Format([]byte(input)); string(formatted) != input {
					t.Errorf("it is not as `caddy fmt` writes it:\n%s", formatted)
				}
			}
			if *update {
				if err := os.WriteFile(name, []byte(input+ruler+string(got)+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if strings.TrimSpace(want) != string(got) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			// What refuses names the file and the line.
			if err != nil && !regexp.MustCompile(`Caddyfile:\d+`).MatchString(err.Error()) {
				t.Errorf("no file and line in %q", err)
			}
		})
	}
}

// The shipped example is valid, formatted, and shows no secret.
func TestExampleAdapts(t *testing.T) {
	t.Setenv("POSTERN_PORT", "")
	text, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	if string(caddyfile.Format(text)) != string(text) {
		t.Error("Caddyfile.example is not as `caddy fmt` writes it")
	}
	out, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": "Caddyfile.example"})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %v", err, warnings)
	}
	if !strings.Contains(string(out), `"postern_auth"`) || !strings.Contains(string(out), `"data":"./data"`) {
		t.Errorf("it adapts to %s", out)
	}
}

// A secret that is named, and not written, is not in what `caddy adapt` prints.
func TestAdaptShowsNoSecret(t *testing.T) {
	t.Setenv("POSTERN_SECRET", "an-actual-secret-of-some-length-0123456789")
	for _, ref := range []string{"{env.POSTERN_SECRET}", "env://POSTERN_SECRET"} {
		out, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\n\tpostern {\n\t\tsecret "+ref+"\n\t}\n}\n"), nil)
		if err != nil || strings.Contains(string(out), "actual") || !strings.Contains(string(out), "POSTERN_SECRET") {
			t.Errorf("%s: %s %v", ref, out, err)
		}
	}
	// Control: the form that Caddy expands while it reads the file shows it.
	out, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\n\tpostern {\n\t\tsecret {$POSTERN_SECRET}\n\t}\n}\n"), nil)
	if err != nil || !strings.Contains(string(out), "actual") {
		t.Errorf("control: %s %v", out, err)
	}
}
