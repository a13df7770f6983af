package expression

import "go.starlark.net/starlark"

// known are values by name that a run has looked up before: few, so a search from the
// front takes less than a map.
type known []named

type named struct {
	name  string
	value starlark.Value
}

// value is nil where the name is not known.
func (k known) value(name string) starlark.Value {
	for i := range k {
		if k[i].name == name {
			return k[i].value
		}
	}
	return nil
}

func (k *known) keep(name string, v starlark.Value) {
	if *k == nil {
		*k = make(known, 0, 4)
	}
	*k = append(*k, named{name, v})
}
