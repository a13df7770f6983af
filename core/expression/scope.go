package expression

import (
	"maps"
	"slices"

	"go.starlark.net/syntax"
)

// scope is what one function, lambda or comprehension binds. A name bound anywhere
// in a function is local to it (Python Language Reference §4.2.2).
type scope struct {
	parent        *scope
	comprehension bool
	bound         map[string]bool
	// cells are names that := binds. Starlark has no assignment within an
	// expression, so these live in a cell that a function can set.
	cells map[string]bool
	fixed map[string]int32 // names that cannot be cells, and their line: parameters, loop variables
	// definite are names that surely have a value before they are read.
	definite  map[string]bool
	read      map[string]int
	loads     []*load
	stores    []*store
	returns   []*syntax.ReturnStmt
	generator bool
	blocks    int // how deep in if, for and while
	tokens    int // position of the function's first token
}

// load is one reading of a name; store one plain assignment to it. Both are finished
// when the scope closes, and it is known what the name is.
type load struct {
	node *syntax.ParenExpr
	name string
	in   *scope
	// chain is the call of its attributes, where they begin on its line.
	chain *syntax.CallExpr
	dead  bool // it turned out to be the target of an assignment
}

type store struct {
	stmt *syntax.AssignStmt
	name string
}

func newScope(parent *scope, comprehension bool, tokens int) *scope {
	return &scope{
		parent: parent, comprehension: comprehension, tokens: tokens,
		bound: map[string]bool{}, cells: map[string]bool{}, fixed: map[string]int32{},
		definite: map[string]bool{}, read: map[string]int{},
	}
}

// function is the innermost scope that assignments bind in.
func (s *scope) function() *scope {
	for s.comprehension {
		s = s.parent
	}
	return s
}

func (s *scope) bind(name string) {
	if s.blocks == 0 && s.read[name] == 0 && !s.bound[name] {
		s.definite[name] = true
	}
	s.bound[name] = true
}

// fix binds a name that cannot be a cell.
func (s *scope) fix(name string, line int32) {
	s.bind(name)
	s.fixed[name] = line
}

// close settles every name of the scope: what it does not bind is the business of
// the scope around it.
func (p *parser) closeScope(s *scope) {
	for _, name := range sorted(s.cells) {
		if line, ok := s.fixed[name]; ok {
			p.failLine(line, "'"+name+"' is set by := and is also a parameter, loop variable or function: use two names")
		}
	}
	for _, l := range s.loads {
		switch {
		case l.dead:
		case s.cells[l.name]:
			l.node.X = p.call(l.node.Lparen, "@cellget", ex{e: l.node.X}).e
		case s.bound[l.name]:
		case s.parent != nil:
			l.in = s.parent
			s.parent.loads = append(s.parent.loads, l)
			s.parent.read[l.name]++
		case !p.known(l.name) && l.chain != nil:
			l.chain.Fn, l.chain.Args[0] = p.ident(l.node.Lparen, "@path"), p.text(l.node.Lparen, l.name).e
		case !p.known(l.name):
			l.node.X = p.call(l.node.Lparen, "@name", p.text(l.node.Lparen, l.name)).e
		}
	}
	for _, st := range s.stores {
		if s.cells[st.name] {
			at := st.stmt.OpPos
			st.stmt.RHS = p.call(at, "@cellset", ex{e: st.stmt.LHS}, ex{e: st.stmt.RHS}).e
			st.stmt.LHS = p.ident(at, "@_")
		}
	}
}

// prelude are the statements that a function begins with: it pays for its frame,
// makes its cells, and, in the outermost function, gives names that it also assigns
// the value that the caller gave for them, as parameters have one.
func (p *parser) prelude(s *scope, at syntax.Position) []syntax.Stmt {
	out := []syntax.Stmt{p.run(p.call(at, "@enter", p.int(at, int64(p.pos-s.tokens))))}
	for _, name := range sorted(s.cells) {
		out = append(out, p.set(at, p.ident(at, name), p.call(at, "@cell", p.text(at, name)).e))
	}
	if s.parent == nil {
		for _, name := range sorted(s.bound) {
			if s.definite[name] {
				continue
			}
			value := p.call(at, "@name", p.text(at, name))
			give := syntax.Stmt(p.set(at, p.ident(at, name), value.e))
			if s.cells[name] {
				give = p.run(p.call(at, "@cellset", ex{e: p.ident(at, name)}, value))
			}
			out = append(out, &syntax.IfStmt{If: at, Cond: p.call(at, "@given", p.text(at, name)).e, True: []syntax.Stmt{give}})
		}
	}
	if s.generator {
		out = append(out, p.set(at, p.ident(at, "@out"), p.call(at, "@list", p.tuple(at, nil)).e))
		for _, r := range s.returns {
			r.Result = p.ident(r.Return, "@out")
		}
	}
	return out
}

func sorted(names map[string]bool) []string { return slices.Sorted(maps.Keys(names)) }
