package expression

import (
	"math/big"

	"go.starlark.net/syntax"
)

// ex is an expression and what else its context may need to know of it.
type ex struct {
	e      syntax.Expr
	height int
	// target is set where the expression may stand left of an assignment.
	target *target
	// literal is set where it is a constant string or number of the source.
	literal bool
}

// target is a place to assign to: a name, x[i], x.attr, a tuple of targets, or
// one of these after a star.
type target struct {
	load  *load
	x, i  ex
	slice bool
	attr  string
	items []ex
	tuple bool
	star  bool
}

func (p *parser) at(t token) syntax.Position {
	return syntax.MakePosition(&p.file, t.line, t.col)
}

func (p *parser) ident(at syntax.Position, name string) *syntax.Ident {
	return &syntax.Ident{NamePos: at, Name: name}
}

func (p *parser) text(at syntax.Position, s string) ex {
	return ex{e: &syntax.Literal{Token: syntax.STRING, TokenPos: at, Value: s}, literal: true}
}

func (p *parser) int(at syntax.Position, n int64) ex {
	return ex{e: &syntax.Literal{Token: syntax.INT, TokenPos: at, Value: n}, literal: true}
}

func (p *parser) number(at syntax.Position, n any) ex {
	tok := syntax.INT
	switch v := n.(type) {
	case float64:
		tok = syntax.FLOAT
	case *big.Int:
		n = new(big.Int).Set(v)
	}
	return ex{e: &syntax.Literal{Token: tok, TokenPos: at, Value: n}, literal: true}
}

// call is a call of one of our own functions. Every operation that allocates or
// takes time is one: what Starlark's own operators do is never charged.
func (p *parser) call(at syntax.Position, fn string, args ...ex) ex {
	out := ex{height: 1}
	list := make([]syntax.Expr, len(args))
	for i, a := range args {
		list[i] = a.e
		out.height = max(out.height, a.height+1)
	}
	out.e = &syntax.CallExpr{Fn: p.ident(at, fn), Lparen: at, Args: list, Rparen: at}
	p.tall(at, out.height)
	return out
}

func (p *parser) tuple(at syntax.Position, items []ex) ex {
	out := ex{height: 1}
	list := make([]syntax.Expr, len(items))
	for i, a := range items {
		list[i] = a.e
		out.height = max(out.height, a.height+1)
	}
	out.e = &syntax.TupleExpr{Lparen: at, List: list, Rparen: at}
	p.tall(at, out.height)
	return out
}

// tall refuses a tree that is higher than the compiler, which is recursive, should see.
func (p *parser) tall(at syntax.Position, height int) {
	if height > maxHeight {
		p.failAt(at, "this expression is nested too deep, or too long a chain: split it over several lines")
	}
}

func (p *parser) run(x ex) syntax.Stmt {
	return &syntax.ExprStmt{X: x.e}
}

func (p *parser) set(at syntax.Position, name *syntax.Ident, value syntax.Expr) *syntax.AssignStmt {
	return &syntax.AssignStmt{OpPos: at, Op: syntax.EQ, LHS: name, RHS: value}
}

// assign is the statements of "t = value".
func (p *parser) assign(at syntax.Position, t *target, value ex) []syntax.Stmt {
	switch {
	case t == nil:
		p.failAt(at, "this cannot be assigned to: the left side must be a name, an item such as d[\"key\"], or several of them")
	case t.star:
		p.failAt(at, "a starred target must be in a list or tuple: write a, *b = …")
	case t.load != nil:
		name := p.kill(t.load)
		p.assignable(at, name)
		p.scope.function().bind(name)
		s := p.set(at, p.ident(at, name), value.e)
		p.scope.function().stores = append(p.scope.function().stores, &store{s, name})
		return []syntax.Stmt{s}
	case t.attr != "":
		p.failAt(at, "attributes cannot be set: objects are read-only")
	case t.slice:
		p.failAt(at, "a slice cannot be assigned to: build a new list")
	case !t.tuple:
		return []syntax.Stmt{p.run(p.call(at, "@setitem", t.x, t.i, value))}
	}
	return p.unpack(at, t, value)
}

// unpack is the statements of "a, b[0], *c = value": through temporary names.
func (p *parser) unpack(at syntax.Position, t *target, value ex) []syntax.Stmt {
	star := -1
	for i, item := range t.items {
		if item.target != nil && item.target.star {
			if star >= 0 {
				p.failAt(at, "only one target may have a star")
			}
			star = i
		}
	}
	n := int64(len(t.items))
	value = p.call(at, "@unpack", value, p.int(at, n), p.int(at, int64(star)))
	names := make([]ex, n)
	for i := range names {
		names[i] = ex{e: p.ident(at, p.temp())}
	}
	out := []syntax.Stmt{&syntax.AssignStmt{OpPos: at, Op: syntax.EQ, LHS: p.tuple(at, names).e, RHS: value.e}}
	for i, item := range t.items {
		sub := item.target
		if sub != nil && sub.star {
			sub = sub.items[0].target
		}
		name, _ := names[i].e.(*syntax.Ident)
		out = append(out, p.assign(at, sub, ex{e: p.ident(at, name.Name)})...)
	}
	return out
}

// kill takes back a reading of a name: it is written instead.
func (p *parser) kill(l *load) string {
	if !l.dead {
		l.dead = true
		l.in.read[l.name]--
	}
	return l.name
}

func (p *parser) temp() string {
	p.temps++
	return "@t" + itoa(p.temps)
}

func (p *parser) assignable(at syntax.Position, name string) {
	if name == "__debug__" || len(name) > 4 && name[:2] == "__" {
		p.failAt(at, "names that begin with two underscores are not available")
	}
}
