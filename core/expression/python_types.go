package expression

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
)

// pythonTypes are the functions that are types as well.
func pythonTypes() map[string]func(*run, *args) starlark.Value {
	return map[string]func(*run, *args) starlark.Value{
		"str": func(r *run, a *args) starlark.Value {
			v := a.bind(0, "object")[0]
			if v == nil {
				return starlark.String("")
			}
			return starlark.String(r.str(v))
		},
		"bool": func(_ *run, a *args) starlark.Value {
			v := a.bind(0, "object")[0]
			return starlark.Bool(v != nil && bool(v.Truth()))
		},
		"int":   toInt,
		"float": toFloat,
		"list": func(r *run, a *args) starlark.Value {
			if v := a.bind(0, "iterable")[0]; v != nil {
				return newList(r.slice(v))
			}
			return newList(nil)
		},
		"tuple": func(r *run, a *args) starlark.Value {
			if v := a.bind(0, "iterable")[0]; v != nil {
				return starlark.Tuple(r.slice(v))
			}
			return starlark.Tuple{}
		},
		"set": func(r *run, a *args) starlark.Value {
			out := &set{}
			if v := a.bind(0, "iterable")[0]; v != nil {
				r.include(out, v)
			}
			return out
		},
		"frozenset": func(r *run, a *args) starlark.Value {
			out := &set{}
			if v := a.bind(0, "iterable")[0]; v != nil {
				r.include(out, v)
			}
			out.frozen = true
			return out
		},
		"dict": func(r *run, a *args) starlark.Value {
			out := &dict{}
			if len(a.pos) > 1 {
				fail("dict() takes one argument, and names")
			}
			for _, v := range a.pos {
				r.update(&out.table, v)
			}
			for _, pair := range a.kw {
				r.put(&out.table, pair[0], pair[1])
			}
			return out
		},
		"type": func(r *run, a *args) starlark.Value {
			v := a.one()
			if b, ok := r.names[typeName(v)].(*builtin); ok && isType(b) {
				return b
			}
			return &builtin{name: typeName(v)}
		},
	}
}

// isType reports whether a function is a type, for repr and isinstance.
func isType(b *builtin) bool {
	switch b.name {
	case "str", "bool", "int", "float", "list", "tuple", "set", "frozenset", "dict", "type":
		return true
	case "datetime", "date", "timedelta", "time":
		return b.get != nil || b.name == "timedelta" // and not the method of a datetime
	}
	return b.fn == nil
}

func (r *run) isInstance(v, class starlark.Value) bool {
	if t, ok := class.(starlark.Tuple); ok {
		for _, c := range t {
			r.charge(1)
			if r.isInstance(v, c) {
				return true
			}
		}
		return false
	}
	b, ok := class.(*builtin)
	if !ok {
		fail("TypeError: the second argument of isinstance() must be a type, or a tuple of types")
	}
	name := typeName(v)
	return name == b.name || name == "bool" && b.name == "int" || name == "datetime" && b.name == "date"
}

func toInt(r *run, a *args) starlark.Value {
	b := a.bind(0, "x", "base")
	switch x := b[0].(type) {
	case nil:
		return starlark.MakeInt(0)
	case starlark.Float:
		return r.truncate(float64(x))
	case starlark.String:
		s := strings.ReplaceAll(strings.TrimSpace(cutDigits(r, string(x))), "_", "")
		base := a.int(b[1], "base", 10)
		if base != 0 && (base < 2 || base > 36) {
			fail("ValueError: the base of int() must be 0, or 2 to 36")
		}
		lower := strings.ToLower(strings.TrimLeft(s, "+-"))
		for prefix, of := range map[string]int{"0x": 16, "0o": 8, "0b": 2} {
			if base == of && strings.HasPrefix(lower, prefix) {
				s = strings.Replace(strings.ToLower(s), prefix, "", 1)
			}
		}
		i, ok := new(big.Int).SetString(s, base)
		if !ok {
			fail("ValueError: the text is no integer")
		}
		return integer(i)
	default:
		i, ok := asInt(x)
		if !ok {
			fail("TypeError: int() needs a string or a number, not %s", quote(typeName(x)))
		}
		return i
	}
}

// cutDigits refuses a text that is too long for a number.
func cutDigits(r *run, s string) string {
	r.charge(len(s))
	if len(s) > 4*maxDigits {
		fail("ValueError: the text is too long for a number")
	}
	r.charge(3000 * len(s) / maxDigits)
	r.alloc(4 * len(s))
	return s
}

func toFloat(r *run, a *args) starlark.Value {
	switch x := a.bind(0, "x")[0].(type) {
	case nil:
		return starlark.Float(0)
	case starlark.String:
		s := strings.ToLower(strings.TrimSpace(cutDigits(r, string(x))))
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && !math.IsInf(f, 0) || strings.ContainsAny(s, "xp") {
			fail("ValueError: the text is no number")
		}
		return starlark.Float(f)
	case starlark.Float:
		return x
	default:
		if !isNumber(x) {
			fail("TypeError: float() needs a string or a number, not %s", quote(typeName(x)))
		}
		return starlark.Float(asFloat(x))
	}
}
