package expression

import "go.starlark.net/starlark"

// predeclared is every name that is always there: the functions of authentik and of
// Python, and, under names no source can spell, the operators.
func predeclared() starlark.StringDict {
	out := starlark.StringDict{"None": starlark.None, "True": starlark.True, "False": starlark.False, "@spread": &spread{}}
	for _, table := range []map[string]func(*run, *args) starlark.Value{
		operators(), python(), pythonTypes(), authentik(),
	} {
		for name, fn := range table {
			out[name] = &builtin{name: name, fn: fn}
		}
	}
	for _, kind := range []string{
		"Exception", "ValueError", "KeyError", "TypeError", "IndexError", "AttributeError", "RuntimeError",
		"LookupError", "NotImplementedError", "AssertionError", "PermissionError", "StopIteration", "SkipObject",
	} {
		out[kind] = &builtin{name: kind, fn: func(r *run, a *args) starlark.Value {
			r.values(len(a.pos))
			return &exception{kind: kind, args: a.pos}
		}}
	}
	for name, class := range calendarTypes() {
		out[name] = class
	}
	out["ak_logger"] = logger()
	return out
}

// operators are what the parser emits.
func operators() map[string]func(*run, *args) starlark.Value {
	m := map[string]func(*run, *args) starlark.Value{
		"@enter": func(r *run, a *args) starlark.Value { // a frame: its variables and operands
			n, _ := starlark.AsInt32(a.pos[0])
			r.alloc(48 * n)
			return starlark.None
		},
		"@lambda": func(_ *run, a *args) starlark.Value { return a.pos[1] },
		"@name":   func(r *run, a *args) starlark.Value { return r.name(a.text(a.pos[0], "name", "")) },
		"@given": func(r *run, a *args) starlark.Value {
			return starlark.Bool(r.given(a.text(a.pos[0], "name", "")))
		},
		"@cell": func(_ *run, a *args) starlark.Value { return &cell{name: a.text(a.pos[0], "name", "")} },
		"@cellset": func(_ *run, a *args) starlark.Value {
			c, _ := a.pos[0].(*cell)
			c.value = a.pos[1]
			return c.value
		},
		"@cellget": func(_ *run, a *args) starlark.Value {
			c, _ := a.pos[0].(*cell)
			if c.value == nil {
				fail("name %s is used before it has a value", quote(c.name))
			}
			return c.value
		},
		"@list": func(r *run, a *args) starlark.Value { return newList(r.slice(a.pos[0])) },
		"@set":  func(r *run, a *args) starlark.Value { return r.toSet(newList(r.slice(a.pos[0]))) },
		"@dict": func(r *run, a *args) starlark.Value {
			items, _ := a.pos[0].(starlark.Tuple)
			out := &dict{}
			out.grow(min(len(items)/2, 16)) // what a spread of nothing has room for is not charged
			r.alloc(64)
			for i := 0; i < len(items); i += 2 {
				if _, ok := items[i].(*spread); !ok {
					r.put(&out.table, items[i], items[i+1])
					continue
				}
				r.update(&out.table, asMapping(items[i+1]))
			}
			return out
		},
		"@dictpairs": func(r *run, a *args) starlark.Value {
			out := &dict{}
			for _, pair := range r.slice(a.pos[0]) {
				kv, _ := pair.(starlark.Tuple)
				r.put(&out.table, kv[0], kv[1])
			}
			return out
		},
		"@splat":  splat,
		"@args":   func(r *run, a *args) starlark.Value { return starlark.Tuple(r.slice(a.pos[0])) },
		"@kwargs": kwargs,
		"@spreads": func(r *run, a *args) starlark.Value {
			out := &dict{}
			all, _ := a.pos[0].(starlark.Tuple)
			for _, v := range all {
				r.update(&out.table, asMapping(v))
			}
			if out.live > maxArguments {
				fail("more than %d named arguments", maxArguments)
			}
			r.charge(out.live * out.live) // parameters are found one by one
			return out
		},
		"@iter":   func(r *run, a *args) starlark.Value { return r.iterable(a.pos[0]) },
		"@unpack": unpack,
		"@append": func(r *run, a *args) starlark.Value { r.append(asList(a.pos[0]), a.pos[1]); return starlark.None },
		"@extend": func(r *run, a *args) starlark.Value { r.extend(asList(a.pos[0]), a.pos[1]); return starlark.None },
		"@item":   func(r *run, a *args) starlark.Value { return r.item(a.pos[0], a.pos[1], false) },
		"@key":    func(r *run, a *args) starlark.Value { return r.item(a.pos[0], a.pos[1], true) },
		"@slice":  func(r *run, a *args) starlark.Value { return r.slicing(a.pos[0], a.pos[1], a.pos[2], a.pos[3]) },
		"@attr": func(r *run, a *args) starlark.Value {
			return r.attributes(a.pos[0], a.pos[1:])
		},
		"@path": func(r *run, a *args) starlark.Value { // @attr of @name
			r.charge(callCost)
			r.alloc(callBytes)
			return r.attributes(r.name(a.text(a.pos[0], "name", "")), a.pos[1:])
		},
		"@setitem": func(r *run, a *args) starlark.Value {
			r.setItem(a.pos[0], a.pos[1], a.pos[2])
			return starlark.None
		},
		"@delitem": func(r *run, a *args) starlark.Value { r.delItem(a.pos[0], a.pos[1]); return starlark.None },
		"@inplace": func(r *run, a *args) starlark.Value {
			return r.inPlace(a.text(a.pos[0], "operator", ""), a.pos[1], a.pos[2])
		},
		"@inplaceitem": func(r *run, a *args) starlark.Value {
			op, v, k := a.text(a.pos[0], "operator", ""), a.pos[1], a.pos[2]
			r.setItem(v, k, r.inPlace(op, r.item(v, k, false), a.pos[3]))
			return starlark.None
		},
		"@chain":  chain,
		"@concat": concat,
		"@format": func(r *run, a *args) starlark.Value {
			v := a.pos[0]
			if conv := a.text(a.pos[1], "conversion", ""); conv != "" {
				v = starlark.String(r.convert(v, conv))
			}
			return starlark.String(r.format(v, a.text(a.pos[2], "specification", "")))
		},
		"@raise":  raise,
		"@assert": assertFailed,
	}
	for _, op := range []string{"+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>"} {
		m["@"+op] = func(r *run, a *args) starlark.Value { return r.operator(op, a.pos[0], a.pos[1]) }
	}
	for _, op := range []string{"+", "-", "~"} {
		m["@unary"+op] = func(r *run, a *args) starlark.Value { return r.unary(op, a.pos[0]) }
	}
	for _, op := range []string{"==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"} {
		m["@"+op] = func(r *run, a *args) starlark.Value { return starlark.Bool(r.compare(op, a.pos[0], a.pos[1])) }
	}
	return m
}

