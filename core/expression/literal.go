package expression

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// stringStart recognises the start of a string literal: its prefix in lower case and
// its quotes.
func stringStart(s string) (prefix, quotes string, ok bool) {
	i := 0
	for i < len(s) && i < 3 && strings.IndexByte("rRbBuUfF", s[i]) >= 0 {
		i++
	}
	if i >= len(s) || s[i] != '"' && s[i] != '\'' {
		return "", "", false
	}
	prefix = strings.ToLower(s[:i])
	switch prefix {
	case "", "r", "u", "f", "fr", "rf", "b", "br", "rb":
	default:
		return "", "", false
	}
	if strings.HasPrefix(s[i:], strings.Repeat(s[i:i+1], 3)) {
		return prefix, s[i : i+3], true
	}
	return prefix, s[i : i+1], true
}

// stringLiteral reads a string (Python Language Reference §2.5).
func (l *lexer) stringLiteral(prefix, quotes string) error {
	if strings.Contains(prefix, "b") {
		return l.fail(l.line, "bytes literals are not available: write a string, without the b")
	}
	t := token{kind: kindString, line: l.line, col: int32(l.pos - l.start + 1)} //nolint:gosec // a source is at most 64 KiB
	raw := strings.Contains(prefix, "r")
	l.pos += len(prefix) + len(quotes)
	if strings.Contains(prefix, "f") {
		if l.nested >= maxFStrings {
			return l.fail(l.line, "f-strings are nested more than 4 deep")
		}
		t.kind = kindFString
		f := &fstring{lexer: l, quotes: quotes, raw: raw}
		parts, err := f.parts(0)
		if err != nil {
			return err
		}
		t.parts = parts
		l.pos += len(quotes)
		return l.add(t)
	}
	begin := l.pos
	for {
		if l.pos >= len(l.src) || l.src[l.pos] == '\n' && len(quotes) == 1 {
			return l.fail(t.line, "this string is never closed")
		}
		if strings.HasPrefix(l.src[l.pos:], quotes) {
			break
		}
		l.advance()
	}
	text, err := unescape(l.src[begin:l.pos], raw)
	if err != "" {
		return l.fail(t.line, err)
	}
	l.pos += len(quotes)
	t.text = text
	return l.add(t)
}

// advance passes one character of a string, or an escape of two.
func (l *lexer) advance() {
	if l.src[l.pos] == '\\' && l.pos+1 < len(l.src) {
		l.pos++
	}
	if l.src[l.pos] == '\n' {
		l.newline()
	} else {
		l.pos++
	}
}

// unescape resolves the escapes of a string literal; the second result says what is
// wrong with it.
func unescape(s string, raw bool) (string, string) {
	if raw || !strings.Contains(s, `\`) {
		return s, ""
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		size := 0
		switch c := s[i]; c {
		case '\n':
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'a', 'b', 'f', 'n', 'r', 't', 'v':
			b.WriteByte("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c)])
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n := 1
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			v, _ := strconv.ParseUint(s[i:i+n], 8, 32)
			b.WriteRune(rune(v)) //nolint:gosec // three octal digits
			i += n - 1
		case 'x':
			size = 2
		case 'u':
			size = 4
		case 'U':
			size = 8
		case 'N':
			return "", `\N{…} is not available: write the character, or \uXXXX`
		default: // Python keeps an unknown escape as it is
			b.WriteByte('\\')
			b.WriteByte(c)
		}
		if size > 0 {
			v, err := strconv.ParseUint(s[i+1:min(len(s), i+1+size)], 16, 32)
			if err != nil || len(s) < i+1+size || v > utf8.MaxRune {
				return "", `\` + s[i:i+1] + " needs " + strconv.Itoa(size) + " hexadecimal digits of a Unicode character"
			}
			b.WriteRune(rune(v))
			i += size
		}
	}
	return b.String(), ""
}

// numberLiteral reads an integer or a float (Python Language Reference §2.6).
func (l *lexer) numberLiteral() error {
	rest := l.src[l.pos:]
	n, float, hex := 0, false, len(rest) > 1 && rest[0] == '0' && strings.IndexByte("xXoObB", rest[1]) >= 0
	for n < len(rest) {
		c := rest[n]
		switch {
		case !hex && (c == 'e' || c == 'E'):
			float = true
			if n+1 < len(rest) && (rest[n+1] == '+' || rest[n+1] == '-') {
				n++
			}
		case !hex && c == '.':
			float = true
		case c >= '0' && c <= '9', c == '_', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		default:
			c = 0
		}
		if c == 0 {
			break
		}
		n++
	}
	text := rest[:n]
	t := token{kind: kindInt, line: l.line, col: int32(l.pos - l.start + 1)} //nolint:gosec // a source is at most 64 KiB
	if n > maxDigits {
		return l.fail(l.line, "this number has too many digits")
	}
	digits := strings.ReplaceAll(text, "_", "")
	switch i, err := strconv.ParseInt(digits, 0, 64); {
	case float:
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil && !math.IsInf(f, 0) || strings.ContainsAny(digits, "xXpP") {
			return l.fail(l.line, text+" is not a number")
		}
		t.kind, t.number = kindFloat, f
	case len(digits) > 1 && digits[0] == '0' && !hex && strings.Trim(digits, "0") != "":
		return l.fail(l.line, "a number may not begin with 0: write 0o"+strings.TrimLeft(digits, "0")+" for an octal one")
	case err == nil:
		t.number = i
	default:
		b, ok := new(big.Int).SetString(digits, 0)
		if !ok {
			return l.fail(l.line, text+" is not a number")
		}
		if tooLarge(b) {
			return l.fail(l.line, "this number has too many digits")
		}
		t.number = b
	}
	l.pos += n
	return l.add(t)
}
