package expression

import (
	"strings"

	"go.starlark.net/starlark"
)

// attribute is v.name, for a name that stands in the source.
func (r *run) attribute(v starlark.Value, name string) starlark.Value {
	x := r.optional(v, name)
	if x == nil {
		fail("AttributeError: %s object has no attribute %s", quote(typeName(v)), quote(cut(name, 60)))
	}
	return x
}

// attributes is v.name.name…, in one call of Starlark's: all but the first are charged as the calls that
// they would be.
func (r *run) attributes(v starlark.Value, names starlark.Tuple) starlark.Value {
	for i, name := range names {
		if i > 0 {
			r.charge(callCost)
			r.alloc(callBytes)
		}
		text, _ := starlark.AsString(name)
		v = r.attribute(v, text)
	}
	return v
}

// computed is attribute for a name that the program made: it may hold a secret, so the
// error does not show it.
func (r *run) computed(v starlark.Value, name string) starlark.Value {
	x := r.optional(v, name)
	if x == nil {
		fail("AttributeError: %s object has no such attribute", quote(typeName(v)))
	}
	return x
}

// optional is attribute, or nil. Only methods of ours and attributes of our objects
// exist; no name that begins with an underscore does.
func (r *run) optional(v starlark.Value, name string) starlark.Value {
	if strings.HasPrefix(name, "_") || name == "" {
		return nil
	}
	r.charge(2)
	table := r.methods.of(v)
	if o, ok := v.(*object); ok {
		return o.get(name)
	}
	if b, ok := v.(*builtin); ok {
		if b.get != nil {
			return b.get(name)
		}
		return r.unbound(b, name)
	}
	if fn, ok := table[name]; ok {
		r.alloc(80)
		return &method{name: name, receiver: v, fn: fn}
	}
	return nil
}

// unbound is a method of a type, such as str.lower, for map() and sorted().
func (r *run) unbound(b *builtin, name string) starlark.Value {
	if b.name == "dict" && name == "fromkeys" {
		return &builtin{name: name, fn: fromKeys}
	}
	var table map[string]methodFunc
	switch b.name {
	case "str":
		table = r.methods.str
	case "list":
		table = r.methods.list
	case "dict":
		table = r.methods.dict
	}
	fn, ok := table[name]
	if !ok {
		return nil
	}
	return &builtin{name: name, fn: func(r *run, a *args) starlark.Value {
		if len(a.pos) == 0 {
			fail("%s.%s() needs a %s", b.name, name, b.name)
		}
		return fn(r, a.pos[0], &args{r: r, name: name, pos: a.pos[1:], kw: a.kw})
	}}
}

func fromKeys(r *run, a *args) starlark.Value {
	b := a.bind(1, "iterable", "value")
	out := &dict{}
	r.each(b[0], func(k starlark.Value) bool {
		r.put(&out.table, k, orNone(b[1]))
		return true
	})
	return out
}

// methods are the tables of methods by type.
type methods struct {
	str, list, tuple, dict, set, integer, float, query map[string]methodFunc
}

func newMethods() *methods {
	return &methods{
		str: stringMethods(), list: listMethods(), tuple: tupleMethods(), dict: dictMethods(), set: setMethods(),
		integer: map[string]methodFunc{
			"bit_length": func(_ *run, v starlark.Value, a *args) starlark.Value {
				a.none()
				i, _ := asInt(v)
				return starlark.MakeInt(i.BigInt().BitLen())
			},
		},
		float: map[string]methodFunc{
			"is_integer": func(_ *run, v starlark.Value, a *args) starlark.Value {
				a.none()
				f := asFloatOnly(v)
				return starlark.Bool(f == float64(int64(f)))
			},
		},
		query: queryMethods(),
	}
}

func (m *methods) of(v starlark.Value) map[string]methodFunc {
	switch v.(type) {
	case starlark.String:
		return m.str
	case *list:
		return m.list
	case starlark.Tuple:
		return m.tuple
	case *dict:
		return m.dict
	case *set:
		return m.set
	case starlark.Int, starlark.Bool:
		return m.integer
	case starlark.Float:
		return m.float
	case *query:
		return m.query
	}
	return nil
}
