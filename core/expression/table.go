package expression

import (
	"math"
	"strings"

	"go.starlark.net/starlark"
)

// table is the ordered hash table of dict and set. It is our own, because Starlark's
// hashes strings and integers predictably: keys that collide would make it quadratic,
// and a tuple of tuples that share parts would take for ever to hash.
type table struct {
	index   map[any]int
	entries []entry
	live    int
	frozen  bool
}

type entry struct {
	key, value starlark.Value
	id         any
	dead       bool
}

// entryCost is what an entry takes: itself, its place in the index, and what growing
// by doubling throws away.
const entryCost = 240

// Keys that Go's own types do not cover.
type (
	noneKey   struct{}
	nanKey    struct{}
	bigKey    string
	tupleKey  string
	objectKey struct{ kind, id string }
)

// key is what a value is as a key: values that are equal in Python have the same.
func (r *run) key(v starlark.Value) any {
	r.charge(1)
	switch v := v.(type) {
	case starlark.String:
		r.charge(len(v) / 32)
		return string(v)
	case starlark.Bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case starlark.Int:
		if i, ok := v.Int64(); ok {
			return i
		}
		r.alloc(maxIntBits)
		return bigKey(v.BigInt().Text(62))
	case starlark.Float:
		f := float64(v)
		switch {
		case math.IsNaN(f):
			return nanKey{}
		case f == math.Trunc(f) && math.Abs(f) < 1<<62:
			return int64(f)
		}
		return f
	case starlark.NoneType:
		return noneKey{}
	case starlark.Tuple:
		var b strings.Builder
		r.tupleKey(&b, v, 0)
		return tupleKey(b.String())
	case *set:
		if v.frozen {
			fail("a frozenset cannot be a key here")
		}
	case *object:
		return objectKey{v.kind, v.id}
	case *builtin:
		return v
	}
	fail("unhashable type: %s", quote(typeName(v)))
	return nil
}

// tupleKey writes a tuple so that equal tuples, and no others, give the same text. It is charged
// as it grows: tuples that share parts can be exponentially larger than they look.
func (r *run) tupleKey(b *strings.Builder, t starlark.Tuple, depth int) {
	if depth > maxData {
		fail("a tuple is nested too deep to be a key")
	}
	for _, v := range t {
		if sub, ok := v.(starlark.Tuple); ok {
			b.WriteByte('(')
			r.tupleKey(b, sub, depth+1)
			b.WriteByte(')')
			r.alloc(16)
			continue
		}
		before := b.Len()
		switch k := r.key(v).(type) {
		case string:
			b.WriteString("s" + itoa(len(k)) + ":" + k)
		case int64:
			b.WriteString("i" + itoa(int(k)))
		case float64:
			b.WriteString("f" + itoa(int(math.Float64bits(k)))) //nolint:gosec // only told apart
		case bigKey:
			b.WriteString("b" + string(k))
		case noneKey:
			b.WriteByte('n')
		case nanKey:
			b.WriteByte('x')
		case objectKey:
			b.WriteString("o" + itoa(len(k.kind)) + ":" + k.kind + itoa(len(k.id)) + ":" + k.id)
		case *builtin:
			b.WriteString("t" + k.name)
		}
		b.WriteByte(',')
		r.alloc(16 + 6*(b.Len()-before))
	}
}

func (t *table) find(id any) (starlark.Value, bool) {
	if i, ok := t.index[id]; ok {
		return t.entries[i].value, true
	}
	return nil, false
}

// grow makes room for n entries in an empty one.
func (t *table) grow(n int) {
	if n > 0 {
		t.index, t.entries = make(map[any]int, n), make([]entry, 0, n)
	}
}

func (t *table) mutable(what string) {
	if t.frozen {
		fail("this %s is read-only: copy it first, with %s(…)", what, what)
	}
}

// put sets a key; an entry that is there keeps its place.
func (r *run) put(t *table, k, v starlark.Value) {
	id := r.key(k)
	if i, ok := t.index[id]; ok {
		t.entries[i].value = v
		return
	}
	r.alloc(entryCost)
	r.charge(20)
	if t.index == nil {
		t.index = map[any]int{}
	}
	t.index[id] = len(t.entries)
	t.entries = append(t.entries, entry{key: k, value: v, id: id})
	t.live++
}

// drop removes a key.
func (r *run) drop(t *table, k starlark.Value) (starlark.Value, bool) {
	id := r.key(k)
	i, ok := t.index[id]
	if !ok {
		return nil, false
	}
	v := t.entries[i].value
	delete(t.index, id)
	t.entries[i] = entry{dead: true}
	t.live--
	if t.live*2 < len(t.entries) && len(t.entries) > 16 {
		r.charge(4 * len(t.entries))
		kept := t.entries[:0]
		for _, e := range t.entries {
			if !e.dead {
				t.index[e.id] = len(kept)
				kept = append(kept, e)
			}
		}
		clear(t.entries[len(kept):])
		t.entries = kept
	}
	return v, true
}

func (t *table) clear() {
	t.index, t.entries, t.live = nil, nil, 0
}

// keys and items are snapshots.
func (r *run) keys(t *table) []starlark.Value {
	r.values(t.live)
	r.charge(len(t.entries))
	out := make([]starlark.Value, 0, t.live)
	for _, e := range t.entries {
		if !e.dead {
			out = append(out, e.key)
		}
	}
	return out
}

func (r *run) items(t *table) []starlark.Value {
	r.values(4 * t.live)
	r.charge(len(t.entries))
	out := make([]starlark.Value, 0, t.live)
	for _, e := range t.entries {
		if !e.dead {
			out = append(out, starlark.Tuple{e.key, e.value})
		}
	}
	return out
}

func (r *run) tableValues(t *table) []starlark.Value {
	r.values(t.live)
	r.charge(len(t.entries))
	out := make([]starlark.Value, 0, t.live)
	for _, e := range t.entries {
		if !e.dead {
			out = append(out, e.value)
		}
	}
	return out
}
