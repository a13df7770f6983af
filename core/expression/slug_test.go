package expression_test

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/postern-sso/postern/core/expression"
)

// The table of slugify is complete: for every character it keeps the ASCII of its
// compatibility decomposition, as Django does.
func TestSlugifyUnicode(t *testing.T) {
	slugify, wrong := expression.Slugify(), 0
	for c := rune(0x80); c < 0x20000; c++ { // beyond are ideographs alone
		if c >= 0xD800 && c < 0xE000 {
			continue
		}
		var want strings.Builder
		for _, d := range norm.NFKD.String(string(c)) {
			if d < 0x80 && (d == '_' || unicode.IsLetter(d) || unicode.IsDigit(d)) {
				want.WriteRune(unicode.ToLower(d))
			}
		}
		if got := strings.NewReplacer("-", "").Replace(slugify("a" + string(c) + "a")); got != "a"+want.String()+"a" {
			if wrong++; wrong < 20 {
				t.Errorf("%U %c: %q, want %q", c, c, got, want.String())
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d characters are wrong", wrong)
	}
}

// casefold agrees with Unicode's full case folding, up to canonical equivalence.
func TestCasefoldUnicode(t *testing.T) {
	fold, wrong := cases.Fold(), 0
	for c := rune(0); c <= unicode.MaxRune; c++ {
		if c >= 0xD800 && c < 0xE000 {
			continue
		}
		if c >= 0x13A0 && c <= 0x13F5 {
			continue // Cherokee folds to its capitals (CaseFolding.txt); x/text turns them around
		}
		if got, want := norm.NFC.String(expression.Casefold(string(c))), norm.NFC.String(fold.String(string(c))); got != want {
			if wrong++; wrong < 150 {
				t.Errorf("%U %c: %q, want %q", c, c, got, want)
			}
		}
	}
}
