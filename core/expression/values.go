package expression

import (
	"errors"

	"go.starlark.net/starlark"
)

// The mutable values are our own types: none of Starlark's own, whose methods are not
// charged, can be reached by a program. What a program does to these goes through the
// functions of this package; the methods below are only what the interpreter itself
// needs, and take constant time.

// opaque is what the interpreter asks of a value and our programs never see.
type opaque struct{}

func (opaque) String() string        { return "value" }
func (opaque) Freeze()               {} // values live in one run
func (opaque) Truth() starlark.Bool  { return true }
func (opaque) Hash() (uint32, error) { return 0, errHash }

// maxData is how deep values may be nested where something walks them.
const maxData = 60

var errHash = errors.New("unhashable")

// list is Python's.
type list struct {
	opaque
	items  []starlark.Value
	frozen bool
}

func (*list) Type() string                                     { return "list" }
func (l *list) Truth() starlark.Bool                           { return len(l.items) > 0 }
func (l *list) Iterate() starlark.Iterator                     { return &listIterator{list: l} }
func (l *list) Len() int                                       { return len(l.items) }
func (l *list) mutable()                                       { mutable(l.frozen, "list") }
func newList(items []starlark.Value) *list                     { return &list{items: items} }
func (d *dict) Len() int                                       { return d.live }
func (*dict) Type() string                                     { return "dict" }
func (d *dict) Truth() starlark.Bool                           { return d.live > 0 }
func (*set) Type() string                                      { return "set" }
func (s *set) Truth() starlark.Bool                            { return s.live > 0 }
func (s *set) Len() int                                        { return s.live }
func (c *cell) Type() string                                   { return "cell" }
func (x *rangeValue) Type() string                             { return "range" }
func (x *rangeValue) Truth() starlark.Bool                     { return x.n > 0 }
func (x *rangeValue) Iterate() starlark.Iterator               { return &rangeIterator{r: x} }
func (x *rangeValue) at(i int) starlark.Value                  { return starlark.MakeInt(x.start + i*x.step) }
func (e *exception) Type() string                              { return e.kind }
func (*spread) Type() string                                   { return "**" }
func (d *dict) Iterate() starlark.Iterator                     { return &tableIterator{t: &d.table} }
func (s *set) Iterate() starlark.Iterator                      { return &tableIterator{t: &s.table} }
func (*dict) Get(starlark.Value) (starlark.Value, bool, error) { return nil, false, errHash }

func mutable(frozen bool, kind string) {
	if frozen {
		fail("this %s is read-only: copy it first, with %s(…)", kind, kind)
	}
}

// listIterator follows the list as it is: a loop that appends to its own list ends
// with the budget.
type listIterator struct {
	list *list
	next int
}

func (i *listIterator) Next(p *starlark.Value) bool {
	if i.next >= len(i.list.items) {
		return false
	}
	*p = i.list.items[i.next]
	i.next++
	return true
}

func (*listIterator) Done() {}

// dict is Python's.
type dict struct {
	opaque
	table
}

// Items is what the interpreter asks for after ** in a call; it is charged before.
func (d *dict) Items() []starlark.Tuple {
	out := make([]starlark.Tuple, 0, d.live)
	for _, e := range d.entries {
		if !e.dead {
			out = append(out, starlark.Tuple{e.key, e.value})
		}
	}
	return out
}

// set is Python's; frozen, it is a frozenset.
type set struct {
	opaque
	table
}

type tableIterator struct {
	t    *table
	next int
}

func (i *tableIterator) Next(p *starlark.Value) bool {
	for i.next < len(i.t.entries) {
		e := &i.t.entries[i.next]
		i.next++
		if !e.dead {
			*p = e.key
			return true
		}
	}
	return false
}

func (*tableIterator) Done() {}

// cell holds a name that := sets.
type cell struct {
	opaque
	name  string
	value starlark.Value
}

// rangeValue is Python's range: it holds no numbers.
type rangeValue struct {
	opaque
	start, stop, step, n int
}

type rangeIterator struct {
	r    *rangeValue
	next int
}

func (i *rangeIterator) Next(p *starlark.Value) bool {
	if i.next >= i.r.n {
		return false
	}
	*p = i.r.at(i.next)
	i.next++
	return true
}

func (*rangeIterator) Done() {}

// exception is what raise takes.
type exception struct {
	opaque
	kind string
	args starlark.Tuple
}

// spread marks a ** in a dict display.
type spread struct{ opaque }

// object is a read-only value of ours: a user, a group, a request, an address. Its
// attributes are found when they are asked for.
type object struct {
	opaque
	kind string                           // as type() names it
	id   string                           // two objects of a kind with the same id are equal
	get  func(name string) starlark.Value // nil: no such attribute
	text func() string                    // str(); nil: <kind>
	repr func() string                    // repr(); nil: made of kind and text
	data any                              // what it stands for
	// falsy: its truth is false, as that of a policy's result that does not pass.
	falsy bool
}

func (o *object) Type() string         { return o.kind }
func (o *object) Truth() starlark.Bool { return starlark.Bool(!o.falsy) }

// query is a Django QuerySet: an ordered list of users or groups.
type query struct {
	opaque
	kind  string
	items []*object
}

func (q *query) Type() string               { return "QuerySet" }
func (q *query) Truth() starlark.Bool       { return len(q.items) > 0 }
func (q *query) Iterate() starlark.Iterator { return &queryIterator{q: q} }

type queryIterator struct {
	q    *query
	next int
}

func (i *queryIterator) Next(p *starlark.Value) bool {
	if i.next >= len(i.q.items) {
		return false
	}
	*p = i.q.items[i.next]
	i.next++
	return true
}

func (*queryIterator) Done() {}

// typeName is the name that type() shows.
func typeName(v starlark.Value) string {
	switch v := v.(type) {
	case starlark.String:
		return "str"
	case starlark.Bool:
		return "bool"
	case *set:
		if v.frozen {
			return "frozenset"
		}
	case *starlark.Function, *builtin:
		return "function"
	}
	return v.Type()
}
