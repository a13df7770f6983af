package expression

import (
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	kindEOF kind = iota
	kindNewline
	kindIndent
	kindDedent
	kindName
	kindInt
	kindFloat
	kindString
	kindFString
	kindOp
)

// token is a word of the source. text is a name or an operator as written, or the
// value of a string.
type token struct {
	kind      kind
	line, col int32
	text      string
	number    any // int64, *big.Int or float64
	parts     []part
}

// part of an f-string: literal text, or a replacement field.
type part struct {
	text  string // literal, where expr is nil
	expr  []token
	line  int32
	conv  string // "", "r", "s" or "a"
	spec  []part
	debug string // "{x=}": the text to show before the value
}

// Limits of a source. They bound what compiling may cost: compiling is linear in the
// tokens, and recursion follows the nesting.
const (
	maxSource   = 64 << 10 // bytes
	maxTokens   = 10_000
	maxIndent   = 50
	maxFStrings = 4 // f-strings within f-strings
	maxDigits   = 2_400
	maxIntBits  = 8192
	maxNesting  = 100 // brackets within brackets, and other nesting of expressions
	maxHeight   = 400 // of the tree of one expression
	maxElif     = 200
)

// lexer splits Python source into tokens (Python Language Reference §2).
type lexer struct {
	src      string
	pos      int
	line     int32
	start    int // offset of the line's first byte
	brackets []byte
	indents  []int
	tokens   []token
	nested   int  // f-strings around this source
	inline   bool // the source is a field of an f-string
	count    *int // tokens so far, those of fields included
}

func tokenize(src string) ([]token, error) {
	if len(src) > maxSource {
		return nil, &SyntaxError{1, "the expression is longer than 64 KiB"}
	}
	if i := strings.IndexByte(src, 0); i >= 0 || !utf8.ValidString(src) {
		return nil, &SyntaxError{1, "the expression is not text: it holds a zero byte or is not UTF-8"}
	}
	src = strings.TrimPrefix(src, "\uFEFF")
	if strings.Contains(src, "\r") {
		src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	}
	count := 0
	l := &lexer{src: src, line: 1, count: &count}
	return l.run()
}

func (l *lexer) fail(line int32, msg string) error { return &SyntaxError{int(line), msg} }

func (l *lexer) add(t token) error {
	if *l.count++; *l.count > maxTokens {
		return l.fail(t.line, "the expression has more than 10,000 words and signs")
	}
	l.tokens = append(l.tokens, t)
	return nil
}

func (l *lexer) op(kind kind, text string) error {
	return l.add(token{kind: kind, line: l.line, col: int32(l.pos - l.start + 1), text: text}) //nolint:gosec // a source is at most 64 KiB
}

func (l *lexer) newline() {
	l.pos++
	l.line++
	l.start = l.pos
}

func (l *lexer) run() ([]token, error) {
	fresh := !l.inline // at the start of a logical line
	for {
		if fresh && len(l.brackets) == 0 {
			blank, err := l.indentation()
			if err != nil {
				return nil, err
			}
			fresh = false
			if blank {
				if l.pos >= len(l.src) {
					break
				}
				l.newline()
				fresh = true
				continue
			}
		}
		if l.pos >= len(l.src) {
			break
		}
		c := l.src[l.pos]
		switch c {
		case '\n':
			if len(l.brackets) == 0 && !l.inline {
				if err := l.op(kindNewline, "end of line"); err != nil {
					return nil, err
				}
				fresh = true
			}
			l.newline()
		case ' ', '\t', '\f':
			l.pos++
		case '#':
			for l.pos < len(l.src) && l.src[l.pos] != '\n' {
				l.pos++
			}
		case '\\':
			if l.pos+1 >= len(l.src) || l.src[l.pos+1] != '\n' {
				return nil, l.fail(l.line, "a backslash outside a string may stand only at the end of a line")
			}
			l.pos++
			l.newline()
		default:
			if err := l.word(c); err != nil {
				return nil, err
			}
		}
	}
	return l.finish()
}

