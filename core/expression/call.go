package expression

import (
	"go.starlark.net/starlark"
)

// builtin is a function of ours. The base charge is paid before it runs; what depends
// on its arguments it charges itself.
type builtin struct {
	opaque
	name string
	fn   func(r *run, a *args) starlark.Value
	get  func(name string) starlark.Value // attributes of a class, such as datetime.now; nil: none
}

// callCost and callBytes are what a call takes that does nothing: an argument list, a
// frame.
const (
	callCost  = 10
	callBytes = 96
)

func (*builtin) Type() string   { return "function" }
func (b *builtin) Name() string { return b.name }

// CallInternal is what the interpreter calls.
func (b *builtin) CallInternal(thread *starlark.Thread, pos starlark.Tuple, kw []starlark.Tuple) (v starlark.Value, err error) {
	defer catch(&err)
	r, ok := thread.Local(runKey).(*run)
	if !ok {
		fail("this function is called outside of a run")
	}
	r.charge(callCost)
	r.alloc(callBytes)
	return b.fn(r, r.arguments(b.name, pos, kw)), nil
}

// method is a method of a value, bound to it.
type method struct {
	opaque
	name     string
	receiver starlark.Value
	fn       methodFunc
}

type methodFunc func(r *run, v starlark.Value, a *args) starlark.Value

func (*method) Type() string   { return "method" }
func (m *method) Name() string { return m.name }

// CallInternal is what the interpreter calls.
func (m *method) CallInternal(thread *starlark.Thread, pos starlark.Tuple, kw []starlark.Tuple) (v starlark.Value, err error) {
	defer catch(&err)
	r, ok := thread.Local(runKey).(*run)
	if !ok {
		fail("this method is called outside of a run")
	}
	r.charge(callCost)
	r.alloc(callBytes)
	return m.fn(r, m.receiver, r.arguments(m.name, pos, kw)), nil
}

// args are the arguments of one call.
type args struct {
	r    *run
	name string
	pos  starlark.Tuple
	kw   []starlark.Tuple
}

// arguments makes those of one call. They are allocated some at a time, and never used again: nobody
// knows who still refers to them.
func (r *run) arguments(name string, pos starlark.Tuple, kw []starlark.Tuple) *args {
	if len(r.spare) == 0 {
		r.spare = make([]args, 4)
	}
	a := &r.spare[0]
	r.spare = r.spare[1:]
	*a = args{r: r, name: name, pos: pos, kw: kw}
	return a
}

// bind gives each parameter its argument, or nil; the first required ones must have
// one. A name that begins with "*" can be given by name only.
func (a *args) bind(required int, names ...string) []starlark.Value {
	out := make([]starlark.Value, len(names))
	positional := len(names)
	for positional > 0 && names[positional-1][0] == '*' {
		positional--
	}
	if len(a.pos) > positional {
		fail("%s() takes at most %d arguments, and got %d", a.name, positional, len(a.pos))
	}
	copy(out, a.pos)
next:
	for _, pair := range a.kw {
		k, _ := starlark.AsString(pair[0])
		for i, n := range names {
			if n == k || n[0] == '*' && n[1:] == k {
				if out[i] != nil {
					fail("%s() got two values for %s", a.name, quote(n))
				}
				out[i] = pair[1]
				continue next
			}
		}
		fail("%s() got a named argument it does not know", a.name)
	}
	for i, name := range names {
		if i < required && out[i] == nil {
			fail("%s() needs the argument %s", a.name, quote(name))
		}
	}
	return out
}

// one is the only argument.
func (a *args) one() starlark.Value {
	if len(a.pos) != 1 || len(a.kw) != 0 {
		fail("%s() takes exactly one argument, and got %d", a.name, len(a.pos)+len(a.kw))
	}
	return a.pos[0]
}

func (a *args) none() {
	if len(a.pos)+len(a.kw) != 0 {
		fail("%s() takes no arguments, and got %d", a.name, len(a.pos)+len(a.kw))
	}
}

// text is a string argument; def where it is missing.
func (a *args) text(v starlark.Value, what, def string) string {
	switch v := v.(type) {
	case nil:
		return def
	case starlark.String:
		return string(v)
	default:
		fail("%s(): %s must be a string, not %s", a.name, what, quote(typeName(v)))
	}
	return ""
}

// int is an integer argument; def where it is missing or None. What does not fit is
// clamped: as an index, a count or a width it means the same.
func (a *args) int(v starlark.Value, what string, def int) int {
	switch v := v.(type) {
	case nil, starlark.NoneType:
		return def
	case starlark.Bool:
		if v {
			return 1
		}
		return 0
	case starlark.Int:
		return clamp(v)
	default:
		fail("%s(): %s must be an integer, not %s", a.name, what, quote(typeName(v)))
	}
	return 0
}

const far = 1 << 40 // beyond any length

func clamp(i starlark.Int) int {
	n, ok := i.Int64()
	switch {
	case ok && n > -far && n < far:
		return int(n)
	case i.Sign() < 0:
		return -far
	}
	return far
}

func (a *args) bool(v starlark.Value) bool { return v != nil && bool(v.Truth()) }

// call calls a value with positional arguments.
func (r *run) call(f starlark.Value, pos ...starlark.Value) starlark.Value {
	r.charge(callCost)
	r.alloc(callBytes)
	v, err := starlark.Call(&r.thread, f, pos, nil)
	if err != nil {
		if e, ok := err.(*starlark.EvalError); ok { //nolint:errorlint // Call wraps every error so, and the panic must keep its type
			panic(e)
		}
		fail("%s object is not callable", quote(typeName(f)))
	}
	return v
}
