package expression

import (
	"strings"

	"go.starlark.net/syntax"
)

// statement parses one compound statement, or one line of simple ones.
func (p *parser) statement() []syntax.Stmt {
	t := p.peek()
	if t.kind == kindIndent {
		p.fail("this line is indented, but no block begins here")
	}
	if t.kind == kindName || t.kind == kindOp {
		switch t.text {
		case "if":
			return []syntax.Stmt{p.ifStatement(0)}
		case "for":
			return []syntax.Stmt{p.forStatement()}
		case "while":
			return []syntax.Stmt{p.whileStatement()}
		case "def":
			return p.defStatement()
		case "import", "from":
			return p.simpleLine()
		}
		if why := absentStatement(t.text); why != "" {
			p.fail(why)
		}
	}
	return p.simpleLine()
}

func (p *parser) simpleLine() []syntax.Stmt {
	var out []syntax.Stmt
	for {
		out = append(out, p.simple()...)
		if !p.accept(";") {
			break
		}
		if p.peek().kind == kindNewline {
			break
		}
	}
	if p.peek().kind != kindNewline {
		p.fail("unexpected " + p.found() + p.hint())
	}
	p.next()
	return out
}

// hint guesses what a stray token is about.
func (p *parser) hint() string {
	if p.is("=") {
		return ": write == to compare"
	}
	if t := p.peek(); t.kind == kindName && absentStatement(t.text) != "" {
		return ": " + absentStatement(t.text)
	}
	return ""
}

// block parses ":" and what follows it, on the same line or indented.
func (p *parser) block(after string) []syntax.Stmt {
	p.expect(":", "after "+after)
	p.scope.blocks++
	defer func() { p.scope.blocks-- }()
	if p.peek().kind != kindNewline {
		return p.simpleLine()
	}
	p.next()
	if p.peek().kind != kindIndent {
		p.fail("expected an indented block after " + after)
	}
	p.next()
	var out []syntax.Stmt
	for p.peek().kind != kindDedent && p.peek().kind != kindEOF {
		out = append(out, p.statement()...)
	}
	if p.peek().kind == kindDedent {
		p.next()
	}
	return out
}

func (p *parser) ifStatement(elifs int) *syntax.IfStmt {
	if elifs > maxElif {
		p.fail("more than 200 elif: use a dict")
	}
	t := p.next()
	s := &syntax.IfStmt{If: p.at(t), Cond: p.test().e}
	s.True = p.block("the condition")
	switch next := p.peek(); {
	case p.is("elif"):
		s.ElsePos = p.at(next)
		s.False = []syntax.Stmt{p.ifStatement(elifs + 1)}
	case p.is("else"):
		s.ElsePos = p.at(p.next())
		s.False = p.block("else")
	}
	return s
}

func (p *parser) forStatement() *syntax.ForStmt {
	t := p.next()
	at := p.at(t)
	x := p.targetList()
	p.expect("in", "after the loop variable")
	over := p.call(at, "@iter", p.testList())
	s := &syntax.ForStmt{For: at, X: over.e}
	var head []syntax.Stmt
	if p.plain(x.target) {
		s.Vars = p.fixed(at, x.target)
	} else {
		name := p.temp()
		s.Vars = p.ident(at, name)
		p.scope.blocks++
		head = p.assign(at, x.target, ex{e: p.ident(at, name)})
		p.scope.blocks--
	}
	p.loops++
	s.Body = append(head, p.block("for …")...)
	p.loops--
	p.noElse("for")
	return s
}

func (p *parser) whileStatement() *syntax.WhileStmt {
	t := p.next()
	s := &syntax.WhileStmt{While: p.at(t), Cond: p.test().e}
	p.loops++
	s.Body = p.block("while …")
	p.loops--
	p.noElse("while")
	return s
}

func (p *parser) noElse(loop string) {
	if p.is("else") {
		p.fail("else after " + loop + " is not available: set a variable in the loop and test it")
	}
}

// plain reports whether a target is a name, or a tuple of such.
func (p *parser) plain(t *target) bool {
	if t == nil || t.load != nil {
		return t != nil
	}
	for _, item := range t.items {
		if !p.plain(item.target) || item.target.star {
			return false
		}
	}
	return t.tuple
}

// fixed is a plain target as loop variables.
func (p *parser) fixed(at syntax.Position, t *target) syntax.Expr {
	if t.load != nil {
		name := p.kill(t.load)
		p.assignable(at, name)
		p.scope.fix(name, at.Line)
		return p.ident(at, name)
	}
	list := make([]syntax.Expr, len(t.items))
	for i, item := range t.items {
		list[i] = p.fixed(at, item.target)
	}
	return &syntax.TupleExpr{Lparen: at, List: list, Rparen: at}
}

