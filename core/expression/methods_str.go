package expression

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// stringMethods are the methods of str. Each charges for reading its string; what
// builds another charges for that too.
func stringMethods() map[string]methodFunc {
	m := map[string]methodFunc{
		"capitalize": mapping(func(s string) string {
			r, n := utf8.DecodeRuneInString(s)
			if n == 0 {
				return s
			}
			return string(unicode.ToTitle(r)) + strings.ToLower(s[n:])
		}),
		"casefold": text0(func(r *run, s string) starlark.Value {
			r.charge(4 * len(s))
			r.alloc(4 * len(s))
			return starlark.String(casefold(s, func() {
				r.charge(600)
				r.alloc(128)
			}))
		}),
		"lower": mapping(strings.ToLower),
		"upper": mapping(upper),
		"swapcase": mapping(func(s string) string {
			return strings.Map(func(c rune) rune {
				if unicode.IsUpper(c) {
					return unicode.ToLower(c)
				}
				return unicode.ToUpper(c)
			}, s)
		}),
		"title": mapping(title),

		"isalnum":      class(func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }),
		"isalpha":      class(unicode.IsLetter),
		"isdecimal":    class(unicode.IsDigit),
		"isdigit":      class(unicode.IsDigit),
		"isnumeric":    class(unicode.IsNumber),
		"isspace":      class(isSpace),
		"isascii":      all(func(c rune) bool { return c < utf8.RuneSelf }),
		"isprintable":  all(func(c rune) bool { return c == ' ' || unicode.IsPrint(c) }),
		"islower":      cased(unicode.IsLower, unicode.IsUpper),
		"isupper":      cased(unicode.IsUpper, unicode.IsLower),
		"isidentifier": text0(func(_ *run, s string) starlark.Value { return starlark.Bool(identifier(s)) }),
		"istitle": text0(func(r *run, s string) starlark.Value {
			return starlark.Bool(s == title(s) && strings.ContainsFunc(s, unicode.IsLetter))
		}),

		"strip":  strip(true, true),
		"lstrip": strip(true, false),
		"rstrip": strip(false, true),
		"removeprefix": text1("prefix", func(r *run, s, x string) starlark.Value {
			return starlark.String(strings.TrimPrefix(s, x))
		}),
		"removesuffix": text1("suffix", func(r *run, s, x string) starlark.Value {
			return starlark.String(strings.TrimSuffix(s, x))
		}),
		"startswith": affix(strings.HasPrefix),
		"endswith":   affix(strings.HasSuffix),
		"partition":  text1("sep", func(r *run, s, sep string) starlark.Value { return partition(s, sep, strings.Index) }),
		"rpartition": text1("sep", func(r *run, s, sep string) starlark.Value { return partition(s, sep, strings.LastIndex) }),

		"find":   search(strings.Index, false),
		"index":  search(strings.Index, true),
		"rfind":  search(strings.LastIndex, false),
		"rindex": search(strings.LastIndex, true),
		"count":  countText,

		"center": justify('^'),
		"ljust":  justify('<'),
		"rjust":  justify('>'),
		"zfill": func(r *run, v starlark.Value, a *args) starlark.Value {
			s, sign := receiver(r, v), ""
			if s != "" && (s[0] == '-' || s[0] == '+') {
				sign, s = s[:1], s[1:]
			}
			return starlark.String(r.pad(sign, s, spec{fill: "0", align: '=', width: a.int(a.one(), "width", 0)}))
		},
		"expandtabs": expandTabs,
		"replace":    replaceText,
		"join":       joinText,
		"split":      split(false),
		"rsplit":     split(true),
		"splitlines": splitLines,
		"format": func(r *run, v starlark.Value, a *args) starlark.Value {
			return starlark.String(r.formatMethod(receiver(r, v), a, nil))
		},
		"format_map": func(r *run, v starlark.Value, a *args) starlark.Value {
			d, ok := a.one().(*dict)
			if !ok {
				fail("format_map() needs a dict")
			}
			return starlark.String(r.formatMethod(receiver(r, v), &args{r: r, name: "format_map"}, d))
		},
	}
	return m
}

