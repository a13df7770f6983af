package expression

import (
	"strings"

	"go.starlark.net/starlark"
)

// formatMethod is str.format: fields name arguments, their attributes and items.
func (r *run) formatMethod(text string, a *args, named *dict) string {
	f := &formatter{r: r, a: a, named: named}
	return f.expand(text, 0)
}

type formatter struct {
	r      *run
	a      *args
	named  *dict
	next   int
	manual bool
}

func (f *formatter) expand(text string, depth int) string {
	if depth > 2 {
		fail("ValueError: format fields are nested too deep")
	}
	f.r.charge(len(text))
	w := &writer{r: f.r}
	for {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			w.add(text)
			return w.b.String()
		}
		w.add(text[:i])
		if i+1 < len(text) && text[i+1] == text[i] {
			w.add(text[i : i+1])
			text = text[i+2:]
			continue
		}
		if text[i] == '}' {
			fail("ValueError: a single '}' in a format string: write }} for the character")
		}
		end := matching(text[i:])
		if end < 0 {
			fail("ValueError: a '{' in a format string is never closed: write {{ for the character")
		}
		w.add(f.field(text[i+1:i+end], depth))
		text = text[i+end+1:]
	}
}

// matching is where the brace that s begins with closes.
func matching(s string) int {
	open := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	return -1
}

func (f *formatter) field(field string, depth int) string {
	name, spec, _ := strings.Cut(field, ":")
	name, conv, converted := strings.Cut(name, "!")
	v := f.value(name)
	if converted {
		v = starlark.String(f.r.convert(v, conv))
	}
	if strings.Contains(spec, "{") {
		spec = f.expand(spec, depth+1)
	}
	return f.r.format(v, spec)
}

// value finds "0", "name", "0.attr" or "name[key]".
func (f *formatter) value(name string) starlark.Value {
	i := strings.IndexAny(name, ".[")
	if i < 0 {
		i = len(name)
	}
	v, rest := f.argument(name[:i]), name[i:]
	for rest != "" {
		if rest[0] == '.' {
			rest = rest[1:]
			n := strings.IndexAny(rest, ".[")
			if n < 0 {
				n = len(rest)
			}
			v = f.r.computed(v, rest[:n])
			rest = rest[n:]
			continue
		}
		n := strings.IndexByte(rest, ']')
		if rest[0] != '[' || n < 0 {
			fail("ValueError: invalid field in a format string")
		}
		key := rest[1:n]
		if index, tail := leadingInt(key); tail == "" && key != "" {
			v = f.r.item(v, starlark.MakeInt(index), false)
		} else {
			v = f.r.item(v, starlark.String(key), false)
		}
		rest = rest[n+1:]
	}
	return v
}

func (f *formatter) argument(name string) starlark.Value {
	if name == "" {
		if f.manual {
			fail("ValueError: a format string numbers all of its fields or none")
		}
		f.next++
		return f.position(f.next - 1)
	}
	if n, rest := leadingInt(name); rest == "" {
		f.manual = true
		return f.position(n)
	}
	if f.named != nil {
		if v, ok := f.named.find(name); ok {
			return v
		}
	}
	for _, pair := range f.a.kw {
		if pair[0] == starlark.String(name) {
			return pair[1]
		}
	}
	fail("KeyError: a format string names an argument that was not given")
	return nil
}

func (f *formatter) position(n int) starlark.Value {
	if n >= len(f.a.pos) {
		fail("IndexError: a format string has more fields than there are arguments")
	}
	return f.a.pos[n]
}

// convert is !r, !s and !a.
func (r *run) convert(v starlark.Value, conv string) string {
	switch conv {
	case "r":
		return r.repr(v)
	case "s":
		return r.str(v)
	case "a":
		s := r.repr(v)
		r.charge(len(s))
		r.alloc(20 * len(s))
		return asciiText(s)
	}
	fail("ValueError: after ! only r, s and a are known")
	return ""
}

