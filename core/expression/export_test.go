package expression

import (
	"maps"
	"slices"

	"go.starlark.net/starlark"
)

// Limits as tests compare with them.
const (
	MaxWork  = maxWork
	MaxBytes = maxBytes
	MaxSteps = maxSteps
)

// Uncontrolled turns the budget off: charges are counted and never refused.
func (e *Evaluator) Uncontrolled() { e.uncontrolled = true }

// OnSpent is told what each run used.
func (e *Evaluator) OnSpent(f func(work, bytes int, steps uint64)) { e.spent = f }

// Names are the predeclared names that a source can spell.
func (e *Evaluator) Names() []string {
	e.init()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(e.names)), func(n string) bool { return n[0] == '@' })
}

// Predeclared is what a name stands for.
func (e *Evaluator) Predeclared(name string) starlark.Value {
	e.init()
	return e.names[name]
}

// Methods are the methods of each type, by Python's name of the type.
func (e *Evaluator) Methods() map[string][]string {
	e.init()
	m := e.methods
	out := map[string][]string{}
	for kind, table := range map[string]map[string]methodFunc{
		"str": m.str, "list": m.list, "tuple": m.tuple, "dict": m.dict, "set": m.set,
		"int": m.integer, "float": m.float, "QuerySet": m.query,
	} {
		out[kind] = slices.Sorted(maps.Keys(table))
	}
	return out
}

// Casefold is str.casefold().
func Casefold(s string) string { return casefold(s, func() {}) }

// Slugify is slugify().
func Slugify() func(string) string {
	e := &Evaluator{}
	e.Uncontrolled()
	e.init()
	return (&run{Evaluator: e}).slugify
}
