package expression

import (
	"cmp"
	"math"
	"math/big"
	"strings"
	"time"

	"go.starlark.net/starlark"
)

// equal is x == y. It is charged at every step: values that share parts can be
// exponentially larger than they look.
func (r *run) equal(x, y starlark.Value, depth int) bool {
	r.charge(2)
	if depth > maxData {
		fail("RecursionError: values nested too deep are compared")
	}
	if isNumber(x) && isNumber(y) {
		c, ok := r.numbers(x, y)
		return ok && c == 0
	}
	switch x := x.(type) {
	case starlark.String:
		y, ok := y.(starlark.String)
		if ok && len(x) == len(y) {
			r.charge(len(x) / 64)
			return x == y
		}
		return false
	case starlark.NoneType:
		return y == starlark.None
	case starlark.Tuple:
		y, ok := y.(starlark.Tuple)
		return ok && r.equalItems(x, y, depth)
	case *list:
		y, ok := y.(*list)
		return ok && (x == y || r.equalItems(x.items, y.items, depth))
	case *dict:
		y, ok := y.(*dict)
		return ok && (x == y || r.equalTables(&x.table, &y.table, depth, true))
	case *set:
		y, ok := y.(*set)
		return ok && (x == y || r.equalTables(&x.table, &y.table, depth, false))
	case *rangeValue:
		y, ok := y.(*rangeValue)
		return ok && x.n == y.n && (x.n == 0 || x.start == y.start && (x.n == 1 || x.step == y.step))
	case *object:
		y, ok := y.(*object)
		return ok && x.kind == y.kind && x.id == y.id
	case *exception:
		return false
	}
	return same(x, y)
}

// same is identity of what is a pointer.
func same(x, y starlark.Value) bool {
	switch x.(type) {
	case starlark.Tuple, starlark.Bytes:
		return false
	}
	return x == y
}

func (r *run) equalItems(x, y []starlark.Value, depth int) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if !r.equal(x[i], y[i], depth+1) {
			return false
		}
	}
	return true
}

func (r *run) equalTables(x, y *table, depth int, values bool) bool {
	if x.live != y.live {
		return false
	}
	for _, e := range x.entries {
		if e.dead {
			continue
		}
		r.charge(4)
		other, ok := y.find(e.id)
		if !ok || values && !r.equal(e.value, other, depth+1) {
			return false
		}
	}
	return true
}

// numbers compares numbers exactly; not ok: one is NaN.
func (r *run) numbers(x, y starlark.Value) (int, bool) {
	a, aInt := asInt(x)
	b, bInt := asInt(y)
	if aInt && bInt {
		m, mOK := a.Int64()
		n, nOK := b.Int64()
		if mOK && nOK {
			return cmp.Compare(m, n), true
		}
		r.charge(20)
		r.alloc(maxIntBits / 4)
		return a.BigInt().Cmp(b.BigInt()), true
	}
	if aInt || bInt {
		f, i, sign := asFloatOnly(y), a, 1
		if bInt {
			f, i, sign = asFloatOnly(x), b, -1
		}
		switch {
		case math.IsNaN(f):
			return 0, false
		case math.IsInf(f, 1):
			return -sign, true
		case math.IsInf(f, -1):
			return sign, true
		}
		r.charge(50)
		r.alloc(maxIntBits / 2)
		return sign * new(big.Float).SetInt(i.BigInt()).Cmp(big.NewFloat(f)), true
	}
	f, g := asFloatOnly(x), asFloatOnly(y)
	return cmp.Compare(f, g), !math.IsNaN(f) && !math.IsNaN(g)
}

func asFloatOnly(v starlark.Value) float64 {
	f, _ := v.(starlark.Float)
	return float64(f)
}