func (p *parser) defStatement() []syntax.Stmt {
	t := p.next()
	at := p.at(t)
	name := p.name("the function's name")
	p.assignable(at, name.text)
	p.scope.function().fix(name.text, t.line)
	start := p.pos
	p.expect("(", "after the function's name")
	s := newScope(p.scope, false, start)
	params, head := p.params(s, ")", true)
	p.expect(")", "after the parameters")
	outer, loops := p.scope, p.loops
	p.scope, p.loops = s, 0
	if p.accept("->") {
		p.annotation()
	}
	s.blocks-- // the body itself is no conditional block
	body := append(head, p.block("def …")...)
	p.scope, p.loops = outer, loops
	return []syntax.Stmt{p.function(s, at, name.text, params, body)}
}

// params parses parameters up to the token end. Defaults belong to the scope around.
func (p *parser) params(s *scope, end string, annotated bool) (params []syntax.Expr, head []syntax.Stmt) {
	for !p.is(end) {
		t := p.peek()
		at := p.at(t)
		switch {
		case p.accept("/"):
			p.failAt(at, "positional-only parameters are not available: leave out the /")
		case p.accept("**"):
			name := p.name("a parameter")
			s.fix(name.text, t.line)
			params = append(params, &syntax.UnaryExpr{OpPos: at, Op: syntax.STARSTAR, X: p.ident(at, name.text)})
			head = append(head, p.set(at, p.ident(at, name.text), p.call(at, "@kwargs", ex{e: p.ident(at, name.text)}).e))
		case p.accept("*"):
			star := &syntax.UnaryExpr{OpPos: at, Op: syntax.STAR}
			if !p.is(",") {
				name := p.name("a parameter")
				s.fix(name.text, t.line)
				star.X = p.ident(at, name.text)
			}
			params = append(params, star)
		default:
			name := p.name("a parameter")
			p.assignable(at, name.text)
			s.fix(name.text, t.line)
			if annotated && p.accept(":") {
				p.annotation()
			}
			if p.accept("=") {
				params = append(params, &syntax.BinaryExpr{X: p.ident(at, name.text), OpPos: at, Op: syntax.EQ, Y: p.test().e})
			} else {
				params = append(params, p.ident(at, name.text))
			}
		}
		if !p.accept(",") {
			break
		}
	}
	return params, head
}

// annotation parses a type and forgets it.
func (p *parser) annotation() {
	mark := len(p.scope.loads)
	p.test()
	for _, l := range p.scope.loads[mark:] {
		p.kill(l)
	}
}

// simple parses one simple statement.
func (p *parser) simple() []syntax.Stmt {
	t := p.peek()
	at := p.at(t)
	if t.kind == kindName || t.kind == kindOp {
		if t.text == "import" || t.text == "from" {
			return p.importStatement()
		}
		if why := absentStatement(t.text); why != "" {
			p.fail(why)
		}
		switch t.text {
		case "pass":
			p.next()
			return []syntax.Stmt{&syntax.BranchStmt{Token: syntax.PASS, TokenPos: at}}
		case "break", "continue":
			if p.loops == 0 {
				p.fail(t.text + " stands outside a loop")
			}
			p.next()
			tok := syntax.BREAK
			if t.text == "continue" {
				tok = syntax.CONTINUE
			}
			return []syntax.Stmt{&syntax.BranchStmt{Token: tok, TokenPos: at}}
		case "return":
			return p.returnStatement()
		case "raise":
			return p.raiseStatement()
		case "assert":
			p.next()
			cond := p.test()
			args := []ex{}
			if p.accept(",") {
				msg := p.test()
				args = append(args, msg, p.flag(at, msg.literal))
			}
			fail := p.run(p.call(at, "@assert", args...))
			return []syntax.Stmt{&syntax.IfStmt{If: at, Cond: &syntax.UnaryExpr{OpPos: at, Op: syntax.NOT, X: cond.e}, True: []syntax.Stmt{fail}}}
		case "del":
			return p.delStatement()
		case "yield":
			return p.yieldStatement()
		case "elif", "else":
			p.fail(t.text + " has no if before it")
		}
	}
	return p.expressionStatement()
}

func (p *parser) flag(at syntax.Position, b bool) ex {
	name := "False"
	if b {
		name = "True"
	}
	return ex{e: p.ident(at, name)}
}

