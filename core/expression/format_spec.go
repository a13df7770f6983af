package expression

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// spec is a format specification (Python Library Reference, "Format Specification
// Mini-Language").
type spec struct {
	fill      string
	align     byte // '<', '>', '=', '^' or 0
	sign      byte // '+', '-', ' ' or 0
	alternate bool
	width     int
	group     string // "", "," or "_"
	precision int    // -1: none
	digits    int    // of an integer, at least: the precision of %d
	verb      byte   // 0: none
}

// maxPrecision bounds the digits of one number; Python has no bound.
const maxPrecision = 400

func parseSpec(s string) spec {
	f := spec{fill: " ", precision: -1}
	filled := false
	if r, n := utf8.DecodeRuneInString(s); n > 0 && n < len(s) && strings.IndexByte("<>=^", s[n]) >= 0 {
		f.fill, f.align, s, filled = string(r), s[n], s[n+1:], true
	} else if s != "" && strings.IndexByte("<>=^", s[0]) >= 0 {
		f.align, s = s[0], s[1:]
	}
	if s != "" && strings.IndexByte("+- ", s[0]) >= 0 {
		f.sign, s = s[0], s[1:]
	}
	s = strings.TrimPrefix(s, "z")
	if strings.HasPrefix(s, "#") {
		f.alternate, s = true, s[1:]
	}
	if strings.HasPrefix(s, "0") {
		if s = s[1:]; !filled {
			f.fill = "0"
		}
		if f.align == 0 {
			f.align = '='
		}
	}
	f.width, s = leadingInt(s)
	if s != "" && (s[0] == ',' || s[0] == '_') {
		f.group, s = s[:1], s[1:]
	}
	if strings.HasPrefix(s, ".") {
		digits := s[1:]
		if f.precision, s = leadingInt(digits); len(s) == len(digits) {
			fail("ValueError: a format specification has no digits after its point")
		}
	}
	if len(s) > 1 || s != "" && strings.IndexByte("bcdeEfFgGnosxX%", s[0]) < 0 {
		fail("ValueError: invalid format specification")
	}
	if s != "" {
		f.verb = s[0]
	}
	return f
}

// leadingInt reads digits; a number that is beyond any budget stays beyond it.
func leadingInt(s string) (int, string) {
	n, i := 0, 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		n = min(n*10+int(s[i]-'0'), far)
		i++
	}
	return n, s[i:]
}

// format is format(v, spec).
func (r *run) format(v starlark.Value, text string) string {
	if text == "" {
		return r.str(v)
	}
	f := parseSpec(text)
	r.charge(10)
	switch v := v.(type) {
	case starlark.String:
		return r.formatString(string(v), f)
	case starlark.Bool, starlark.Int, starlark.Float:
	default:
		fail("TypeError: unsupported format specification for %s: use str(…) or !s first", quote(typeName(v)))
	}
	if i, ok := asInt(v); ok && (f.verb == 0 || strings.IndexByte("bcdnoxX", f.verb) >= 0) {
		return r.formatInt(i, f)
	}
	if strings.IndexByte("bcdoxXs", f.verb) >= 0 && f.verb != 0 {
		fail("ValueError: unknown format code '%c' for %s", f.verb, quote(typeName(v)))
	}
	return r.formatFloat(asFloat(v), f)
}

func (r *run) formatString(s string, f spec) string {
	if f.verb != 0 && f.verb != 's' {
		fail("ValueError: unknown format code '%c' for 'str'", f.verb)
	}
	if f.sign != 0 || f.align == '=' && f.fill != "0" || f.group != "" || f.alternate {
		fail("ValueError: this format specification is not for strings")
	}
	r.charge(len(s))
	if f.precision >= 0 {
		s = s[:byteOffset(s, f.precision)]
	}
	if f.align == 0 || f.align == '=' {
		f.align = '<'
	}
	return r.pad("", s, f)
}

// pad fills to the width; prefix is the sign, which '=' keeps in front.
func (r *run) pad(prefix, s string, f spec) string {
	n := f.width - runeCount(prefix) - runeCount(s)
	if n <= 0 {
		r.alloc(len(prefix) + len(s))
		return prefix + s
	}
	if n > maxBytes {
		r.alloc(n) // refused
	}
	r.alloc(2*n*len(f.fill) + len(prefix) + len(s))
	switch f.align {
	case '<':
		return prefix + s + strings.Repeat(f.fill, n)
	case '^':
		return strings.Repeat(f.fill, n/2) + prefix + s + strings.Repeat(f.fill, n-n/2)
	case '=':
		return prefix + strings.Repeat(f.fill, n) + s
	}
	return strings.Repeat(f.fill, n) + prefix + s
}

