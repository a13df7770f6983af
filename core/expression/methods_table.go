package expression

import "go.starlark.net/starlark"

func asDict(v starlark.Value) *dict {
	d, ok := v.(*dict)
	if !ok {
		fail("this method needs a dict, not %s", quote(typeName(v)))
	}
	return d
}

func orNone(v starlark.Value) starlark.Value {
	if v == nil {
		return starlark.None
	}
	return v
}

// dictMethods are the methods of dict. keys, values and items are lists.
func dictMethods() map[string]methodFunc {
	return map[string]methodFunc{
		"get": func(r *run, v starlark.Value, a *args) starlark.Value {
			b := a.bind(1, "key", "default")
			if x, ok := asDict(v).find(r.key(b[0])); ok {
				return x
			}
			return orNone(b[1])
		},
		"keys": func(r *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			return newList(r.keys(&asDict(v).table))
		},
		"values": func(r *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			return newList(r.tableValues(&asDict(v).table))
		},
		"items": func(r *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			return newList(r.items(&asDict(v).table))
		},
		"copy": func(r *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			out := &dict{}
			r.update(&out.table, asDict(v))
			return out
		},
		"clear": func(_ *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			d := asDict(v)
			d.mutable("dict")
			d.clear()
			return starlark.None
		},
		"pop": func(r *run, v starlark.Value, a *args) starlark.Value {
			d, b := asDict(v), a.bind(1, "key", "default")
			d.mutable("dict")
			if x, ok := r.drop(&d.table, b[0]); ok {
				return x
			}
			if b[1] == nil {
				fail("KeyError: the key is not in the dict")
			}
			return b[1]
		},
		"popitem": func(r *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			d := asDict(v)
			d.mutable("dict")
			for i := len(d.entries) - 1; i >= 0; i-- {
				r.charge(1)
				if e := d.entries[i]; !e.dead {
					r.drop(&d.table, e.key)
					return starlark.Tuple{e.key, e.value}
				}
			}
			fail("KeyError: popitem(): the dict is empty")
			return nil
		},
		"setdefault": func(r *run, v starlark.Value, a *args) starlark.Value {
			d, b := asDict(v), a.bind(1, "key", "default")
			d.mutable("dict")
			if x, ok := d.find(r.key(b[0])); ok {
				return x
			}
			r.put(&d.table, b[0], orNone(b[1]))
			return orNone(b[1])
		},
		"update": func(r *run, v starlark.Value, a *args) starlark.Value {
			d := asDict(v)
			d.mutable("dict")
			if len(a.pos) > 1 {
				fail("update() takes one argument, and names")
			}
			for _, x := range a.pos {
				r.update(&d.table, x)
			}
			for _, pair := range a.kw {
				r.put(&d.table, pair[0], pair[1])
			}
			return starlark.None
		},
	}
}

func asSet(v starlark.Value) *set {
	s, ok := v.(*set)
	if !ok {
		fail("this method needs a set, not %s", quote(typeName(v)))
	}
	return s
}

// toSet is any iterable as a set.
func (r *run) toSet(v starlark.Value) *set {
	if s, ok := v.(*set); ok {
		return s
	}
	out := &set{}
	r.include(out, v)
	return out
}

// setMethods are the methods of set.
func setMethods() map[string]methodFunc {
	m := map[string]methodFunc{
		"add": func(r *run, v starlark.Value, a *args) starlark.Value {
			s := asSet(v)
			s.mutable("set")
			r.put(&s.table, a.one(), starlark.None)
			return starlark.None
		},
		"discard": func(r *run, v starlark.Value, a *args) starlark.Value {
			s := asSet(v)
			s.mutable("set")
			r.drop(&s.table, a.one())
			return starlark.None
		},
		"remove": func(r *run, v starlark.Value, a *args) starlark.Value {
			s := asSet(v)
			s.mutable("set")
			if _, ok := r.drop(&s.table, a.one()); !ok {
				fail("KeyError: the value is not in the set")
			}
			return starlark.None
		},
		"pop": func(r *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			s := asSet(v)
			s.mutable("set")
			for _, e := range s.entries {
				r.charge(1)
				if !e.dead {
					r.drop(&s.table, e.key)
					return e.key
				}
			}
			fail("KeyError: pop from an empty set")
			return nil
		},
		"clear": func(_ *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			s := asSet(v)
			s.mutable("set")
			s.clear()
			return starlark.None
		},
		"copy": func(r *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			out := &set{}
			r.include(out, asSet(v))
			return out
		},
		"issubset": func(r *run, v starlark.Value, a *args) starlark.Value {
			return starlark.Bool(r.subset(&asSet(v).table, &r.toSet(a.one()).table))
		},
		"issuperset": func(r *run, v starlark.Value, a *args) starlark.Value {
			return starlark.Bool(r.subset(&r.toSet(a.one()).table, &asSet(v).table))
		},
		"isdisjoint": func(r *run, v starlark.Value, a *args) starlark.Value {
			both, _ := r.setOperator("&", asSet(v), r.toSet(a.one())).(*set)
			return starlark.Bool(both.live == 0)
		},
	}
	for name, op := range map[string]string{"union": "|", "intersection": "&", "difference": "-", "symmetric_difference": "^"} {
		m[name] = func(r *run, v starlark.Value, a *args) starlark.Value {
			out := asSet(v)
			for _, x := range a.pos {
				out, _ = r.setOperator(op, out, r.toSet(x)).(*set)
			}
			if len(a.pos) == 0 {
				out = r.toSet(newList(r.keys(&out.table)))
			}
			return out
		}
		update := name + "_update"
		if name == "union" {
			update = "update"
		}
		m[update] = func(r *run, v starlark.Value, a *args) starlark.Value {
			s := asSet(v)
			s.mutable("set")
			for _, x := range a.pos {
				out, _ := r.setOperator(op, s, r.toSet(x)).(*set)
				s.table = out.table
			}
			return starlark.None
		}
	}
	return m
}