func (p *parser) returnStatement() []syntax.Stmt {
	s := &syntax.ReturnStmt{Return: p.at(p.next())}
	if t := p.peek(); t.kind != kindNewline && !p.is(";") {
		s.Result = p.starList().e
	}
	f := p.scope.function()
	f.returns = append(f.returns, s)
	return []syntax.Stmt{s}
}

// raiseStatement: a message is shown in the error only where it is a constant of the
// source, since any other may hold a secret.
func (p *parser) raiseStatement() []syntax.Stmt {
	at := p.at(p.next())
	if t := p.peek(); t.kind == kindNewline || p.is(";") {
		p.fail("raise needs an exception: write raise ValueError(\"…\") or raise SkipObject")
	}
	from := p.pos
	x := p.test()
	constant := true
	for _, t := range p.tokens[from:p.pos] {
		constant = constant && (t.kind == kindString || t.kind == kindName && p.known(t.text) || t.kind == kindOp && strings.Contains("(),", t.text))
	}
	if p.accept("from") {
		p.test()
	}
	return []syntax.Stmt{p.run(p.call(at, "@raise", x, p.flag(at, constant)))}
}

func (p *parser) delStatement() []syntax.Stmt {
	at := p.at(p.next())
	var out []syntax.Stmt
	for {
		x := p.test()
		if x.target == nil || x.target.load != nil || x.target.slice || x.target.tuple || x.target.attr != "" {
			p.failAt(at, "del removes only an item: write del d[\"key\"]")
		}
		out = append(out, p.run(p.call(at, "@delitem", x.target.x, x.target.i)))
		if !p.accept(",") {
			return out
		}
	}
}

// yieldStatement collects: the function returns the list of what it yields.
func (p *parser) yieldStatement() []syntax.Stmt {
	at := p.at(p.next())
	f := p.scope.function()
	f.generator = true
	op := "@append"
	x := ex{e: p.ident(at, "None")}
	if p.accept("from") {
		op = "@extend"
		x = p.test()
	} else if t := p.peek(); t.kind != kindNewline && !p.is(";") {
		x = p.starList()
	}
	return []syntax.Stmt{p.run(p.call(at, op, ex{e: p.ident(at, "@out")}, x))}
}

// expressionStatement parses an expression, an assignment or an augmented one.
func (p *parser) expressionStatement() []syntax.Stmt {
	x := p.starList()
	t := p.peek()
	at := p.at(t)
	if t.kind == kindOp {
		switch t.text {
		case "=":
			return p.assignment(x)
		case ":":
			if x.target != nil && !x.target.tuple {
				p.next()
				p.annotation()
				if !p.accept("=") {
					p.fail("a variable needs a value: write name: type = value")
				}
				return p.assign(at, x.target, p.starList())
			}
		case "+=", "-=", "*=", "/=", "//=", "%=", "**=", "&=", "|=", "^=", "<<=", ">>=", "@=":
			p.next()
			return p.augmented(at, strings.TrimSuffix(t.text, "="), x, p.starList())
		}
	}
	return []syntax.Stmt{p.run(x)}
}

// assignment parses what follows the first target of "a = b = value".
func (p *parser) assignment(first ex) []syntax.Stmt {
	targets := []ex{first}
	at := p.at(p.peek())
	var value ex
	for p.accept("=") {
		if p.is("yield") {
			p.fail("yield has no value: write it as a statement of its own")
		}
		value = p.starList()
		if p.is("=") {
			targets = append(targets, value)
		}
	}
	if len(targets) == 1 {
		return p.assign(at, first.target, value)
	}
	name := p.temp()
	out := []syntax.Stmt{p.set(at, p.ident(at, name), value.e)}
	for _, t := range targets {
		out = append(out, p.assign(at, t.target, ex{e: p.ident(at, name)})...)
	}
	return out
}

func (p *parser) augmented(at syntax.Position, op string, x, y ex) []syntax.Stmt {
	t := x.target
	switch {
	case t != nil && t.load != nil:
		// The name is read and then written: it stays a load.
		sum := p.call(at, "@inplace", p.text(at, op), x, y)
		name := t.load.name
		p.assignable(at, name)
		f := p.scope.function()
		f.bind(name)
		s := p.set(at, p.ident(at, name), sum.e)
		f.stores = append(f.stores, &store{s, name})
		return []syntax.Stmt{s}
	case t != nil && t.attr == "" && !t.tuple && !t.slice && !t.star:
		return []syntax.Stmt{p.run(p.call(at, "@inplaceitem", p.text(at, op), t.x, t.i, y))}
	case t != nil && t.attr != "":
		p.failAt(at, "attributes cannot be set: objects are read-only")
	}
	p.failAt(at, "this cannot be assigned to: the left side must be a name or an item")
	return nil
}
