package expression

import (
	"slices"

	"go.starlark.net/starlark"
)

func asList(v starlark.Value) *list {
	l, ok := v.(*list)
	if !ok {
		fail("this method needs a list, not %s", quote(typeName(v)))
	}
	return l
}

// listMethods are the methods of list.
func listMethods() map[string]methodFunc {
	return map[string]methodFunc{
		"append": func(r *run, v starlark.Value, a *args) starlark.Value {
			l := asList(v)
			l.mutable()
			r.append(l, a.one())
			return starlark.None
		},
		"extend": func(r *run, v starlark.Value, a *args) starlark.Value {
			l := asList(v)
			l.mutable()
			r.extend(l, a.one())
			return starlark.None
		},
		"insert": func(r *run, v starlark.Value, a *args) starlark.Value {
			l, b := asList(v), a.bind(2, "index", "object")
			l.mutable()
			i := a.int(b[0], "index", 0)
			if i < 0 {
				i += len(l.items)
			}
			r.alloc(40)
			r.charge(len(l.items))
			l.items = slices.Insert(l.items, min(max(i, 0), len(l.items)), b[1])
			return starlark.None
		},
		"remove": func(r *run, v starlark.Value, a *args) starlark.Value {
			l := asList(v)
			l.mutable()
			i := r.find(l.items, a.one())
			if i < 0 {
				fail("ValueError: list.remove(): the value is not in the list")
			}
			r.charge(len(l.items))
			l.items = slices.Delete(l.items, i, i+1)
			return starlark.None
		},
		"pop": func(r *run, v starlark.Value, a *args) starlark.Value {
			l := asList(v)
			l.mutable()
			i := a.int(a.bind(0, "index")[0], "index", -1)
			if i < 0 {
				i += len(l.items)
			}
			if i < 0 || i >= len(l.items) {
				fail("IndexError: pop index out of range")
			}
			x := l.items[i]
			r.charge(len(l.items) - i)
			l.items = slices.Delete(l.items, i, i+1)
			return x
		},
		"clear": func(_ *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			l := asList(v)
			l.mutable()
			l.items = nil
			return starlark.None
		},
		"copy": func(r *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			return newList(r.slice(asList(v)))
		},
		"reverse": func(r *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			l := asList(v)
			l.mutable()
			r.charge(len(l.items))
			slices.Reverse(l.items)
			return starlark.None
		},
		"sort": func(r *run, v starlark.Value, a *args) starlark.Value {
			l, b := asList(v), a.bind(0, "*key", "*reverse")
			l.mutable()
			l.items = r.sort(r.slice(l), b[0], a.bool(b[1]))
			return starlark.None
		},
		"index": func(r *run, v starlark.Value, a *args) starlark.Value { return r.indexOf(asList(v).items, a) },
		"count": func(r *run, v starlark.Value, a *args) starlark.Value { return r.countOf(asList(v).items, a) },
	}
}

func tupleMethods() map[string]methodFunc {
	return map[string]methodFunc{
		"index": func(r *run, v starlark.Value, a *args) starlark.Value { return r.indexOf(asTuple(v), a) },
		"count": func(r *run, v starlark.Value, a *args) starlark.Value { return r.countOf(asTuple(v), a) },
	}
}

func asTuple(v starlark.Value) starlark.Tuple {
	t, ok := v.(starlark.Tuple)
	if !ok {
		fail("this method needs a tuple, not %s", quote(typeName(v)))
	}
	return t
}

func (r *run) append(l *list, v starlark.Value) {
	r.alloc(40) // growing by doubling included
	l.items = append(l.items, v)
}

func (r *run) find(items []starlark.Value, x starlark.Value) int {
	for i, v := range items {
		if r.equal(v, x, 0) {
			return i
		}
	}
	return -1
}

func (r *run) indexOf(items []starlark.Value, a *args) starlark.Value {
	b := a.bind(1, "value", "start", "end")
	n := len(items)
	at := func(v starlark.Value, def int) int {
		i := a.int(v, "index", def)
		if i < 0 {
			i += n
		}
		return min(max(i, 0), n)
	}
	from, to := at(b[1], 0), at(b[2], n)
	if from < to {
		if i := r.find(items[from:to], b[0]); i >= 0 {
			return starlark.MakeInt(from + i)
		}
	}
	fail("ValueError: the value is not in the list")
	return nil
}

func (r *run) countOf(items []starlark.Value, a *args) starlark.Value {
	x, n := a.one(), 0
	for _, v := range items {
		if r.equal(v, x, 0) {
			n++
		}
	}
	return starlark.MakeInt(n)
}

// sort orders items, which it may keep, stably.
func (r *run) sort(items []starlark.Value, key starlark.Value, reverse bool) []starlark.Value {
	type keyed struct{ key, value starlark.Value }
	r.values(2 * len(items))
	all := make([]keyed, len(items))
	for i, v := range items {
		all[i] = keyed{v, v}
		if key != nil && key != starlark.None {
			all[i].key = r.call(key, v)
		}
	}
	slices.SortStableFunc(all, func(a, b keyed) int {
		r.charge(3)
		c, ok := r.order("<", a.key, b.key, 0)
		if !ok {
			return 0
		}
		if reverse {
			return -c
		}
		return c
	})
	for i := range all {
		items[i] = all[i].value
	}
	return items
}
