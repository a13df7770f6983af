package expression

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// toGo turns a result into Go's values. It is charged node by node: a result that
// shares parts can be exponentially larger than it looks.
func (r *run) toGo(v starlark.Value, depth int) any {
	r.alloc(32)
	if depth > maxData {
		fail("the result is nested more than %d deep, or holds itself", maxData)
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return nil
	case starlark.Bool:
		return bool(v)
	case starlark.Int:
		if n, ok := v.Int64(); ok {
			return n
		}
		r.alloc(maxIntBits / 8)
		return v.BigInt()
	case starlark.Float:
		return float64(v)
	case starlark.String:
		return string(v)
	case starlark.Tuple:
		return r.toSlice(v, depth)
	case *list:
		return r.toSlice(v.items, depth)
	case *set, *rangeValue, *query:
		return r.toSlice(r.slice(v), depth)
	case *dict:
		out := make(map[string]any, v.live)
		for _, e := range v.entries {
			if !e.dead {
				r.alloc(96)
				out[r.jsonKey(e.key)] = r.toGo(e.value, depth+1)
			}
		}
		return out
	case *object:
		switch data := v.data.(type) {
		case *address, *network:
			return v.id
		case moment:
			return data.iso("T")
		case time.Duration:
			return data.Seconds()
		}
		fail("a %s cannot be part of the result: return one of its attributes", v.kind)
	}
	fail("a value of type %s cannot be part of the result", quote(typeName(v)))
	return nil
}

func (r *run) toSlice(items []starlark.Value, depth int) []any {
	r.values(len(items))
	out := make([]any, len(items))
	for i, x := range items {
		out[i] = r.toGo(x, depth+1)
	}
	return out
}

// jsonKey is a key as Python's json writes it.
func (r *run) jsonKey(k starlark.Value) string {
	switch k := k.(type) {
	case starlark.String:
		return string(k)
	case starlark.NoneType:
		return "null"
	case starlark.Bool:
		return strings.ToLower(r.str(k))
	case starlark.Int, starlark.Float:
		return r.str(k)
	}
	fail("a key of type %s cannot be part of the result: use strings", quote(typeName(k)))
	return ""
}

// fromGo is a value of Go's that the caller gives, for the program to read. Dicts and
// lists are read-only.
func (r *run) fromGo(v any, depth int) starlark.Value {
	r.alloc(32)
	if depth > maxData {
		fail("a value given to the expression is nested more than %d deep", maxData)
	}
	switch v := v.(type) {
	case nil:
		return starlark.None
	case starlark.Value:
		return v
	case bool:
		return starlark.Bool(v)
	case int:
		return starlark.MakeInt(v)
	case int64:
		return starlark.MakeInt64(v)
	case *big.Int:
		return integer(v)
	case float64:
		// JSON does not tell 5 from 5.0; Python's reading of "5" is an integer.
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return starlark.MakeInt64(int64(v))
		}
		return starlark.Float(v)
	case json.Number:
		if i, ok := new(big.Int).SetString(string(v), 10); ok && len(v) <= maxDigits {
			return integer(i)
		}
		f, err := v.Float64()
		if err != nil {
			fail("a value given to the expression is no number")
		}
		return starlark.Float(f)
	case string:
		return starlark.String(v)
	case []string:
		r.values(2 * len(v))
		out := make([]starlark.Value, len(v))
		for i, s := range v {
			out[i] = starlark.String(s)
		}
		return &list{items: out, frozen: true}
	case []any:
		r.values(len(v))
		out := make([]starlark.Value, len(v))
		for i, x := range v {
			out[i] = r.fromGo(x, depth+1)
		}
		return &list{items: out, frozen: true}
	case map[string]any:
		out := &dict{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			r.charge(10)
			r.put(&out.table, starlark.String(k), r.fromGo(v[k], depth+1))
		}
		out.frozen = true
		return out
	case map[string]string:
		out := &dict{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			r.put(&out.table, starlark.String(k), starlark.String(v[k]))
		}
		out.frozen = true
		return out
	case time.Time:
		return newTime(v)
	case *core.User:
		if v == nil {
			return starlark.None
		}
		return r.newUser(v, nil)
	case *core.Group:
		if v == nil {
			return starlark.None
		}
		return r.newGroup(v)
	case core.Provider:
		return r.provider(v)
	case *core.Application:
		if v == nil {
			return starlark.None
		}
		return r.application(v)
	case Object:
		return r.newObject(v)
	}
	return r.fromNamed(v)
}

// fromNamed is for the strings and integers that have types of their own.
func (r *run) fromNamed(v any) starlark.Value {
	b, err := json.Marshal(v)
	if err == nil {
		var plain any
		if err = json.Unmarshal(b, &plain); err == nil {
			switch plain.(type) {
			case string, float64, bool:
				return r.fromGo(plain, 0)
			}
		}
	}
	fail("a value of type %s was given to the expression, which cannot read it", fmt.Sprintf("%T", v))
	return nil
}

// newObject is an Object of the caller's.
func (r *run) newObject(o Object) *object {
	kind := o.Type
	if kind == "" {
		kind = "object"
	}
	id, _ := o.Attributes["id"].(string)
	return &object{kind: kind, id: id, get: func(name string) starlark.Value {
		v, ok := o.Attributes[name]
		if !ok {
			return nil
		}
		return r.fromGo(v, 0)
	}}
}

// weight is about what a value of the directory's takes to copy.
func weight(v any) int {
	n := 64
	switch v := v.(type) {
	case string:
		n += len(v)
	case []any:
		for _, x := range v {
			n += weight(x)
		}
	case map[string]any:
		for k, x := range v {
			n += len(k) + 64 + weight(x)
		}
	}
	return n
}
