package expression

import (
	"strings"

	"go.starlark.net/syntax"
)

// maxArguments is how many arguments a call can have in Starlark's bytecode; more
// positional ones travel in a tuple.
const maxArguments = 250

// maxClauses is how many for and if a comprehension may have: the compiler takes them
// recursively.
const maxClauses = 20

func (p *parser) atom() ex {
	t := p.peek()
	at := p.at(t)
	switch t.kind {
	case kindInt, kindFloat:
		p.next()
		return p.number(at, t.number)
	case kindString, kindFString:
		return p.strings()
	case kindName:
		if isKeyword(t.text) && t.text != "None" && t.text != "True" && t.text != "False" {
			if why := absentStatement(t.text); why != "" {
				p.fail(why)
			}
			if t.text == "yield" {
				p.fail("yield has no value: write it as a statement of its own")
			}
			p.fail("unexpected '" + t.text + "'")
		}
		p.next()
		if isKeyword(t.text) {
			return ex{e: p.ident(at, t.text), height: 1}
		}
		l := &load{node: &syntax.ParenExpr{Lparen: at, X: p.ident(at, t.text), Rparen: at}, name: t.text, in: p.scope}
		p.scope.loads = append(p.scope.loads, l)
		p.scope.read[t.text]++
		return ex{e: l.node, height: 3, target: &target{load: l}}
	case kindOp:
		switch t.text {
		case "(":
			return p.parens()
		case "[":
			p.next()
			return p.listDisplay(at)
		case "{":
			p.next()
			return p.braces(at)
		case "...":
			p.fail("... is not a value here")
		}
	}
	p.fail("expected an expression, found " + p.found())
	return ex{}
}

// parens parses a parenthesised expression, a tuple or a generator expression,
// which is evaluated at once, to a list.
func (p *parser) parens() ex {
	at := p.at(p.next())
	if p.accept(")") {
		out := p.tuple(at, nil)
		out.target = &target{tuple: true}
		return out
	}
	mark := len(p.scope.loads)
	first := p.starred()
	if p.is("for") || p.is("async") {
		return p.comprehension(at, mark, ")", "@list", first)
	}
	if !p.is(",") {
		p.expect(")", "to close '('")
		if first.target != nil && first.target.star {
			p.failAt(at, "a star needs a list or tuple around it: write [*x] or (*x,)")
		}
		return first
	}
	out := p.display(at, "@tuple", p.more(first, ")"))
	p.expect(")", "to close '('")
	return out
}

// more parses the rest of a display after its first item.
func (p *parser) more(first ex, end string) []ex {
	items := []ex{first}
	for p.accept(",") && !p.is(end) {
		items = append(items, p.starred())
	}
	return items
}

func (p *parser) listDisplay(at syntax.Position) ex {
	if p.accept("]") {
		return p.display(at, "@list", nil)
	}
	mark := len(p.scope.loads)
	first := p.starred()
	if p.is("for") || p.is("async") {
		return p.comprehension(at, mark, "]", "@list", first)
	}
	out := p.display(at, "@list", p.more(first, "]"))
	p.expect("]", "to close '['")
	return out
}

// braces parses a dict or set display or comprehension.
func (p *parser) braces(at syntax.Position) ex {
	if p.accept("}") {
		return p.call(at, "@dict", p.tuple(at, nil))
	}
	var pairs []ex
	mark := len(p.scope.loads)
	for i := 0; !p.is("}"); i++ {
		if p.accept("**") {
			pairs = append(pairs, ex{e: p.ident(at, "@spread")}, p.binary(1))
		} else {
			key := p.starred()
			if i == 0 && !p.is(":") {
				return p.setDisplay(at, mark, key)
			}
			p.expect(":", "after a key")
			value := p.test()
			if i == 0 && (p.is("for") || p.is("async")) {
				return p.comprehension(at, mark, "}", "@dictpairs", p.tuple(at, []ex{key, value}))
			}
			pairs = append(pairs, key, value)
		}
		if !p.accept(",") {
			break
		}
	}
	p.expect("}", "to close '{'")
	return p.call(at, "@dict", p.tuple(at, pairs))
}

func (p *parser) setDisplay(at syntax.Position, mark int, first ex) ex {
	if p.is("for") || p.is("async") {
		return p.comprehension(at, mark, "}", "@set", first)
	}
	out := p.display(at, "@set", p.more(first, "}"))
	p.expect("}", "to close '{'")
	out.target = nil
	return out
}

