package core

import (
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold is the form in which names are matched and sorted: NFKC, Unicode case
// folding, no white space around. It is computed here and stored, so that every
// backend finds and orders alike whatever its collation.
func Fold(s string) string {
	s = strings.TrimSpace(s)
	if isASCII(s) { // most names: a fiftieth of the work
		return strings.ToLower(s)
	}
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(s)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