func (l *lexer) finish() ([]token, error) {
	if len(l.brackets) > 0 {
		return nil, l.fail(l.line, "'"+string(l.brackets[len(l.brackets)-1])+"' is never closed")
	}
	if !l.inline {
		if n := len(l.tokens); n > 0 && l.tokens[n-1].kind != kindNewline {
			if err := l.op(kindNewline, "end of line"); err != nil {
				return nil, err
			}
		}
		for range max(0, len(l.indents)-1) {
			if err := l.op(kindDedent, "end of block"); err != nil {
				return nil, err
			}
		}
	}
	err := l.op(kindEOF, "end of expression")
	return l.tokens, err
}

// indentation reads the white space a line begins with. The first line sets the base:
// the source is the body of a function, so it may be indented as a whole.
func (l *lexer) indentation() (blank bool, err error) {
	width := 0
	for l.pos < len(l.src) {
		switch l.src[l.pos] {
		case ' ':
			width++
		case '\t':
			width = (width/8 + 1) * 8
		case '\f':
			width = 0
		case '#':
			for l.pos < len(l.src) && l.src[l.pos] != '\n' {
				l.pos++
			}
			return true, nil
		case '\n':
			return true, nil
		default:
			return false, l.indent(width)
		}
		l.pos++
	}
	return true, nil
}

func (l *lexer) indent(width int) error {
	if len(l.indents) == 0 {
		l.indents = append(l.indents, width)
		return nil
	}
	top := l.indents[len(l.indents)-1]
	if width > top {
		if len(l.indents) > maxIndent {
			return l.fail(l.line, "blocks are nested more than 50 deep")
		}
		l.indents = append(l.indents, width)
		return l.op(kindIndent, "indented block")
	}
	for width < top {
		l.indents = l.indents[:len(l.indents)-1]
		if len(l.indents) == 0 {
			return l.fail(l.line, "this line is indented less than the first one")
		}
		top = l.indents[len(l.indents)-1]
		if err := l.op(kindDedent, "end of block"); err != nil {
			return err
		}
	}
	if width != top {
		return l.fail(l.line, "the indentation does not match any outer block")
	}
	return nil
}

func (l *lexer) word(c byte) error {
	rest := l.src[l.pos:]
	if prefix, quotes, ok := stringStart(rest); ok {
		return l.stringLiteral(prefix, quotes)
	}
	if c >= '0' && c <= '9' || c == '.' && len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9' {
		return l.numberLiteral()
	}
	if r, _ := utf8.DecodeRuneInString(rest); r == '_' || unicode.IsLetter(r) {
		n := 0
		for i, r := range rest {
			if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) {
				break
			}
			n = i + utf8.RuneLen(r)
		}
		err := l.op(kindName, rest[:n])
		l.pos += n
		return err
	}
	for n := 3; n > 0; n-- {
		if n <= len(rest) && isOperator(rest[:n]) {
			if err := l.bracket(rest[0]); err != nil {
				return err
			}
			err := l.op(kindOp, rest[:n])
			l.pos += n
			return err
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return l.fail(l.line, "the character "+string(r)+" has no meaning here")
}

func (l *lexer) bracket(c byte) error {
	switch c {
	case '(', '[', '{':
		if len(l.brackets) >= maxNesting {
			return l.fail(l.line, "brackets are nested more than 100 deep")
		}
		l.brackets = append(l.brackets, c)
	case ')', ']', '}':
		open := map[byte]byte{')': '(', ']': '[', '}': '{'}[c]
		n := len(l.brackets)
		if n == 0 || l.brackets[n-1] != open {
			return l.fail(l.line, "'"+string(c)+"' closes nothing")
		}
		l.brackets = l.brackets[:n-1]
	}
	return nil
}

func isOperator(s string) bool {
	switch s {
	case "**=", "//=", ">>=", "<<=", "...",
		"**", "//", ">>", "<<", "<=", ">=", "==", "!=", "->", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", ":=", "@=",
		"+", "-", "*", "/", "%", "&", "|", "^", "~", "<", ">", "(", ")", "[", "]", "{", "}", ",", ":", ".", ";", "=", "@":
		return true
	}
	return false
}

// tooLarge refuses what is too large for any arithmetic here to be cheap.
func tooLarge(x *big.Int) bool { return x.BitLen() > maxIntBits }
