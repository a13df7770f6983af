package expression

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"
)

// Limits of regular expressions. RE2's time is linear in pattern times text; these
// bound the pattern.
const (
	maxPattern  = 1000 // bytes
	maxProgram  = 3000 // instructions, repetition written out
	maxPatterns = 256  // compiled ones kept
)

// pattern is a compiled regular expression and what a character of text costs it.
type pattern struct {
	re   *regexp.Regexp
	size int  // instructions at most
	far  bool // a search may read far beyond what it finds
	err  string
}

// patterns keeps compiled patterns: most are constants of a mapping.
type patterns struct {
	mu sync.Mutex
	m  map[string]*pattern
}

func newPatterns() *patterns { return &patterns{m: map[string]*pattern{}} }

// pattern compiles, and charges as if it always did.
func (r *run) pattern(source string) *pattern {
	if len(source) > maxPattern {
		fail("a regular expression may have at most %d characters", maxPattern)
	}
	r.charge(100 * len(source))
	r.alloc(500 * len(source))
	r.patterns.mu.Lock()
	p := r.patterns.m[source]
	r.patterns.mu.Unlock()
	if p == nil {
		p = compilePattern(source)
		r.patterns.mu.Lock()
		if len(r.patterns.m) >= maxPatterns {
			clear(r.patterns.m)
		}
		r.patterns.m[source] = p
		r.patterns.mu.Unlock()
	}
	if p.err != "" {
		fail("ValueError: the regular expression is not valid: %s", p.err)
	}
	r.charge(20 * p.size)
	r.alloc(150 * p.size)
	return p
}

func compilePattern(source string) *pattern {
	translated, why := translatePattern(source)
	if why != "" {
		return &pattern{err: why}
	}
	tree, err := syntax.Parse(translated, syntax.Perl)
	if err != nil {
		code := "invalid"
		if e, ok := err.(*syntax.Error); ok { //nolint:errorlint // Parse returns this type
			code = string(e.Code)
		}
		return &pattern{err: code}
	}
	p := &pattern{}
	p.size = measure(tree)
	p.far = loops(tree) && !loopOfOne(tree)
	if p.size > maxProgram {
		return &pattern{err: "its repetitions make it too large"}
	}
	if p.re, err = regexp.Compile(translated); err != nil {
		return &pattern{err: "it is too large"}
	}
	return p
}

// measure counts instructions with repetition written out.
func measure(t *syntax.Regexp) int {
	n := 2
	switch t.Op {
	case syntax.OpLiteral:
		n += len(t.Rune)
	case syntax.OpCharClass:
		n += len(t.Rune) / 50
	}
	for _, sub := range t.Sub {
		n += measure(sub)
	}
	if t.Op == syntax.OpRepeat {
		n *= max(t.Min, t.Max, 1) + 1
	}
	return min(n, 1<<20)
}

// loops reports whether a pattern repeats something without a bound.
func loops(t *syntax.Regexp) bool {
	if t.Op == syntax.OpStar || t.Op == syntax.OpPlus || t.Op == syntax.OpRepeat && t.Max < 0 {
		return true
	}
	return slices.ContainsFunc(t.Sub, loops)
}

// loopOfOne reports whether a pattern is one class of characters, repeated: it stops
// reading at the first other one.
func loopOfOne(t *syntax.Regexp) bool {
	for t.Op == syntax.OpCapture || t.Op == syntax.OpPlus {
		t = t.Sub[0]
	}
	switch t.Op {
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpLiteral:
		return len(t.Rune) == 1
	}
	return false
}

// cost charges one search through n bytes.
func (r *run) cost(p *pattern, n int) { r.charge((n+1)*p.size/2 + 50) }

// regexMatch is re.search(regex, value) as a bool.
func regexMatch(r *run, a *args) starlark.Value {
	b := a.bind(2, "value", "regex")
	s := r.str(b[0])
	p := r.pattern(a.text(b[1], "regex", ""))
	r.cost(p, len(s))
	r.alloc(len(s)/2 + 256)
	return starlark.Bool(p.re.MatchString(s))
}

// regexReplace is re.sub(regex, repl, value).
func regexReplace(r *run, a *args) starlark.Value {
	b := a.bind(3, "value", "regex", "repl")
	s := r.str(b[0])
	p := r.pattern(a.text(b[1], "regex", ""))
	repl := template(a.text(b[2], "repl", ""), p.re)
	r.alloc(2*len(s) + 256)
	w := &writer{r: r}
	end := 0
	for _, m := range r.matches(p, s) {
		w.add(s[end:m[0]])
		for _, piece := range repl {
			r.charge(2)
			switch {
			case piece.group < 0:
				w.add(piece.text)
			case m[2*piece.group] >= 0:
				w.add(s[m[2*piece.group]:m[2*piece.group+1]])
			}
		}
		end = m[1]
	}
	w.add(s[end:])
	return starlark.String(w.b.String())
}

// matches finds all matches. A search may read to the end of the text whatever it
// finds, so a search for n of them is charged as n; n grows until there are no more.
func (r *run) matches(p *pattern, s string) [][]int {
	for n := 2; ; n *= 4 {
		n = min(n, len(s)+2)
		searches := n
		if !p.far {
			searches = 2
			r.charge(100 * n)
		}
		for range searches {
			r.cost(p, len(s))
		}
		r.alloc(n * (32 + 16*(p.re.NumSubexp()+1)))
		found := p.re.FindAllStringSubmatchIndex(s, n)
		if len(found) < n {
			return found
		}
	}
}

// piece of a replacement: text, or a group where group is not negative.
type piece struct {
	text  string
	group int
}

// template reads Python's replacement syntax: \1, \g<1>, \g<name>, \\ and \n.
func template(s string, re *regexp.Regexp) []piece {
	var out []piece
	group := func(name string) {
		n, rest := leadingInt(name)
		if rest != "" || name == "" {
			n = re.SubexpIndex(name)
		}
		if n < 0 || n > re.NumSubexp() {
			fail("ValueError: the replacement names a group that the regular expression does not have")
		}
		out = append(out, piece{group: n})
	}
	text := func(s string) {
		if s != "" {
			out = append(out, piece{text: s, group: -1})
		}
	}
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+1 == len(s) {
			text(s)
			return out
		}
		text(s[:i])
		c := s[i+1]
		s = s[i+2:]
		switch {
		case c >= '1' && c <= '9':
			digits := string(c)
			if s != "" && s[0] >= '0' && s[0] <= '9' {
				digits, s = digits+s[:1], s[1:]
			}
			group(digits)
		case c == 'g' && strings.HasPrefix(s, "<") && strings.Contains(s, ">"):
			name, rest, _ := strings.Cut(s[1:], ">")
			group(name)
			s = rest
		case strings.IndexByte("abfnrtv", c) >= 0:
			text("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c):][:1])
		case c == '\\':
			text(`\`)
		default:
			text(`\` + string(c))
		}
	}
}
