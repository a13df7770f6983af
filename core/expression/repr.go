package expression

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// str is str(v).
func (r *run) str(v starlark.Value) string {
	switch v := v.(type) {
	case starlark.String:
		return string(v)
	case *object:
		if v.text != nil {
			s := v.text()
			r.alloc(len(s))
			return s
		}
	case *exception:
		if len(v.args) == 1 {
			return r.str(v.args[0])
		}
		if len(v.args) == 0 {
			return ""
		}
		return r.repr(v.args)
	}
	return r.repr(v)
}

// repr is repr(v), as Python writes it.
func (r *run) repr(v starlark.Value) string {
	w := &writer{r: r}
	w.write(v)
	return w.b.String()
}

// writer builds a text, charging what it adds.
type writer struct {
	r    *run
	b    strings.Builder
	path []starlark.Value // what is being written, to notice a list within itself
}

func (w *writer) add(s string) {
	w.r.alloc(3 * len(s)) // and what growing by doubling throws away
	w.r.charge(3)
	w.b.WriteString(s)
}

func (w *writer) write(v starlark.Value) {
	switch v := v.(type) {
	case starlark.String:
		w.quote(string(v))
	case starlark.NoneType:
		w.add("None")
	case starlark.Bool:
		if v {
			w.add("True")
		} else {
			w.add("False")
		}
	case starlark.Int:
		w.integer(v)
	case starlark.Float:
		w.add(floatText(float64(v)))
	case *rangeValue:
		w.add("range(" + itoa(v.start) + ", " + itoa(v.stop))
		if v.step != 1 {
			w.add(", " + itoa(v.step))
		}
		w.add(")")
	case *list, *dict, *set, starlark.Tuple, *query:
		w.container(v)
	case *object:
		if v.repr != nil {
			w.add(v.repr())
		} else if v.text != nil {
			w.add("<" + v.kind + ": " + v.text() + ">")
		} else {
			w.add("<" + v.kind + ">")
		}
	case *exception:
		w.add(v.kind + "(")
		w.items(v.args)
		w.add(")")
	case *builtin:
		if isType(v) {
			w.add("<class '" + v.name + "'>")
		} else {
			w.add("<function " + v.name + ">")
		}
	case *starlark.Function:
		w.add("<function " + v.Name() + ">")
	default:
		w.add("<" + typeName(v) + ">")
	}
}

func (w *writer) integer(v starlark.Int) {
	if n, ok := v.Int64(); ok {
		w.add(strconv.FormatInt(n, 10))
		return
	}
	w.r.charge(3000) // 8192 bits to decimal
	w.add(v.String())
}

// container writes what holds other values. One that shares parts may be exponentially
// larger in text than in memory; the charge ends it.
func (w *writer) container(v starlark.Value) {
	_, isTuple := v.(starlark.Tuple) // cannot hold itself, and cannot be compared
	if !isTuple {
		for _, outer := range w.path {
			w.r.charge(1)
			if _, ok := outer.(starlark.Tuple); !ok && outer == v {
				if _, isDict := v.(*dict); isDict {
					w.add("{...}")
				} else {
					w.add("[...]") // a set cannot hold itself
				}
				return
			}
		}
	}
	if len(w.path) > maxData {
		fail("RecursionError: values nested too deep are written")
	}
	w.path = append(w.path, v)
	switch v := v.(type) {
	case *list:
		w.add("[")
		w.items(v.items)
		w.add("]")
	case starlark.Tuple:
		w.add("(")
		w.items(v)
		if len(v) == 1 {
			w.add(",")
		}
		w.add(")")
	case *dict:
		w.add("{")
		w.entries(&v.table, true)
		w.add("}")
	case *set:
		switch {
		case v.frozen:
			w.add("frozenset(")
			if v.live > 0 {
				w.add("{")
				w.entries(&v.table, false)
				w.add("}")
			}
			w.add(")")
		case v.live == 0:
			w.add("set()")
		default:
			w.add("{")
			w.entries(&v.table, false)
			w.add("}")
		}
	case *query:
		w.add("<QuerySet [")
		for i, o := range v.items {
			if i > 0 {
				w.add(", ")
			}
			w.write(o)
		}
		w.add("]>")
	}
	w.path = w.path[:len(w.path)-1]
}

func (w *writer) items(items []starlark.Value) {
	for i, v := range items {
		if i > 0 {
			w.add(", ")
		}
		w.write(v)
	}
}

func (w *writer) entries(t *table, values bool) {
	first := true
	for _, e := range t.entries {
		if e.dead {
			continue
		}
		if !first {
			w.add(", ")
		}
		first = false
		w.write(e.key)
		if values {
			w.add(": ")
			w.write(e.value)
		}
	}
}

// quote writes a string as Python does: in single quotes, unless it holds some and no
// double ones.
func (w *writer) quote(s string) {
	w.r.charge(len(s))
	w.r.alloc(6 * len(s))
	q := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = '"'
	}
	b := make([]byte, 0, len(s)+2)
	b = append(b, q)
	for _, c := range s {
		switch {
		case c == '\\' || c == rune(q):
			b = append(b, '\\')
			b = utf8.AppendRune(b, c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == ' ' || unicode.IsPrint(c):
			b = append(b, string(c)...)
		case c < 0x100:
			b = append(b, `\x`+hex(c, 2)...)
		case c < 0x10000:
			b = append(b, `\u`+hex(c, 4)...)
		default:
			b = append(b, `\U`+hex(c, 8)...)
		}
	}
	w.b.Write(append(b, q))
}

func hex(c rune, width int) string {
	s := strconv.FormatInt(int64(c), 16)
	return strings.Repeat("0", max(0, width-len(s))) + s
}

// floatText is repr() of a float: the shortest text that reads back, with an exponent
// where Python has one.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(s, "e")
	e, _ := strconv.Atoi(exponent)
	if e < -4 || e >= 16 {
		return mantissa + "e" + exponent // Go and Python both write two digits at least
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// asciiText is ascii(): a repr with only ASCII in it.
func asciiText(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c < 0x80:
			b.WriteRune(c)
		case c < 0x100:
			b.WriteString(`\x` + hex(c, 2))
		case c < 0x10000:
			b.WriteString(`\u` + hex(c, 4))
		default:
			b.WriteString(`\U` + hex(c, 8))
		}
	}
	return b.String()
}
