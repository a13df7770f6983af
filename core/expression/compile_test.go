package expression_test

import (
	"errors"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core/expression"
)

// compileBombs are sources that are all there is to the attack: they try to exhaust
// whoever reads them. Check sees sources that nobody has approved yet.
//
// Each repeats something: up to the limit of bytes, or up to the limit of words, just
// below which a source does most harm.
func compileBombs(words int) map[string]string {
	const n = 64 << 10
	word := regexp.MustCompile(`\w+|[^\w ]`)
	count := func(s string) int { return max(1, len(word.FindAllString(s, -1))) }
	fill := func(prefix, s, suffix string) string {
		return prefix + strings.Repeat(s, min((n-len(prefix)-len(suffix))/len(s), words/count(s))) + suffix
	}
	half := func(open, middle, closing string) string {
		k := min((n-16-len(middle))/(len(open)+len(closing)), words/count(open+closing))
		return "return " + strings.Repeat(open, k) + middle + strings.Repeat(closing, k)
	}
	var indented strings.Builder
	for i := range 300 {
		indented.WriteString(strings.Repeat(" ", i) + "if 1:\n")
	}
	return map[string]string{
		"parentheses":        half("(", "1", ")"),
		"brackets":           half("[", "1", "]"),
		"braces":             half("{1:", "1", "}"),
		"open brackets":      fill("return ", "[", ""),
		"open parentheses":   fill("return ", "f(", ""),
		"calls":              fill("return f", "()", ""),
		"subscripts":         fill("return f", "[0]", ""),
		"attributes":         fill("return f", ".a", ""),
		"not":                fill("return ", "not ", "1"),
		"minus":              fill("return ", "-", "1"),
		"tilde":              fill("return ", "~", "1"),
		"sum":                fill("return 1", "+1", ""),
		"product":            fill("return 1", "*1", ""),
		"powers":             fill("return 1", "**1", ""),
		"or":                 fill("return 1", " or 1", ""),
		"and":                fill("return 1", " and 1", ""),
		"comparisons":        fill("return 1", "<1", ""),
		"conditionals":       fill("return 1", " if 1 else 1", ""),
		"lambdas":            fill("return ", "lambda:", "1"),
		"lambdas with names": fill("return ", "lambda a:", "1"),
		"walrus":             fill("return ", "(a:=", "1"),
		"comprehension":      fill("return [1", " for a in b", "]"),
		"conditions":         fill("return [1 for a in b", " if a", "]"),
		"nested for":         half("[1 for a in ", "b", "]"),
		"long list":          fill("return [", "1,", "]"),
		"long tuple":         fill("return ", "1,", ""),
		"long dict":          fill("return {", "1:1,", "}"),
		"long set":           fill("return {", "1,", "}"),
		"long call":          fill("return f(", "1,", ")"),
		"named arguments":    fill("return f(", "a=1,", ")"),
		"stars":              fill("return f(", "*a,", ")"),
		"double stars":       fill("return f(", "**a,", ")"),
		"parameters":         fill("def f(", "a,", "): pass"),
		"functions":          fill("", "def f():pass\n", ""),
		"statements":         fill("", "a=1\n", ""),
		"semicolons":         fill("", "a;", ""),
		"targets":            fill("", "a=", "1"),
		"target tuple":       fill("", "a,", "=1"),
		"nested targets":     strings.Repeat("(", 30000) + "a" + strings.Repeat(",)", 10000) + "=1",
		"elif":               "if 1: pass\n" + strings.Repeat("elif 1: pass\n", 4000),
		"indentation":        indented.String() + strings.Repeat(" ", 300) + "pass\n",
		"nested blocks":      fill("", "if 1:", "pass"),
		"fields":             fill("return f'", "{a}", "'"),
		"nested fields":      "return " + strings.Repeat("f'{", 20000) + "1" + strings.Repeat("}'", 2000),
		"nested f-strings":   `return f"{f"{f"{f"{f"{f"{1}"}"}"}"}"}"`,
		"nested widths":      "return f'" + strings.Repeat("{1:", 20000) + strings.Repeat("}", 1000) + "'",
		"strings":            fill("return ", "''", ""),
		"long string":        fill("return '", "x", "'"),
		"long name":          fill("return ", "x", ""),
		"long number":        fill("return ", "9", ""),
		"long hexadecimal":   fill("return 0x", "f", ""),
		"long exponent":      fill("return 1e", "9", ""),
		"long line":          fill("", "x ", ""),
		"many names":         manyNames(8000),
		"closures":           closures(200),
		"backslashes":        fill("return 1", "\\\n", ""),
		"newlines":           fill("", "\n", ""),
		"comments":           fill("", "#\n", ""),
		"tabs":               fill("", "\t", "pass"),
		"escapes":            fill("return '", `\x41`, "'"),
		"open string":        fill("return '", "x", ""),
		"too long":           strings.Repeat("x", n+1),
		"zero bytes":         fill("", "\x00", ""),
		"invalid UTF-8":      fill("return '", "\xff", "'"),
		"at signs":           fill("", "@", ""),
		"yields":             fill("", "yield 1\n", ""),
		"assignments of all": fill("", "a,b=b,a\n", ""),
		"nested lambdas":     half("(lambda a:", "a", ")"),
		"dicts of dicts":     fill("return ", "{'a':", "1"),
		"loops":              fill("", "for a in b:pass\n", ""),
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("a" + strings.Repeat("b", i%7) + string(rune('a'+i%26)) + "=1\n")
	}
	return b.String()
}

// closures nests functions that all use the variables of all others.
func closures(n int) string {
	var b strings.Builder
	for i := range n {
		pad := strings.Repeat(" ", min(i, 49))
		b.WriteString(pad + "def f" + strings.Repeat("x", i%50) + "(a):\n" + pad + " b = a\n")
	}
	return b.String()
}

func TestCompileBombs(t *testing.T) {
	e := &expression.Evaluator{Log: quiet()}
	if err := e.Check("return 1"); err != nil { // what is made once is no part of the cost
		t.Fatal(err)
	}
	limit := 400 * time.Millisecond
	if raceDetector {
		limit = 4 * time.Second
	}
	all := compileBombs(1 << 20)
	for name, src := range compileBombs(9900) {
		all["fitting "+name] = src
	}
	for name, src := range all {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var err error
			took := cpuTime(func() { err = e.Check(src) })
			runtime.ReadMemStats(&after)
			bytes := after.TotalAlloc - before.TotalAlloc
			var syntax *expression.SyntaxError
			if err != nil && !errors.As(err, &syntax) {
				t.Errorf("not a syntax error: %v", err)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
			if bytes > 16<<20 && !raceDetector {
				t.Errorf("it allocated %d KB", bytes>>10)
			}
			if took > limit {
				t.Errorf("it took %v", took)
			}
			t.Logf("%6d KB %10v %v", bytes>>10, took, err)
		})
	}
}