// receiver is the string a method is called on, charged for being read.
func receiver(r *run, v starlark.Value) string {
	s, ok := v.(starlark.String)
	if !ok {
		fail("this method needs a string, not %s", quote(typeName(v)))
	}
	r.charge(len(s) / 2)
	return string(s)
}

func text0(f func(r *run, s string) starlark.Value) methodFunc {
	return func(r *run, v starlark.Value, a *args) starlark.Value {
		a.none()
		return f(r, receiver(r, v))
	}
}

func text1(name string, f func(r *run, s, x string) starlark.Value) methodFunc {
	return func(r *run, v starlark.Value, a *args) starlark.Value {
		x := a.text(a.bind(1, name)[0], name, "")
		r.charge(len(x) / 2)
		return f(r, receiver(r, v), x)
	}
}

// mapping makes a string of about the same length: a character grows to three at most.
func mapping(f func(string) string) methodFunc {
	return text0(func(r *run, s string) starlark.Value {
		r.charge(2 * len(s))
		r.alloc(4 * len(s))
		return starlark.String(f(s))
	})
}

// class: every character, and at least one, is of it.
func class(is func(rune) bool) methodFunc {
	return text0(func(r *run, s string) starlark.Value {
		r.charge(len(s))
		return starlark.Bool(s != "" && strings.IndexFunc(s, func(c rune) bool { return !is(c) }) < 0)
	})
}

func all(is func(rune) bool) methodFunc {
	return text0(func(r *run, s string) starlark.Value {
		r.charge(len(s))
		return starlark.Bool(strings.IndexFunc(s, func(c rune) bool { return !is(c) }) < 0)
	})
}

func cased(want, not func(rune) bool) methodFunc {
	return text0(func(r *run, s string) starlark.Value {
		r.charge(2 * len(s))
		return starlark.Bool(strings.ContainsFunc(s, want) && !strings.ContainsFunc(s, not))
	})
}

// isSpace is white space as Python has it: the separators of ASCII too.
func isSpace(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }

// upper is str.upper: where Unicode has several upper case letters for one, Go has none.
func upper(s string) string {
	if strings.ContainsAny(s, "ßŉǰﬀﬁﬂﬃﬄﬅﬆ") {
		s = strings.NewReplacer("ß", "SS", "ŉ", "ʼN", "ǰ", "J̌", "ﬀ", "FF", "ﬁ", "FI", "ﬂ", "FL", "ﬃ", "FFI", "ﬄ", "FFL", "ﬅ", "ST", "ﬆ", "ST").Replace(s)
	}
	return strings.ToUpper(s)
}

func identifier(s string) bool {
	for i, c := range s {
		if c != '_' && !unicode.IsLetter(c) && (i == 0 || !unicode.IsDigit(c)) {
			return false
		}
	}
	return s != ""
}

func title(s string) string {
	inside := false
	return strings.Map(func(c rune) rune {
		was := inside
		inside = unicode.IsLetter(c)
		if was {
			return unicode.ToLower(c)
		}
		return unicode.ToTitle(c)
	}, s)
}

func strip(left, right bool) methodFunc {
	return func(r *run, v starlark.Value, a *args) starlark.Value {
		s := receiver(r, v)
		r.charge(len(s))
		is := isSpace
		if x := a.bind(0, "chars")[0]; x != nil && x != starlark.None {
			cut := a.text(x, "chars", "")
			r.charge(len(cut))
			r.alloc(64 * len(cut))
			in := make(map[rune]bool, len(cut))
			for _, c := range cut {
				in[c] = true
			}
			is = func(c rune) bool { return in[c] }
		}
		if left {
			s = strings.TrimLeftFunc(s, is)
		}
		if right {
			s = strings.TrimRightFunc(s, is)
		}
		return starlark.String(s)
	}
}

