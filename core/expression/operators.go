package expression

import (
	"strings"

	"go.starlark.net/starlark"
)

// operator is x op y for everything but comparison.
func (r *run) operator(op string, x, y starlark.Value) starlark.Value {
	if isNumber(x) && isNumber(y) {
		v := r.arithmetic(op, x, y)
		_, xBool := x.(starlark.Bool)
		_, yBool := y.(starlark.Bool)
		if xBool && yBool && (op == "&" || op == "|" || op == "^") {
			return v.Truth()
		}
		return v
	}
	switch op {
	case "+":
		if v := r.add(x, y); v != nil {
			return v
		}
	case "*":
		if v := r.repeat(x, y); v != nil {
			return v
		}
		if v := r.repeat(y, x); v != nil {
			return v
		}
	case "%":
		if s, ok := x.(starlark.String); ok {
			return starlark.String(r.percent(string(s), y))
		}
	case "|", "&", "-", "^":
		if v := r.setOperator(op, x, y); v != nil {
			return v
		}
	}
	if v := r.calendar(op, x, y); v != nil {
		return v
	}
	fail("TypeError: unsupported operand types for %s: %s and %s", op, quote(typeName(x)), quote(typeName(y)))
	return nil
}

func (r *run) add(x, y starlark.Value) starlark.Value {
	switch x := x.(type) {
	case starlark.String:
		if y, ok := y.(starlark.String); ok {
			r.alloc(len(x) + len(y))
			return x + y
		}
	case *list:
		if y, ok := y.(*list); ok {
			return newList(r.join(x.items, y.items))
		}
	case starlark.Tuple:
		if y, ok := y.(starlark.Tuple); ok {
			return starlark.Tuple(r.join(x, y))
		}
	case *object:
		if a, ok := x.data.(*address); ok {
			return r.addressPlus(a, y)
		}
	}
	return nil
}

func (r *run) join(x, y []starlark.Value) []starlark.Value {
	r.values(len(x) + len(y))
	out := make([]starlark.Value, 0, len(x)+len(y))
	return append(append(out, x...), y...)
}

// repeat is x * n.
func (r *run) repeat(x, count starlark.Value) starlark.Value {
	i, ok := asInt(count)
	if !ok {
		return nil
	}
	n := max(0, clamp(i))
	times := func(size int) {
		if size > 0 && n > maxBytes/size {
			n = maxBytes + 1 // refused below; no overflow
		}
		r.alloc(n * min(size, maxBytes))
	}
	switch x := x.(type) {
	case starlark.String:
		if times(len(x)); len(x) == 0 {
			return x
		}
		return starlark.String(strings.Repeat(string(x), n))
	case *list:
		times(16 * len(x.items))
		return newList(repeated(x.items, n))
	case starlark.Tuple:
		times(16 * len(x))
		return starlark.Tuple(repeated(x, n))
	}
	return nil
}

func repeated(items []starlark.Value, n int) []starlark.Value {
	if len(items) == 0 {
		return nil
	}
	out := make([]starlark.Value, 0, n*len(items))
	for range n {
		out = append(out, items...)
	}
	return out
}

// inPlace is x op= y: a list grows where it is, and so does what shares it.
func (r *run) inPlace(op string, x, y starlark.Value) starlark.Value {
	switch x := x.(type) {
	case *list:
		switch op {
		case "+":
			x.mutable()
			r.extend(x, y)
			return x
		case "*":
			x.mutable()
			v, ok := r.repeat(x, y).(*list)
			if !ok {
				break
			}
			x.items = v.items
			return x
		}
	case *dict:
		if op == "|" {
			x.mutable("dict")
			r.update(&x.table, y)
			return x
		}
	case *set:
		if v, ok := r.operator(op, x, y).(*set); ok {
			x.mutable("set")
			x.table = v.table
			return x
		}
	}
	return r.operator(op, x, y)
}

func (r *run) extend(l *list, y starlark.Value) {
	items := r.slice(y) // a copy: y may be the list itself
	r.values(2 * len(items))
	l.items = append(l.items, items...)
}

func (r *run) setOperator(op string, x, y starlark.Value) starlark.Value {
	if a, ok := x.(*dict); ok && op == "|" {
		if b, ok := y.(*dict); ok {
			out := &dict{}
			r.update(&out.table, a)
			r.update(&out.table, b)
			return out
		}
		return nil
	}
	a, ok := x.(*set)
	if !ok {
		return nil
	}
	b, ok := y.(*set)
	if !ok {
		return nil
	}
	out := &set{}
	out.frozen = false
	keep := func(from, other *table, in bool) {
		for _, e := range from.entries {
			r.charge(4)
			if _, ok := other.index[e.id]; !e.dead && ok == in {
				r.put(&out.table, e.key, starlark.None)
			}
		}
	}
	switch op {
	case "|":
		r.include(out, a)
		r.include(out, b)
	case "&":
		keep(&a.table, &b.table, true)
	case "-":
		keep(&a.table, &b.table, false)
	case "^":
		keep(&a.table, &b.table, false)
		keep(&b.table, &a.table, false)
	}
	return out
}

// update adds a mapping, or pairs, to a dict.
func (r *run) update(t *table, v starlark.Value) {
	if d, ok := v.(*dict); ok {
		if &d.table == t {
			return
		}
		for _, e := range d.entries {
			if !e.dead {
				r.put(t, e.key, e.value)
			}
		}
		return
	}
	r.each(v, func(pair starlark.Value) bool {
		kv := r.slice(pair)
		if len(kv) != 2 {
			fail("ValueError: a dict is made of pairs of a key and a value")
		}
		r.put(t, kv[0], kv[1])
		return true
	})
}

// include adds elements to a set.
func (r *run) include(s *set, v starlark.Value) {
	if other, ok := v.(*set); ok && other == s {
		return
	}
	r.each(v, func(x starlark.Value) bool {
		r.put(&s.table, x, starlark.None)
		return true
	})
}