// percent is text % v.
func (r *run) percent(text string, v starlark.Value) string {
	r.charge(len(text))
	values, isTuple := v.(starlark.Tuple)
	if !isTuple {
		values = starlark.Tuple{v}
	}
	named, _ := v.(*dict)
	next := 0
	take := func() starlark.Value {
		if next >= len(values) {
			fail("TypeError: not enough values for the format string")
		}
		next++
		return values[next-1]
	}
	w := &writer{r: r}
	for {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			w.add(text)
			break
		}
		w.add(text[:i])
		text = text[i+1:]
		if strings.HasPrefix(text, "%") {
			w.add("%")
			text = text[1:]
			continue
		}
		var value starlark.Value
		if strings.HasPrefix(text, "(") {
			end := strings.IndexByte(text, ')')
			if end < 0 || named == nil {
				fail("TypeError: %%(name) in a format string needs a dict after %%")
			}
			value = r.item(named, starlark.String(text[1:end]), false)
			text = text[end+1:]
			next = len(values)
		}
		var out string
		out, text = r.directive(text, value, take)
		w.add(out)
	}
	if next < len(values) && (isTuple || named == nil) {
		fail("TypeError: not all values are used by the format string")
	}
	return w.b.String()
}

// directive writes one % directive, whose flags text begins with.
func (r *run) directive(text string, value starlark.Value, take func() starlark.Value) (out, rest string) {
	f := spec{fill: " ", align: '>', precision: -1}
	for ; text != "" && strings.IndexByte("-+ #0", text[0]) >= 0; text = text[1:] {
		switch text[0] {
		case '-':
			f.align = '<'
		case '0':
			if f.align == '>' {
				f.fill, f.align = "0", '='
			}
		case '#':
			f.alternate = true
		case '+':
			f.sign = '+'
		default:
			if f.sign == 0 {
				f.sign = ' '
			}
		}
	}
	number := func() int {
		if strings.HasPrefix(text, "*") {
			text = text[1:]
			i, ok := asInt(take())
			if !ok {
				fail("TypeError: * in a format string needs an integer")
			}
			return clamp(i)
		}
		n, tail := leadingInt(text)
		text = tail
		return n
	}
	if f.width = number(); f.width < 0 {
		f.align, f.width = '<', min(-f.width, far)
	}
	if strings.HasPrefix(text, ".") {
		text = text[1:]
		f.precision = max(0, number())
	}
	if text == "" {
		fail("ValueError: incomplete %% in a format string: write %%%% for the character")
	}
	verb := text[0]
	text = text[1:]
	if value == nil {
		value = take()
	}
	switch verb {
	case 's', 'r', 'a':
		if f.align == '=' {
			f.fill, f.align = " ", '>'
		}
		f.sign, f.alternate = 0, false
		return r.formatString(r.convert(value, string(verb)), f), text
	case 'd', 'i', 'u', 'o', 'x', 'X', 'c':
		if verb == 'c' {
			if f.fill, f.sign, f.alternate = " ", 0, false; f.align == '=' {
				f.align = '>'
			}
			if s, ok := value.(starlark.String); ok && runeCount(string(s)) == 1 {
				return r.pad("", string(s), f), text
			}
		}
		if x, ok := value.(starlark.Float); ok && strings.IndexByte("diu", verb) >= 0 {
			value = r.truncate(float64(x))
		}
		i, ok := asInt(value)
		if !ok {
			fail("TypeError: %%%c needs a number, not %s", verb, quote(typeName(value)))
		}
		f.verb = verb
		if strings.IndexByte("iu", verb) >= 0 {
			f.verb = 'd'
		}
		f.digits, f.precision = max(0, f.precision), -1
		return r.formatInt(i, f), text
	case 'e', 'E', 'f', 'F', 'g', 'G':
		if !isNumber(value) {
			fail("TypeError: %%%c needs a number, not %s", verb, quote(typeName(value)))
		}
		f.verb = verb
		return r.formatFloat(asFloat(value), f), text
	}
	fail("ValueError: unsupported directive in a format string")
	return "", ""
}
