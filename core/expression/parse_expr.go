package expression

import "go.starlark.net/syntax"

// testList parses expressions separated by commas: several make a tuple.
func (p *parser) testList() ex { return p.list(p.named) }

// starList allows *x among them.
func (p *parser) starList() ex { return p.list(p.starred) }

// targetList parses the variables of a loop.
func (p *parser) targetList() ex { return p.list(func() ex { return p.binary(1) }) }

func (p *parser) list(one func() ex) ex {
	at := p.at(p.peek())
	first := one()
	if !p.is(",") {
		if first.target != nil && first.target.star {
			return p.display(at, "@tuple", []ex{first})
		}
		return first
	}
	items := []ex{first}
	for p.accept(",") {
		if !p.startsExpression() {
			break
		}
		items = append(items, one())
	}
	return p.display(at, "@tuple", items)
}

// startsExpression reports whether the next token can begin one.
func (p *parser) startsExpression() bool {
	switch t := p.peek(); t.kind {
	case kindName:
		return !isKeyword(t.text) || t.text == "not" || t.text == "lambda" || t.text == "None" || t.text == "True" || t.text == "False"
	case kindInt, kindFloat, kindString, kindFString:
		return true
	case kindOp:
		switch t.text {
		case "(", "[", "{", "-", "+", "~", "*":
			return true
		}
	}
	return false
}

func (p *parser) starred() ex {
	if !p.is("*") {
		return p.named()
	}
	p.next()
	x := p.binary(1)
	return ex{e: x.e, height: x.height, target: &target{star: true, items: []ex{x}}}
}

// display builds a list, tuple or set of items, some of which may have a star.
func (p *parser) display(at syntax.Position, kind string, items []ex) ex {
	starred := false
	for _, x := range items {
		starred = starred || x.target != nil && x.target.star
	}
	var out ex
	if starred && len(items) > 4*maxArguments {
		p.failAt(at, "more than 1000 items beside one with a star")
	}
	if starred {
		pairs := make([]ex, 0, 2*len(items))
		for _, x := range items {
			pairs = append(pairs, p.flag(at, x.target != nil && x.target.star), x)
		}
		out = p.call(at, "@splat", p.tuple(at, pairs))
	} else {
		out = p.tuple(at, items)
	}
	if kind != "@tuple" {
		out = p.call(at, kind, out)
	}
	out.target = &target{tuple: true, items: items}
	return out
}

// named parses an expression that may be an assignment "name := value".
func (p *parser) named() ex {
	x := p.test()
	if !p.is(":=") {
		return x
	}
	at := p.at(p.next())
	if x.target == nil || x.target.load == nil {
		p.failAt(at, "left of := must stand a name")
	}
	name := p.kill(x.target.load)
	p.assignable(at, name)
	f := p.scope.function()
	f.bound[name], f.cells[name] = true, true
	// The cell is found as a name is, from a comprehension too.
	return p.call(at, "@cellset", ex{e: p.ident(at, name)}, p.test())
}

// test parses a conditional expression, a lambda or anything that binds tighter.
func (p *parser) test() ex {
	p.enter()
	defer p.leave()
	if p.is("lambda") {
		return p.lambda()
	}
	x := p.or()
	if !p.is("if") {
		return x
	}
	at := p.at(p.next())
	cond := p.or()
	p.expect("else", "in a conditional expression")
	other := p.test()
	h := max(x.height, cond.height, other.height) + 1
	p.tall(at, h)
	return ex{e: &syntax.CondExpr{If: at, Cond: cond.e, True: x.e, ElsePos: at, False: other.e}, height: h}
}

func (p *parser) lambda() ex {
	start := p.pos
	at := p.at(p.next())
	s := newScope(p.scope, false, start)
	params, head := p.params(s, ":", false)
	if len(head) > 0 {
		p.failAt(at, "a lambda has no **parameters: write a def")
	}
	p.expect(":", "after the parameters of the lambda")
	outer := p.scope
	p.scope = s
	body := p.test()
	p.scope = outer
	if len(s.cells) > 0 {
		p.failAt(at, ":= is not available in a lambda: write a def")
	}
	body = p.call(at, "@lambda", p.call(at, "@enter", p.int(at, int64(p.pos-start))), body)
	p.closeScope(s)
	return ex{e: &syntax.LambdaExpr{Lambda: at, Params: params, Body: body.e}, height: body.height + 1}
}

func (p *parser) or() ex {
	x := p.and()
	for p.is("or") {
		at := p.at(p.next())
		x = p.logic(at, syntax.OR, x, p.and())
	}
	return x
}

func (p *parser) and() ex {
	x := p.not()
	for p.is("and") {
		at := p.at(p.next())
		x = p.logic(at, syntax.AND, x, p.not())
	}
	return x
}

func (p *parser) logic(at syntax.Position, op syntax.Token, x, y ex) ex {
	h := max(x.height, y.height) + 1
	p.tall(at, h)
	return ex{e: &syntax.BinaryExpr{X: x.e, OpPos: at, Op: op, Y: y.e}, height: h}
}

func (p *parser) not() ex {
	if !p.is("not") {
		return p.comparison()
	}
	p.enter()
	defer p.leave()
	at := p.at(p.next())
	x := p.not()
	p.tall(at, x.height+1)
	return ex{e: &syntax.UnaryExpr{OpPos: at, Op: syntax.NOT, X: x.e}, height: x.height + 1}
}