func asMapping(v starlark.Value) *dict {
	d, ok := v.(*dict)
	if !ok {
		fail("TypeError: after ** must stand a dict, not %s", quote(typeName(v)))
	}
	return d
}

// splat builds a tuple of items, some of which had a star.
func splat(r *run, a *args) starlark.Value {
	pairs, _ := a.pos[0].(starlark.Tuple)
	out := &list{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == starlark.True {
			r.extend(out, pairs[i+1])
		} else {
			r.append(out, pairs[i+1])
		}
	}
	return starlark.Tuple(out.items)
}

// kwargs turns the dict that Starlark made of named arguments into one of ours.
func kwargs(r *run, a *args) starlark.Value {
	out := &dict{}
	if d, ok := a.pos[0].(*starlark.Dict); ok {
		for _, pair := range d.Items() {
			r.put(&out.table, pair[0], pair[1])
		}
	}
	return out
}

// unpack checks that there are as many values as targets; where one has a star it
// takes what is left, as a list.
func unpack(r *run, a *args) starlark.Value {
	n, _ := starlark.AsInt32(a.pos[1])
	star, _ := starlark.AsInt32(a.pos[2])
	if star < 0 {
		if t, ok := a.pos[0].(starlark.Tuple); ok && len(t) == n {
			return t
		}
	}
	items := r.slice(a.pos[0])
	if star < 0 && len(items) != n || len(items) < n-1 {
		fail("ValueError: %d values cannot be unpacked into %d names", len(items), n)
	}
	if star < 0 {
		return starlark.Tuple(items)
	}
	rest := len(items) - (n - 1)
	out := make(starlark.Tuple, 0, n)
	out = append(out, items[:star]...)
	out = append(out, newList(append([]starlark.Value(nil), items[star:star+rest]...)))
	return append(out, items[star+rest:]...)
}

func chain(r *run, a *args) starlark.Value {
	ops, _ := a.pos[0].(starlark.Tuple)
	operands, _ := a.pos[1].(starlark.Tuple)
	for i, op := range ops {
		if !r.compare(a.text(op, "operator", ""), operands[i], operands[i+1]) {
			return starlark.False
		}
	}
	return starlark.True
}

func concat(r *run, a *args) starlark.Value {
	parts, _ := a.pos[0].(starlark.Tuple)
	w := &writer{r: r}
	for _, p := range parts {
		w.add(a.text(p, "part", ""))
	}
	return starlark.String(w.b.String())
}

// raise ends the run with an exception. Its message is shown only where it is a
// constant of the source.
func raise(r *run, a *args) starlark.Value {
	var e *exception
	switch v := a.pos[0].(type) {
	case *exception:
		e = v
	case *builtin:
		e, _ = v.fn(r, &args{r: r, name: v.name}).(*exception)
	}
	if e == nil {
		fail("TypeError: exceptions must be raised, not %s", quote(typeName(a.pos[0])))
	}
	if e.kind == "SkipObject" {
		panic(&fault{message: "SkipObject", err: ErrSkipObject})
	}
	if a.pos[1] != starlark.True {
		fail("%s was raised; its message is not constant and may hold a secret, so it is not shown", e.kind)
	}
	if len(e.args) == 0 {
		fail("%s", e.kind)
	}
	fail("%s: %s", e.kind, cut(r.str(e), 500))
	return nil
}

func assertFailed(r *run, a *args) starlark.Value {
	if len(a.pos) == 2 && a.pos[1] == starlark.True {
		fail("AssertionError: %s", cut(r.str(a.pos[0]), 500))
	}
	fail("AssertionError")
	return nil
}

// cut shortens a text for a message or a log line.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
