package expression

import (
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// slicing is v[low:high:step].
func (r *run) slicing(v, low, high, stepValue starlark.Value) starlark.Value {
	n := r.length(v)
	step := 1
	if stepValue != starlark.None {
		i, ok := stepValue.(starlark.Int)
		if !ok {
			fail("slice indices must be integers or None")
		}
		if step = clamp(i); step == 0 {
			fail("ValueError: slice step cannot be zero")
		}
	}
	from, to := bounds(n, low, high, step)
	count := 0
	if step > 0 && to > from {
		count = (to - from + step - 1) / step
	} else if step < 0 && to < from {
		count = (from - to - step - 1) / -step
	}
	switch v := v.(type) {
	case starlark.String:
		return r.sliceString(string(v), from, step, count)
	case starlark.Tuple:
		return starlark.Tuple(r.pick(v, from, step, count))
	case *list:
		return newList(r.pick(v.items, from, step, count))
	case *rangeValue:
		return &rangeValue{start: v.start + from*v.step, stop: v.start + to*v.step, step: v.step * step, n: count}
	case *query:
		r.values(count)
		out := &query{kind: v.kind}
		for i := range count {
			out.items = append(out.items, v.items[from+i*step])
		}
		return out
	}
	fail("%s object is not subscriptable", quote(typeName(v)))
	return nil
}

func bounds(n int, low, high starlark.Value, step int) (from, to int) {
	index := func(v starlark.Value, def int) int {
		switch v := v.(type) {
		case starlark.NoneType:
			return def
		case starlark.Int:
			i := clamp(v)
			if i < 0 {
				i += n
			}
			if step > 0 {
				return min(max(i, 0), n)
			}
			return min(max(i, -1), n-1)
		default:
			fail("slice indices must be integers or None")
		}
		return 0
	}
	if step > 0 {
		return index(low, 0), index(high, n)
	}
	return index(low, n-1), index(high, -1)
}

func (r *run) pick(items []starlark.Value, from, step, count int) []starlark.Value {
	r.values(count)
	r.charge(count)
	out := make([]starlark.Value, count)
	for i := range out {
		out[i] = items[from+i*step]
	}
	return out
}

func (r *run) sliceString(s string, from, step, count int) starlark.Value {
	if count == 0 {
		return starlark.String("")
	}
	if !r.ascii(s) {
		r.charge(len(s))
		r.alloc(4 * len(s))
		runes := []rune(s)
		out := make([]rune, count)
		for i := range out {
			out[i] = runes[from+i*step]
		}
		return starlark.String(string(out))
	}
	if step == 1 {
		return starlark.String(s[from : from+count]) // shares the bytes
	}
	r.alloc(count)
	r.charge(count)
	out := make([]byte, count)
	for i := range out {
		out[i] = s[from+i*step]
	}
	return starlark.String(out)
}

// byteOffset is where character i of s begins.
func byteOffset(s string, i int) int {
	if i <= 0 {
		return 0
	}
	for at := range s {
		if i == 0 {
			return at
		}
		i--
	}
	return len(s)
}

func runeCount(s string) int { return utf8.RuneCountInString(s) }
