// Package expression runs the Python of authentik's property mappings and policies
// in a sandbox. It is the only package that knows Starlark.
//
// # The way of a source
//
//  1. token.go, literal.go and fstring.go split it into Python's tokens.
//  2. parse*.go, scope.go and build.go parse them and emit Starlark's syntax tree: one
//     function with the source as its body, in which every operator, subscript,
//     attribute, display, comprehension and name that is not bound is a call of a
//     function of this package.
//  3. program.go compiles the tree once, freezes it and keeps it.
//  4. evaluator.go runs it on a fresh thread, with what the caller gives as Env, and
//     turns what it returns into Go's values; policy.go asks only whether it is true.
//
// # What contains it
//
// Starlark counts steps, but one step may allocate gigabytes. So nothing of Starlark's
// that allocates is within reach: list, dict, set, range and all functions and methods
// are this package's own, and each pays for its time and memory from the run's budget before
// it takes them (budget.go). Numbers have at most 8192 bits, regular expressions are
// RE2 with a bound on their size. Values of the directory are read-only. lanes.go
// keeps expensive runs out of the way of ordinary ones, and what never ends out of the
// way of both.
//
// # What of Python is there
//
// Expressions, f-strings, comprehensions, lambdas, functions with all kinds of parameters,
// if, for, while, yield (a generator is the list of what it yields), :=, unpacking,
// assert, raise, del of items, type annotations (ignored); the built-in functions and
// methods that need nothing but values. str, repr and all formatting are CPython's:
// testdata/python.json holds what CPython made of several hundred of them.
//
// datetime, its neighbours and ZoneInfo are there without an import; a line that imports
// them may stay.
//
// What is not: try, every other import, class, with, global, decorators, async, recursion, bytes and
// names that begin with an underscore. Each is an error that names the line and says what to
// write instead. A generator expression is evaluated at once; a chain of comparisons
// evaluates all of its operands.
package expression