// comprehension parses the clauses after the element. What the element read since
// mark belongs to the comprehension's scope.
func (p *parser) comprehension(at syntax.Position, mark int, end, kind string, body ex) ex {
	if body.target != nil && body.target.star {
		p.failAt(at, "a star is not available in a comprehension")
	}
	outer := p.scope
	s := newScope(outer, true, p.pos)
	s.loads = append(s.loads, outer.loads[mark:]...)
	outer.loads = outer.loads[:mark]
	for _, l := range s.loads {
		l.in = s
		outer.read[l.name]--
		s.read[l.name]++
	}
	c := &syntax.Comprehension{Lbrack: at, Body: body.e, Rbrack: at}
	height, clauses := body.height, 0
	for p.is("for") || p.is("if") || p.is("async") {
		if len(c.Clauses) == maxClauses {
			p.fail("a comprehension has more than 20 clauses")
		}
		if p.is("async") {
			p.fail(absentStatement("async"))
		}
		clause := p.at(p.next())
		if p.tokens[p.pos-1].text == "if" {
			cond := p.or()
			if p.is(":=") {
				p.fail("put := in parentheses")
			}
			c.Clauses = append(c.Clauses, &syntax.IfClause{If: clause, Cond: cond.e})
			height = max(height, cond.height)
			continue
		}
		if clauses++; clauses == 1 {
			p.scope = s
		}
		vars := p.targetList()
		if !p.plain(vars.target) {
			p.failAt(clause, "the variable of a comprehension must be a name, or several")
		}
		p.expect("in", "after the variable of a comprehension")
		if clauses == 1 {
			p.scope = outer // the first iterable is evaluated outside
		}
		over := p.or()
		p.scope = s
		over = p.call(clause, "@iter", over)
		c.Clauses = append(c.Clauses, &syntax.ForClause{For: clause, Vars: p.fixed(clause, vars.target), In: clause, X: over.e})
		height = max(height, over.height)
	}
	p.scope = outer
	p.closeScope(s)
	p.expect(end, "to close the comprehension")
	p.tall(at, height+clauses+1)
	return p.call(at, kind, ex{e: c, height: height + clauses + 1})
}

// callExpression parses the arguments of a call.
func (p *parser) callExpression(fn ex) ex {
	at := p.at(p.next())
	var positional, named, spread []ex
	starred := false
	height := fn.height
	for !p.is(")") {
		mark := len(p.scope.loads)
		switch t := p.peek(); {
		case p.accept("**"):
			spread = append(spread, p.test())
		case t.kind == kindName && p.tokens[p.pos+1].kind == kindOp && p.tokens[p.pos+1].text == "=":
			p.pos += 2
			value := p.test()
			height = max(height, value.height)
			named = append(named, ex{e: &syntax.BinaryExpr{X: p.ident(p.at(t), t.text), OpPos: p.at(t), Op: syntax.EQ, Y: value.e}})
		default:
			x := p.starred()
			if p.is("for") || p.is("async") {
				x = p.comprehension(at, mark, ")", "@list", x)
				p.pos-- // the bracket closes the call as well
			} else if len(named) > 0 && (x.target == nil || !x.target.star) {
				p.failAt(at, "an argument without a name follows one with a name")
			}
			starred = starred || x.target != nil && x.target.star
			positional = append(positional, x)
		}
		if !p.accept(",") {
			break
		}
	}
	p.expect(")", "to close the call")
	var args []syntax.Expr
	if starred || len(positional) > maxArguments {
		all := p.display(at, "@tuple", positional)
		positional = nil
		height = max(height, all.height)
		args = append(args, &syntax.UnaryExpr{OpPos: at, Op: syntax.STAR, X: p.call(at, "@args", all).e})
	}
	out := make([]syntax.Expr, 0, len(positional)+len(named)+2)
	for _, x := range positional {
		out = append(out, x.e)
		height = max(height, x.height)
	}
	if len(named) > maxArguments {
		p.failAt(at, "more than 250 named arguments")
	}
	for _, x := range named {
		out = append(out, x.e)
	}
	out = append(out, args...)
	if len(spread) > 0 {
		all := p.call(at, "@spreads", p.tuple(at, spread))
		height = max(height, all.height)
		out = append(out, &syntax.UnaryExpr{OpPos: at, Op: syntax.STARSTAR, X: all.e})
	}
	p.tall(at, height+1)
	return ex{e: &syntax.CallExpr{Fn: fn.e, Lparen: at, Args: out, Rparen: at}, height: height + 1}
}

// strings parses adjacent string literals: they are one string.
func (p *parser) strings() ex {
	at := p.at(p.peek())
	var items []ex
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			items = append(items, p.text(at, plain.String()))
			plain.Reset()
		}
	}
	for {
		switch t := p.peek(); t.kind {
		case kindString:
			plain.WriteString(t.text)
		case kindFString:
			flush()
			items = append(items, p.parts(at, t.parts)...)
		default:
			if len(items) == 0 {
				return p.text(at, plain.String())
			}
			flush()
			return p.call(at, "@concat", p.tuple(at, items))
		}
		p.next()
	}
}

// parts are the pieces of an f-string, each a string or a call that gives one.
func (p *parser) parts(at syntax.Position, parts []part) []ex {
	var out []ex
	for _, part := range parts {
		if part.expr == nil {
			out = append(out, p.text(at, part.text))
			continue
		}
		if part.debug != "" {
			out = append(out, p.text(at, part.debug))
		}
		x := p.field(part)
		spec := p.text(at, "")
		if part.spec != nil {
			spec = p.call(at, "@concat", p.tuple(at, p.parts(at, part.spec)))
		}
		out = append(out, p.call(syntax.MakePosition(&p.file, part.line, 1), "@format", x, p.text(at, part.conv), spec))
	}
	return out
}

// field parses the expression of one replacement field, in the scope around it.
func (p *parser) field(f part) ex {
	p.enter()
	defer p.leave()
	tokens, pos := p.tokens, p.pos
	p.tokens, p.pos = f.expr, 0
	x := p.starList()
	if p.peek().kind != kindEOF {
		p.fail("unexpected " + p.found() + " in an f-string")
	}
	p.tokens, p.pos = tokens, pos
	return x
}
