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
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(strings.TrimSpace(s))))
}