func (r *run) formatInt(i starlark.Int, f spec) string {
	if f.precision >= 0 {
		fail("ValueError: precision is not allowed for an integer")
	}
	if f.group == "," && f.verb != 0 && f.verb != 'd' || f.group == "_" && (f.verb == 'c' || f.verb == 'n') {
		fail("ValueError: the group separator is not allowed with '%c'", f.verb)
	}
	r.charge(200)
	r.alloc(maxIntBits / 2)
	b := i.BigInt()
	negative := b.Sign() < 0
	b.Abs(b)
	prefix, base, size := "", 10, 3
	switch f.verb {
	case 'b':
		prefix, base, size = "0b", 2, 4
	case 'o':
		prefix, base, size = "0o", 8, 4
	case 'x', 'X':
		prefix, base, size = "0"+string(f.verb), 16, 4
	case 'c':
		n, ok := i.Int64()
		if f.sign != 0 || f.alternate {
			fail("ValueError: neither a sign nor # is allowed with 'c'")
		}
		if !ok || n < 0 || n > utf8.MaxRune {
			fail("OverflowError: %%c needs a Unicode character's number")
		}
		return r.pad("", string(rune(n)), f)
	}
	if b.BitLen() > 64 {
		r.charge(3000)
	}
	s := b.Text(base)
	if f.verb == 'X' {
		s = strings.ToUpper(s)
	}
	if !f.alternate {
		prefix = ""
	}
	if f.digits > len(s) {
		r.alloc(2 * f.digits)
		s = strings.Repeat("0", f.digits-len(s)) + s
	}
	prefix = signOf(negative, f) + prefix
	s = r.grouped(prefix, s, "", f, size)
	if f.align == 0 {
		f.align = '>'
	}
	return r.pad(prefix, s, f)
}

func signOf(negative bool, f spec) string {
	switch {
	case negative:
		return "-"
	case f.sign == '+' || f.sign == ' ':
		return string(f.sign)
	}
	return ""
}

// grouped puts separators between groups of digits from the right. Zeros that fill up to
// the width are grouped as well.
func (r *run) grouped(prefix, digits, rest string, f spec, size int) string {
	if f.group == "" {
		return digits + rest
	}
	if f.fill == "0" && f.align == '=' {
		room := f.width - len(prefix) - len(rest)
		r.alloc(4 * max(0, room))
		for n := len(digits); n < room; n = len(digits) {
			missing := room - n - (n-1)/size
			if missing <= 0 {
				break
			}
			digits = strings.Repeat("0", max(1, missing*size/(size+1))) + digits
		}
	}
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%size == 0 {
			b.WriteString(f.group)
		}
		b.WriteRune(c)
	}
	return b.String() + rest
}

func (r *run) formatFloat(x float64, f spec) string {
	if f.precision > maxPrecision {
		fail("ValueError: precision above %d", maxPrecision)
	}
	r.charge(100)
	r.alloc(2 * 1100)
	prefix := signOf(math.Signbit(x) && !math.IsNaN(x), f)
	s := floatDigits(math.Abs(x), f)
	if f.verb == 'E' || f.verb == 'F' || f.verb == 'G' {
		s = strings.ToUpper(s)
	}
	end := strings.IndexFunc(s, func(c rune) bool { return c < '0' || c > '9' })
	if end < 0 {
		end = len(s)
	}
	if end > 0 { // not inf or nan
		s = r.grouped(prefix, s[:end], s[end:], f, 3)
	}
	if f.align == 0 {
		f.align = '>'
	}
	return r.pad(prefix, s, f)
}

// floatDigits writes a float that is not negative.
func floatDigits(x float64, f spec) string {
	percent := ""
	if f.verb == '%' {
		percent = "%"
		x *= 100
	}
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return floatText(x) + percent
	}
	precision := f.precision
	if precision < 0 {
		precision = 6
	}
	var s string
	switch f.verb {
	case 'e', 'E':
		s = strconv.FormatFloat(x, 'e', precision, 64)
	case '%', 'f', 'F':
		s = strconv.FormatFloat(x, 'f', precision, 64)
	case 0:
		if s = floatText(x); f.precision >= 0 {
			s = general(x, max(1, precision), 1, f.alternate)
		}
	default:
		s = general(x, max(1, precision), 0, f.alternate)
	}
	if f.alternate && !strings.Contains(s, ".") { // # keeps the point
		mantissa, exponent, ok := strings.Cut(s, "e")
		if s = mantissa + "."; ok {
			s += "e" + exponent
		}
	}
	return s + percent
}

// general is %g: the shorter of %e and %f, without trailing zeros unless they are to be
// kept. With point 1 it is str's way: the exponent comes one digit sooner, and there
// is always a digit after the point.
func general(x float64, precision, point int, keep bool) string {
	e := strconv.FormatFloat(x, 'e', precision-1, 64)
	mantissa, exponent, _ := strings.Cut(e, "e")
	n, _ := strconv.Atoi(exponent)
	trim := func(s string) string {
		if keep || !strings.Contains(s, ".") {
			return s
		}
		return strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if n < -4 || n >= precision-point {
		return trim(mantissa) + "e" + exponent
	}
	s := trim(strconv.FormatFloat(x, 'f', precision-1-n, 64))
	if point > 0 && !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