// comparison parses a chain of comparisons. A chain of two or more is one call, which
// sees all operands: an operand that Python would not reach is evaluated here.
func (p *parser) comparison() ex {
	x := p.binary(1)
	at := p.at(p.peek())
	var ops []string
	operands := []ex{x}
	for {
		op := p.comparator()
		if op == "" {
			break
		}
		ops = append(ops, op)
		operands = append(operands, p.binary(1))
	}
	switch len(ops) {
	case 0:
		return x
	case 1:
		return p.call(at, "@"+ops[0], operands...)
	}
	names := make([]ex, len(ops))
	for i, op := range ops {
		names[i] = p.text(at, op)
	}
	return p.call(at, "@chain", p.tuple(at, names), p.tuple(at, operands))
}

func (p *parser) comparator() string {
	t := p.peek()
	if t.kind != kindOp && t.kind != kindName {
		return ""
	}
	switch t.text {
	case "==", "!=", "<", "<=", ">", ">=", "in":
		p.next()
		return t.text
	case "not":
		if n := p.tokens[p.pos+1]; n.kind == kindName && n.text == "in" {
			p.pos += 2
			return "not in"
		}
	case "is":
		p.next()
		if p.accept("not") {
			return "is not"
		}
		return "is"
	}
	return ""
}

// precedence of a binary operator, from 1; 0 for anything else.
func precedence(t token) int {
	if t.kind != kindOp {
		return 0
	}
	switch t.text {
	case "|":
		return 1
	case "^":
		return 2
	case "&":
		return 3
	case "<<", ">>":
		return 4
	case "+", "-":
		return 5
	case "*", "/", "//", "%", "@":
		return 6
	}
	return 0
}

// binary parses arithmetic and bitwise operators of at least this precedence.
func (p *parser) binary(least int) ex {
	x := p.unary()
	for {
		t := p.peek()
		prec := precedence(t)
		if prec < least || prec == 0 {
			return x
		}
		p.next()
		if t.text == "@" {
			p.failAt(p.at(t), "the operator @ is not available")
		}
		x = p.call(p.at(t), "@"+t.text, x, p.binary(prec+1))
	}
}

func (p *parser) unary() ex {
	if t := p.peek(); t.kind == kindOp && (t.text == "-" || t.text == "+" || t.text == "~") {
		p.enter()
		defer p.leave()
		p.next()
		return p.call(p.at(t), "@unary"+t.text, p.unary())
	}
	x := p.primary()
	if t := p.peek(); t.kind == kindOp && t.text == "**" {
		p.enter()
		defer p.leave()
		p.next()
		return p.call(p.at(t), "@**", x, p.unary())
	}
	return x
}

// primary parses an atom and the calls, attributes and subscripts after it.
func (p *parser) primary() ex {
	x := p.atom()
	for {
		t := p.peek()
		if t.kind != kindOp {
			return x
		}
		at := p.at(t)
		switch t.text {
		case "(":
			x = p.callExpression(x)
		case "[":
			x = p.subscript(x)
		case ".":
			p.next()
			name := p.peek()
			if name.kind != kindName {
				p.fail("expected the name of an attribute after '.', found " + p.found())
			}
			p.next()
			if name.text[0] == '_' {
				p.failAt(at, "attributes that begin with an underscore are not available")
			}
			t := &target{x: x, attr: name.text}
			x = p.attribute(x, p.at(name), p.text(at, name.text))
			x.target = t
		default:
			return x
		}
	}
}

// attribute is x.name. A chain of names on one line is one call, with the name that it begins with where the
// caller gives that, as each call has a price: what it does charges for every name.
func (p *parser) attribute(x ex, at syntax.Position, name ex) ex {
	if before, ok := x.e.(*syntax.CallExpr); ok && len(before.Args) < maxChain && before.Lparen.Line == at.Line {
		if fn, ok := before.Fn.(*syntax.Ident); ok && fn.Name == "@attr" {
			before.Args = append(before.Args, name.e)
			return ex{e: before, height: x.height}
		}
	}
	out := p.call(at, "@attr", x, name)
	if t := x.target; t != nil && t.load != nil && x.e == syntax.Expr(t.load.node) && t.load.node.Lparen.Line == at.Line {
		t.load.chain, _ = out.e.(*syntax.CallExpr)
	}
	return out
}

// maxChain is how many names one call takes, less one. Starlark's has 255 arguments at most.
const maxChain = 8

func (p *parser) subscript(x ex) ex {
	at := p.at(p.next())
	none := ex{e: p.ident(at, "None")}
	bounds, colons := []ex{none, none, none}, 0
	var i ex
	if !p.is(":") {
		i = p.starList()
		bounds[0] = i
	}
	for p.accept(":") {
		if colons++; colons > 2 {
			p.failAt(at, "a slice has at most three parts")
		}
		if !p.is(":") && !p.is("]") {
			bounds[colons] = p.test()
		}
	}
	p.expect("]", "after a subscript")
	if colons > 0 {
		out := p.call(at, "@slice", x, bounds[0], bounds[1], bounds[2])
		out.target = &target{slice: true}
		return out
	}
	op := "@item"
	if i.literal {
		op = "@key" // its error may name the key
	}
	out := p.call(at, op, x, i)
	out.target = &target{x: x, i: i}
	return out
}
