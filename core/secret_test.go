package core_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/postern-sso/postern/core"
)

// T-28: a secret that is printed, logged or marshalled by mistake does not show.
func TestSecretDoesNotShow(t *testing.T) {
	client := core.Client{ClientID: "app", Secret: "hunter2"}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("client", "secret", client.Secret, "client", client)
	fmt.Fprintf(&out, "%v %+v %#v %s %q", client, client, client.Secret, client.Secret, client.Secret)
	_ = json.NewEncoder(&out).Encode(client)
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("the secret shows: %s", out.String())
	}
	// The control: as plain text the same would show.
	out.Reset()
	fmt.Fprintf(&out, "%v", struct{ Secret string }{string(client.Secret)})
	if !strings.Contains(out.String(), "hunter2") {
		t.Error("this test could not find a secret that is there")
	}
}

// no duplicate, every character used, the length asked for.
func TestRandom(t *testing.T) {
	seen := map[string]bool{}
	letters := map[rune]int{}
	for range 20000 {
		s := core.RandomAlphanumeric(40)
		if len(s) != 40 || seen[s] {
			t.Fatalf("%q is short or came twice", s)
		}
		seen[s] = true
		for _, c := range s {
			letters[c]++
		}
	}
	if len(letters) != 62 {
		t.Errorf("%d different characters, want 62", len(letters))
	}
	for c, n := range letters { // expected 12903, standard deviation 113
		if n < 12000 || n > 13800 {
			t.Errorf("%q came %d times of 800000", c, n)
		}
	}
	if token := core.RandomToken(32); !regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(token) {
		t.Errorf("%q is not 32 bytes in URL-safe base64", token)
	}
}

func TestFold(t *testing.T) {
	for _, pair := range [][2]string{{"Alice", "alice "}, {"STRASSE", "straße"}, {"Ångström", "a\u030angström"}, {"ﬁ", "FI"}, {"Σίσυφος", "ΣΊΣΥΦΟΣ"}} {
		if core.Fold(pair[0]) != core.Fold(pair[1]) {
			t.Errorf("%q and %q are not the same name", pair[0], pair[1])
		}
	}
	for _, name := range []string{" Alice.B+c@EXAMPLE.com\t", "", "A B", "\x00\x7f"} { // the short way gives what the long one gives
		if short, long := core.Fold(name), strings.TrimSuffix(core.Fold(name+"é"), "é"); short != long && strings.TrimSpace(name) == name {
			t.Errorf("%q is folded to %q, and before an é to %q", name, short, long)
		}
	}
	if core.Fold("AWS SCIM User mapping") <= core.Fold("authentik default SCIM Mapping: User") {
		t.Error("a mapping called AWS… must come after authentik's default one")
	}
}
