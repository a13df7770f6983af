package expression

import (
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// each calls do with every element until it returns false.
func (r *run) each(v starlark.Value, do func(starlark.Value) bool) {
	switch v := v.(type) {
	case starlark.String:
		for _, c := range string(v) {
			r.alloc(24)
			if !do(starlark.String(string(c))) {
				return
			}
		}
		return
	case starlark.Tuple:
		for _, x := range v {
			r.charge(2)
			if !do(x) {
				return
			}
		}
		return
	}
	it := r.iterator(v)
	big := 0
	if x, ok := v.(*rangeValue); ok && magnitude(int64(x.stop)) > 1<<31 {
		big = intCost
	}
	var x starlark.Value
	for it.Next(&x) {
		r.charge(2)
		r.alloc(big)
		if !do(x) {
			return
		}
	}
}

// iterator is for values that can be iterated over in constant time a step.
func (r *run) iterator(v starlark.Value) starlark.Iterator {
	switch v := v.(type) {
	case starlark.Tuple:
		return v.Iterate()
	case *list, *dict, *set, *rangeValue, *query:
		return v.(starlark.Iterable).Iterate()
	case starlark.String:
		return r.chars(string(v)).Iterate()
	}
	fail("%s object is not iterable", quote(typeName(v)))
	return nil
}

// iterable is v as something the interpreter can loop over by itself.
func (r *run) iterable(v starlark.Value) starlark.Value {
	switch v := v.(type) {
	case starlark.String:
		return r.chars(string(v))
	case starlark.Tuple, *list, *rangeValue, *query:
		return v
	case *dict: // a snapshot: the loop may change the dict
		return newList(r.keys(&v.table))
	case *set:
		return newList(r.keys(&v.table))
	}
	fail("%s object is not iterable", quote(typeName(v)))
	return nil
}

func (r *run) chars(s string) starlark.Tuple {
	n := utf8.RuneCountInString(s)
	r.charge(len(s))
	r.values(2 * n)
	out := make(starlark.Tuple, 0, n)
	for _, c := range s {
		out = append(out, starlark.String(string(c)))
	}
	return out
}

// slice is the elements of v, in a slice that the caller may keep.
func (r *run) slice(v starlark.Value) []starlark.Value {
	switch v := v.(type) {
	case starlark.Tuple:
		r.values(len(v))
		return append([]starlark.Value(nil), v...)
	case *list:
		r.values(len(v.items))
		return append([]starlark.Value(nil), v.items...)
	case *dict:
		return r.keys(&v.table)
	case *set:
		return r.keys(&v.table)
	case starlark.String:
		return r.chars(string(v))
	case *rangeValue:
		r.values(6 * v.n)
		out := make([]starlark.Value, v.n)
		for i := range out {
			out[i] = v.at(i)
		}
		return out
	case *query:
		r.values(len(v.items))
		out := make([]starlark.Value, len(v.items))
		for i, o := range v.items {
			out[i] = o
		}
		return out
	case *starlark.List: // what a comprehension made
		r.values(v.Len())
		out := make([]starlark.Value, v.Len())
		for i := range out {
			out[i] = v.Index(i)
		}
		return out
	}
	fail("%s object is not iterable", quote(typeName(v)))
	return nil
}

// length is len().
func (r *run) length(v starlark.Value) int {
	switch v := v.(type) {
	case starlark.String:
		r.charge(len(v) / 8)
		return utf8.RuneCountInString(string(v))
	case starlark.Tuple:
		return len(v)
	case *list:
		return len(v.items)
	case *dict:
		return v.live
	case *set:
		return v.live
	case *rangeValue:
		return v.n
	case *query:
		return len(v.items)
	}
	fail("object of type %s has no len()", quote(typeName(v)))
	return 0
}

// ascii reports whether byte and character positions are the same.
func (r *run) ascii(s string) bool {
	r.charge(len(s) / 8)
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// index is v[i] for an integer i within bounds.
func (r *run) at(v starlark.Value, i int) starlark.Value {
	switch v := v.(type) {
	case starlark.String:
		if r.ascii(string(v)) {
			return v[i : i+1]
		}
		r.charge(len(v))
		for at, c := range string(v) {
			if i == 0 {
				return v[at : at+utf8.RuneLen(c)]
			}
			i--
		}
	case starlark.Tuple:
		return v[i]
	case *list:
		return v.items[i]
	case *rangeValue:
		return v.at(i)
	case *query:
		return v.items[i]
	}
	return starlark.None
}

// item is v[k]. The key may be named in the error where it stands in the source.
func (r *run) item(v, k starlark.Value, literal bool) starlark.Value {
	if d, ok := v.(*dict); ok {
		x, ok := d.find(r.key(k))
		if !ok {
			if s, isText := k.(starlark.String); literal && isText {
				fail("KeyError: %s is not in the dict", quote(string(s)))
			}
			fail("KeyError: the key is not in the dict")
		}
		return x
	}
	return r.at(v, r.position(v, k))
}

// position checks an index.
func (r *run) position(v, k starlark.Value) int {
	switch v.(type) {
	case starlark.String, starlark.Tuple, *list, *rangeValue, *query:
	default:
		fail("%s object is not subscriptable", quote(typeName(v)))
	}
	n := r.length(v)
	var i int
	switch k := k.(type) {
	case starlark.Int:
		i = clamp(k)
	case starlark.Bool:
		if k {
			i = 1
		}
	default:
		fail("%s indices must be integers, not %s", typeName(v), quote(typeName(k)))
	}
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		fail("IndexError: %s index out of range", typeName(v))
	}
	return i
}

// setItem is v[k] = x.
func (r *run) setItem(v, k, x starlark.Value) {
	switch v := v.(type) {
	case *dict:
		v.mutable("dict")
		r.put(&v.table, k, x)
	case *list:
		v.mutable()
		v.items[r.position(v, k)] = x
	case *object, *query:
		fail("%s object is read-only", quote(typeName(v)))
	default:
		fail("%s object does not support item assignment", quote(typeName(v)))
	}
}

// delItem is del v[k].
func (r *run) delItem(v, k starlark.Value) {
	switch v := v.(type) {
	case *dict:
		v.mutable("dict")
		if _, ok := r.drop(&v.table, k); !ok {
			fail("KeyError: the key is not in the dict")
		}
	case *list:
		v.mutable()
		i := r.position(v, k)
		r.charge(len(v.items))
		v.items = append(v.items[:i], v.items[i+1:]...)
	default:
		fail("%s object does not support item deletion", quote(typeName(v)))
	}
}