func affix(has func(s, x string) bool) methodFunc {
	return func(r *run, v starlark.Value, a *args) starlark.Value {
		s := receiver(r, v)
		b := a.bind(1, "affix", "start", "end")
		s = between(r, s, a, b[1], b[2])
		if t, ok := b[0].(starlark.Tuple); ok {
			for _, x := range t {
				r.charge(1)
				if has(s, a.text(x, "each of the tuple", "")) {
					return starlark.True
				}
			}
			return starlark.False
		}
		return starlark.Bool(has(s, a.text(b[0], "the argument", "")))
	}
}

// between is s[start:end].
func between(r *run, s string, a *args, start, end starlark.Value) string {
	if start == nil && end == nil {
		return s
	}
	n := runeCount(s)
	from, to := a.int(start, "start", 0), a.int(end, "end", n)
	if from < 0 {
		from = max(0, from+n)
	}
	if to < 0 {
		to = max(0, to+n)
	}
	r.charge(len(s))
	from, to = byteOffset(s, min(from, n)), byteOffset(s, min(to, n))
	if from > to {
		return ""
	}
	return s[from:to]
}

func partition(s, sep string, find func(s, sep string) int) starlark.Value {
	if sep == "" {
		fail("ValueError: empty separator")
	}
	text := func(s string) starlark.Value { return starlark.String(s) }
	i := find(s, sep)
	switch {
	case i >= 0:
		return starlark.Tuple{text(s[:i]), text(sep), text(s[i+len(sep):])}
	case find("ab", "") == 0: // the first one
		return starlark.Tuple{text(s), text(""), text("")}
	}
	return starlark.Tuple{text(""), text(""), text(s)}
}

func search(find func(s, x string) int, must bool) methodFunc {
	return func(r *run, v starlark.Value, a *args) starlark.Value {
		s := receiver(r, v)
		b := a.bind(1, "sub", "start", "end")
		x := a.text(b[0], "sub", "")
		n := runeCount(s)
		from := a.int(b[1], "start", 0)
		if from < 0 {
			from = max(0, from+n)
		}
		part := between(r, s, a, b[1], b[2])
		r.charge(len(s) + len(x))
		i := -1
		if from <= n {
			i = find(part, x)
		}
		if i >= 0 {
			return starlark.MakeInt(from + runeCount(part[:i]))
		}
		if must {
			fail("ValueError: substring not found")
		}
		return starlark.MakeInt(-1)
	}
}

func countText(r *run, v starlark.Value, a *args) starlark.Value {
	s := receiver(r, v)
	b := a.bind(1, "sub", "start", "end")
	x := a.text(b[0], "sub", "")
	r.charge(2*len(s) + len(x))
	return starlark.MakeInt(strings.Count(between(r, s, a, b[1], b[2]), x))
}

func justify(align byte) methodFunc {
	return func(r *run, v starlark.Value, a *args) starlark.Value {
		s := receiver(r, v)
		b := a.bind(1, "width", "fillchar")
		fill := a.text(b[1], "fillchar", " ")
		if runeCount(fill) != 1 {
			fail("TypeError: the fill character must be exactly one character long")
		}
		return starlark.String(r.pad("", s, spec{fill: fill, align: align, width: a.int(b[0], "width", 0)}))
	}
}

func expandTabs(r *run, v starlark.Value, a *args) starlark.Value {
	s := receiver(r, v)
	size := a.int(a.bind(0, "tabsize")[0], "tabsize", 8)
	w := &writer{r: r}
	column := 0
	for _, c := range s {
		switch c {
		case '\t':
			if size > 0 {
				n := size - column%size
				r.alloc(min(n, maxBytes+1))
				w.add(strings.Repeat(" ", n))
				column += n
			}
		case '\n', '\r':
			w.add(string(c))
			column = 0
		default:
			w.add(string(c))
			column++
		}
	}
	return starlark.String(w.b.String())
}
