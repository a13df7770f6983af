package expression

import (
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// manager is a Django manager: what user.ak_groups and group.users are. Its methods
// are those of the query that it makes.
func (r *run) manager(kind string, load func() []*object) *object {
	var q *query
	return &object{kind: "Manager", id: kind, get: func(name string) starlark.Value {
		fn, ok := r.methods.query[name]
		if !ok {
			return nil
		}
		if q == nil {
			q = &query{kind: kind, items: load()}
		}
		return &method{name: name, receiver: q, fn: fn}
	}}
}

func asQuery(v starlark.Value) *query {
	q, ok := v.(*query)
	if !ok {
		fail("this method needs a QuerySet, not %s", quote(typeName(v)))
	}
	return q
}

// queryMethods are the methods of a QuerySet that read.
func queryMethods() map[string]methodFunc {
	pick := func(keep bool) methodFunc {
		return func(r *run, v starlark.Value, a *args) starlark.Value { return asQuery(v).filter(r, a, keep) }
	}
	return map[string]methodFunc{
		"all":      func(_ *run, v starlark.Value, a *args) starlark.Value { a.none(); return v },
		"distinct": func(_ *run, v starlark.Value, a *args) starlark.Value { a.none(); return v },
		"none":     func(_ *run, v starlark.Value, a *args) starlark.Value { a.none(); return &query{kind: asQuery(v).kind} },
		"filter":   pick(true),
		"exclude":  pick(false),
		"exists": func(r *run, v starlark.Value, a *args) starlark.Value {
			return starlark.Bool(len(asQuery(v).filter(r, a, true).items) > 0)
		},
		"count": func(_ *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			return starlark.MakeInt(len(asQuery(v).items))
		},
		"first": func(_ *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			if items := asQuery(v).items; len(items) > 0 {
				return items[0]
			}
			return starlark.None
		},
		"last": func(_ *run, v starlark.Value, a *args) starlark.Value {
			a.none()
			if items := asQuery(v).items; len(items) > 0 {
				return items[len(items)-1]
			}
			return starlark.None
		},
		"get": func(r *run, v starlark.Value, a *args) starlark.Value {
			q := asQuery(v).filter(r, a, true)
			if len(q.items) != 1 {
				fail("get() found %d objects of type %s, not one: use filter(…).first()", len(q.items), q.kind)
			}
			return q.items[0]
		},
		"values_list": valuesList,
		"values": func(r *run, v starlark.Value, a *args) starlark.Value {
			out := &list{}
			for _, o := range asQuery(v).items {
				d := &dict{}
				for _, f := range a.pos {
					r.put(&d.table, f, r.field(o, a.text(f, "a field", "")))
				}
				r.append(out, d)
			}
			return out
		},
		"order_by": orderBy,
	}
}

func (q *query) filter(r *run, a *args, keep bool) *query {
	if len(a.pos) > 0 {
		fail("%s() takes names only, such as name=\"…\" or name__startswith=\"…\"", a.name)
	}
	out := &query{kind: q.kind}
	r.values(len(q.items))
	for _, o := range q.items {
		if r.fits(o, a.kw) == keep {
			out.items = append(out.items, o)
		}
	}
	return out
}

func valuesList(r *run, v starlark.Value, a *args) starlark.Value {
	flat := false
	for _, pair := range a.kw {
		if pair[0] != starlark.String("flat") {
			fail("values_list() got a named argument it does not know")
		}
		flat = bool(pair[1].Truth())
	}
	if len(a.pos) == 0 || flat && len(a.pos) > 1 {
		fail("values_list() needs the names of fields, and with flat=True exactly one")
	}
	out := &list{}
	for _, o := range asQuery(v).items {
		row := make(starlark.Tuple, len(a.pos))
		r.values(len(row))
		for i, f := range a.pos {
			row[i] = r.field(o, a.text(f, "a field", ""))
		}
		if flat {
			r.append(out, row[0])
		} else {
			r.append(out, row)
		}
	}
	return out
}

func orderBy(r *run, v starlark.Value, a *args) starlark.Value {
	q := asQuery(v)
	r.values(len(q.items))
	out := &query{kind: q.kind, items: slices.Clone(q.items)}
	for i := len(a.pos) - 1; i >= 0; i-- {
		name, sign := a.text(a.pos[i], "a field", ""), 1
		if strings.HasPrefix(name, "-") {
			name, sign = name[1:], -1
		}
		slices.SortStableFunc(out.items, func(x, y *object) int {
			c, _ := r.order("<", r.field(x, name), r.field(y, name), 0)
			return sign * c
		})
	}
	return out
}

// field is a field of an object by Django's name: "name", or "attributes__key".
func (r *run) field(o *object, name string) starlark.Value {
	head, rest, _ := strings.Cut(name, "__")
	v := r.computed(o, head)
	for rest != "" {
		var key string
		key, rest, _ = strings.Cut(rest, "__")
		d, ok := v.(*dict)
		if !ok {
			return starlark.None
		}
		if v, ok = d.find(r.key(starlark.String(key))); !ok {
			return starlark.None
		}
	}
	return v
}

// fits reports whether an object satisfies all lookups (Django, "Field lookups").
func (r *run) fits(o *object, lookups []starlark.Tuple) bool {
	for _, pair := range lookups {
		name, _ := starlark.AsString(pair[0])
		op := "exact"
		if i := strings.LastIndex(name, "__"); i > 0 && isLookup(name[i+2:]) {
			name, op = name[:i], name[i+2:]
		}
		if !r.lookupFits(op, r.field(o, name), pair[1]) {
			return false
		}
	}
	return true
}

func isLookup(s string) bool {
	switch s {
	case "exact", "iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith",
		"in", "isnull", "gt", "gte", "lt", "lte", "regex", "iregex":
		return true
	}
	return false
}

func (r *run) lookupFits(op string, v, want starlark.Value) bool {
	r.charge(5)
	switch op {
	case "exact":
		return r.equal(v, want, 0)
	case "in":
		if q, ok := want.(*query); ok {
			want = newList(r.slice(q))
		}
		return r.contains(want, v)
	case "isnull":
		return (v == starlark.None) == bool(want.Truth())
	}
	if v == starlark.None {
		return false
	}
	switch op {
	case "gt", "gte", "lt", "lte":
		return r.compare(map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[op], v, want)
	}
	if l, ok := v.(*list); ok && op == "contains" { // of JSON: the list holds it
		return r.find(l.items, want) >= 0
	}
	s, x := r.str(v), r.str(want)
	r.charge(len(s) + len(x))
	if op == "regex" || op == "iregex" {
		if op == "iregex" {
			x = "(?i)" + x
		}
		p := r.pattern(x)
		r.cost(p, len(s))
		return p.re.MatchString(s)
	}
	if op[0] == 'i' {
		r.charge(1200 + 20*(len(s)+len(x)))
		r.alloc(8 * (len(s) + len(x)))
		s, x, op = core.Fold(s), core.Fold(x), op[1:]
	}
	switch op {
	case "exact":
		return s == x
	case "contains":
		return strings.Contains(s, x)
	case "startswith":
		return strings.HasPrefix(s, x)
	case "endswith":
		return strings.HasSuffix(s, x)
	}
	fail("unknown lookup")
	return false
}
