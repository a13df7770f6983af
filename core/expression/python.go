package expression

import (
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// python are the functions of Python that are not types.
func python() map[string]func(*run, *args) starlark.Value {
	return map[string]func(*run, *args) starlark.Value{
		"len":  func(r *run, a *args) starlark.Value { return starlark.MakeInt(r.length(a.one())) },
		"repr": func(r *run, a *args) starlark.Value { return starlark.String(r.repr(a.one())) },
		"ascii": func(r *run, a *args) starlark.Value {
			return starlark.String(r.convert(a.one(), "a"))
		},
		"format": func(r *run, a *args) starlark.Value {
			b := a.bind(1, "value", "format_spec")
			return starlark.String(r.format(b[0], a.text(b[1], "format_spec", "")))
		},
		"abs": func(r *run, a *args) starlark.Value {
			switch x := a.one().(type) {
			case starlark.Float:
				return starlark.Float(math.Abs(float64(x)))
			default:
				i, ok := asInt(x)
				if !ok {
					fail("TypeError: abs() needs a number, not %s", quote(typeName(x)))
				}
				if i.Sign() < 0 {
					return r.unary("-", i)
				}
				return i
			}
		},
		"any":       quantifier(true),
		"all":       quantifier(false),
		"sum":       sum,
		"min":       extreme(-1),
		"max":       extreme(1),
		"sorted":    sortedFunc,
		"reversed":  reversed,
		"enumerate": enumerate,
		"zip":       zip,
		"map":       mapFunc,
		"filter":    filter,
		"range":     rangeFunc,
		"next":      next,
		"isinstance": func(r *run, a *args) starlark.Value {
			b := a.bind(2, "object", "classinfo")
			return starlark.Bool(r.isInstance(b[0], b[1]))
		},
		"hasattr": func(r *run, a *args) starlark.Value {
			b := a.bind(2, "object", "name")
			return starlark.Bool(r.optional(b[0], a.text(b[1], "name", "")) != nil)
		},
		"getattr": func(r *run, a *args) starlark.Value {
			b := a.bind(2, "object", "name", "default")
			name := a.text(b[1], "name", "")
			if x := r.optional(b[0], name); x != nil {
				return x
			}
			if b[2] == nil {
				fail("AttributeError: %s object has no such attribute", quote(typeName(b[0])))
			}
			return b[2]
		},
		"callable": func(_ *run, a *args) starlark.Value {
			_, ok := a.one().(starlark.Callable)
			return starlark.Bool(ok)
		},
		"round": round,
		"divmod": func(r *run, a *args) starlark.Value {
			b := a.bind(2, "x", "y")
			return starlark.Tuple{r.operator("//", b[0], b[1]), r.operator("%", b[0], b[1])}
		},
		"pow": func(r *run, a *args) starlark.Value {
			b := a.bind(2, "base", "exp")
			return r.operator("**", b[0], b[1])
		},
		"chr": func(_ *run, a *args) starlark.Value {
			n := a.int(a.one(), "the argument", 0)
			if n < 0 || n > utf8.MaxRune {
				fail("ValueError: chr() needs the number of a Unicode character")
			}
			return starlark.String(string(rune(n)))
		},
		"ord": func(_ *run, a *args) starlark.Value {
			s := a.text(a.one(), "the argument", "")
			c, n := utf8.DecodeRuneInString(s)
			if n == 0 || n != len(s) {
				fail("TypeError: ord() needs exactly one character")
			}
			return starlark.MakeInt(int(c))
		},
		"hex":   inBase('x'),
		"oct":   inBase('o'),
		"bin":   inBase('b'),
		"print": func(r *run, a *args) starlark.Value { return r.log("debug", a) },
	}
}

func quantifier(want bool) func(*run, *args) starlark.Value {
	return func(r *run, a *args) starlark.Value {
		found := false
		r.each(a.one(), func(x starlark.Value) bool {
			found = bool(x.Truth()) == want
			return !found
		})
		return starlark.Bool(found == want)
	}
}

func sum(r *run, a *args) starlark.Value {
	b := a.bind(1, "iterable", "start")
	total := b[1]
	if total == nil {
		total = starlark.MakeInt(0)
	}
	if _, ok := total.(starlark.String); ok {
		fail("TypeError: sum() does not add strings: use \"\".join(…)")
	}
	r.each(b[0], func(x starlark.Value) bool {
		total = r.operator("+", total, x)
		return true
	})
	return total
}

// extreme is min (-1) or max (1).
func extreme(sign int) func(*run, *args) starlark.Value {
	return func(r *run, a *args) starlark.Value {
		pos := a.pos
		var key, def starlark.Value
		for _, pair := range a.kw {
			switch pair[0] {
			case starlark.String("key"):
				key = pair[1]
			case starlark.String("default"):
				def = pair[1]
			default:
				fail("%s() got a named argument it does not know", a.name)
			}
		}
		var over starlark.Value = pos
		if len(pos) == 0 {
			fail("%s() needs an argument", a.name)
		}
		if len(pos) == 1 {
			over = pos[0]
		}
		var best, bestKey starlark.Value
		r.each(over, func(x starlark.Value) bool {
			k := x
			if key != nil && key != starlark.None {
				k = r.call(key, x)
			}
			if best != nil {
				c, ok := r.order("<", k, bestKey, 0)
				if !ok || c*sign <= 0 {
					return true
				}
			}
			best, bestKey = x, k
			return true
		})
		if best == nil {
			if def == nil {
				fail("ValueError: %s() of nothing: give a default", a.name)
			}
			return def
		}
		return best
	}
}

func sortedFunc(r *run, a *args) starlark.Value {
	b := a.bind(1, "iterable", "*key", "*reverse")
	return newList(r.sort(r.slice(b[0]), b[1], a.bool(b[2])))
}

func reversed(r *run, a *args) starlark.Value {
	items := r.slice(a.one())
	r.charge(len(items))
	for i, j := 0, len(items)-1; i < j; i, j = i+1, j-1 {
		items[i], items[j] = items[j], items[i]
	}
	return newList(items)
}

func enumerate(r *run, a *args) starlark.Value {
	b := a.bind(1, "iterable", "start")
	n, out := a.int(b[1], "start", 0), &list{}
	r.each(b[0], func(x starlark.Value) bool {
		r.alloc(64)
		r.append(out, starlark.Tuple{starlark.MakeInt(n), x})
		n++
		return true
	})
	return out
}

func zip(r *run, a *args) starlark.Value {
	for _, pair := range a.kw {
		if pair[0] != starlark.String("strict") {
			fail("zip() got a named argument it does not know")
		}
	}
	its := make([]starlark.Iterator, len(a.pos))
	for i, v := range a.pos {
		its[i] = r.iterator(v)
	}
	out := &list{}
	for len(its) > 0 {
		r.values(len(its))
		r.charge(len(its))
		t := make(starlark.Tuple, len(its))
		for i, it := range its {
			if !it.Next(&t[i]) {
				return out
			}
		}
		r.append(out, t)
	}
	return out
}

func mapFunc(r *run, a *args) starlark.Value {
	if len(a.pos) < 2 {
		fail("map() needs a function and what to apply it to")
	}
	out := &list{}
	if len(a.pos) == 2 {
		r.each(a.pos[1], func(x starlark.Value) bool {
			r.append(out, r.call(a.pos[0], x))
			return true
		})
		return out
	}
	rows, _ := zip(r, &args{r: r, name: "map", pos: a.pos[1:]}).(*list)
	for _, row := range rows.items {
		t, _ := row.(starlark.Tuple)
		r.append(out, r.call(a.pos[0], t...))
	}
	return out
}

func filter(r *run, a *args) starlark.Value {
	b := a.bind(2, "function", "iterable")
	out := &list{}
	r.each(b[1], func(x starlark.Value) bool {
		keep := x
		if b[0] != starlark.None {
			keep = r.call(b[0], x)
		}
		if keep.Truth() {
			r.append(out, x)
		}
		return true
	})
	return out
}

// next is the first of what a generator expression gave.
func next(r *run, a *args) starlark.Value {
	b := a.bind(1, "iterator", "default")
	var first starlark.Value
	r.each(b[0], func(x starlark.Value) bool {
		first = x
		return false
	})
	if first == nil {
		if b[1] == nil {
			fail("StopIteration: next() of nothing: give a default")
		}
		return b[1]
	}
	return first
}

func rangeFunc(_ *run, a *args) starlark.Value {
	var exact [3]int
	for i, v := range a.bind(1, "start", "stop", "step") {
		if v == nil {
			continue
		}
		n, ok := asInt(v)
		if !ok {
			fail("TypeError: range() needs integers, not %s", quote(typeName(v)))
		}
		small, ok := n.Int64()
		if !ok || magnitude(small) > 1<<60 {
			fail("OverflowError: range() beyond 2**60")
		}
		exact[i] = int(small)
	}
	start, stop, step := exact[0], exact[1], exact[2]
	if len(a.pos) < 3 {
		step = 1
	}
	if len(a.pos) == 1 {
		start, stop = 0, start
	}
	if step == 0 {
		fail("ValueError: the step of range() must not be zero")
	}
	n := 0
	if step > 0 && stop > start {
		n = (stop-start-1)/step + 1
	} else if step < 0 && stop < start {
		n = (start-stop-1)/-step + 1
	}
	return &rangeValue{start: start, stop: stop, step: step, n: n}
}

// round rounds half to even, as Python does.
func round(r *run, a *args) starlark.Value {
	b := a.bind(1, "number", "ndigits")
	f, isFloat := b[0].(starlark.Float)
	if !isFloat {
		i, ok := asInt(b[0])
		if !ok {
			fail("TypeError: round() needs a number, not %s", quote(typeName(b[0])))
		}
		return i
	}
	if b[1] == nil || b[1] == starlark.None {
		return r.truncate(math.RoundToEven(float64(f)))
	}
	digits := a.int(b[1], "ndigits", 0)
	if digits > 300 || math.IsInf(float64(f), 0) || math.IsNaN(float64(f)) {
		return f
	}
	if digits >= 0 {
		r.charge(100)
		v, _ := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'f', digits, 64), 64)
		return starlark.Float(v)
	}
	scale := math.Pow(10, float64(min(-digits, 308)))
	return starlark.Float(math.RoundToEven(float64(f)/scale) * scale)
}

// truncate is a float as an integer.
func (r *run) truncate(f float64) starlark.Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		fail("ValueError: an infinite float, or one that is no number, is no integer")
	}
	r.charge(50)
	r.alloc(256)
	i, _ := big.NewFloat(f).Int(nil)
	return integer(i)
}

func inBase(verb byte) func(*run, *args) starlark.Value {
	return func(r *run, a *args) starlark.Value {
		i, ok := asInt(a.one())
		if !ok {
			fail("TypeError: %s() needs an integer", a.name)
		}
		return starlark.String(r.formatInt(i, spec{verb: verb, alternate: true, precision: -1, fill: " "}))
	}
}