// order compares x and y for <, <=, > and >=; not ok: they have no order.
func (r *run) order(op string, x, y starlark.Value, depth int) (c int, ok bool) {
	r.charge(2)
	if depth > maxData {
		fail("RecursionError: values nested too deep are compared")
	}
	if isNumber(x) && isNumber(y) {
		return r.numbers(x, y)
	}
	switch x := x.(type) {
	case starlark.String:
		if y, ok := y.(starlark.String); ok {
			r.charge(min(len(x), len(y)) / 64)
			return strings.Compare(string(x), string(y)), true
		}
	case starlark.Tuple:
		if y, ok := y.(starlark.Tuple); ok {
			return r.orderItems(op, x, y, depth)
		}
	case *list:
		if y, ok := y.(*list); ok {
			return r.orderItems(op, x.items, y.items, depth)
		}
	case *set:
		if y, ok := y.(*set); ok {
			return r.orderSets(x, y)
		}
	case *object:
		if y, ok := y.(*object); ok && x.kind == y.kind {
			switch a := x.data.(type) {
			case *address:
				b, _ := y.data.(*address)
				return a.Compare(b.Addr), true
			case moment:
				b, _ := y.data.(moment)
				s, t, ok := a.alike(b)
				if !ok {
					fail("TypeError: can't compare offset-naive and offset-aware datetimes")
				}
				return s.Compare(t), true
			case time.Duration:
				b, _ := y.data.(time.Duration)
				return cmp.Compare(a, b), true
			}
		}
	}
	fail("TypeError: '%s' not supported between instances of %s and %s", op, quote(typeName(x)), quote(typeName(y)))
	return 0, false
}

func (r *run) orderItems(op string, x, y []starlark.Value, depth int) (int, bool) {
	for i := range min(len(x), len(y)) {
		if !r.equal(x[i], y[i], depth+1) {
			return r.order(op, x[i], y[i], depth+1)
		}
	}
	return cmp.Compare(len(x), len(y)), true
}

// orderSets: a set is less than another that holds all of it and more.
func (r *run) orderSets(x, y *set) (int, bool) {
	switch {
	case r.equalTables(&x.table, &y.table, 0, false):
		return 0, true
	case r.subset(&x.table, &y.table):
		return -1, true
	case r.subset(&y.table, &x.table):
		return 1, true
	}
	return 0, false
}

func (r *run) subset(x, y *table) bool {
	for _, e := range x.entries {
		r.charge(4)
		if _, ok := y.index[e.id]; !ok && !e.dead {
			return false
		}
	}
	return true
}

// compare is x op y for every comparison there is.
func (r *run) compare(op string, x, y starlark.Value) bool {
	switch op {
	case "==":
		return r.equal(x, y, 0)
	case "!=":
		return !r.equal(x, y, 0)
	case "is":
		return r.identical(x, y)
	case "is not":
		return !r.identical(x, y)
	case "in":
		return r.contains(y, x)
	case "not in":
		return !r.contains(y, x)
	}
	c, ok := r.order(op, x, y, 0)
	if !ok {
		return false
	}
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// identical is "is": for what cannot change, being equal and of one type is as good.
func (r *run) identical(x, y starlark.Value) bool {
	switch x.(type) {
	case starlark.String, starlark.Int, starlark.Float:
		return typeName(x) == typeName(y) && r.equal(x, y, 0)
	case starlark.Tuple:
		return false
	case *object:
		return r.equal(x, y, 0)
	}
	return same(x, y)
}

// contains is "x in v".
func (r *run) contains(v, x starlark.Value) bool {
	switch v := v.(type) {
	case starlark.String:
		s, ok := x.(starlark.String)
		if !ok {
			fail("TypeError: 'in <str>' requires a string on its left, not %s", quote(typeName(x)))
		}
		r.charge((len(v) + len(s)) / 4)
		return strings.Contains(string(v), string(s))
	case *dict:
		_, ok := v.index[r.key(x)]
		return ok
	case *set:
		_, ok := v.index[r.key(x)]
		return ok
	case *rangeValue:
		i, ok := asInt(x)
		if !ok {
			return false
		}
		n, ok := i.Int64()
		if !ok || v.n == 0 {
			return false
		}
		d := int(n) - v.start
		return d%v.step == 0 && d/v.step >= 0 && d/v.step < v.n
	case *object:
		if n, ok := v.data.(*network); ok {
			a, _ := x.(*object)
			if a == nil {
				fail("TypeError: only an ip_address can be in a network")
			}
			addr, ok := a.data.(*address)
			return ok && n.Contains(addr.Addr)
		}
	}
	found := false
	r.each(v, func(item starlark.Value) bool {
		found = r.equal(item, x, 0)
		return !found
	})
	return found
}
