package expression

import (
	"strconv"

	"go.starlark.net/syntax"
)

// parser turns the tokens of Python source into Starlark's syntax tree. In the tree
// every operator, subscript, attribute, display and comprehension is a call of a
// function of ours, so that nothing Starlark does by itself can allocate more than
// its step count bounds. Names of ours begin with "@": no source can spell them.
type parser struct {
	tokens []token
	pos    int
	file   string
	known  func(name string) bool // names that are always there
	scope  *scope
	temps  int
	depth  int // nesting of expressions being parsed
	loops  int // loops around this statement, within the function
}

// parse returns the tree of one function, named "@main", with the source as its body.
func parse(src string, known func(string) bool) (file *syntax.File, err error) {
	tokens, err := tokenize(src)
	if err != nil {
		return nil, err
	}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *SyntaxError:
			file, err = nil, e
		default:
			panic(e)
		}
	}()
	p := &parser{tokens: tokens, file: "expression", known: known}
	p.scope = newScope(nil, false, 0)
	root := p.scope
	at := p.at(p.peek())
	var body []syntax.Stmt
	for p.peek().kind != kindEOF {
		body = append(body, p.statement()...)
	}
	if len(body) == 0 {
		p.failLine(1, "the expression is empty: write at least \"return None\"")
	}
	def := p.function(root, at, "@main", nil, body)
	return &syntax.File{Path: p.file, Stmts: []syntax.Stmt{def}, Options: dialect()}, nil
}

// dialect allows what Python has. Recursion stays off: Starlark refuses it.
func dialect() *syntax.FileOptions {
	return &syntax.FileOptions{Set: false, While: true, TopLevelControl: false, GlobalReassign: false, Recursion: false}
}

// function finishes a function whose body is parsed, and its scope.
func (p *parser) function(s *scope, at syntax.Position, name string, params []syntax.Expr, body []syntax.Stmt) *syntax.DefStmt {
	body = append(p.prelude(s, at), body...)
	if s.generator {
		body = append(body, &syntax.ReturnStmt{Return: at, Result: p.ident(at, "@out")})
	}
	p.closeScope(s)
	return &syntax.DefStmt{Def: at, Name: p.ident(at, name), Lparen: at, Params: params, Rparen: at, Body: body}
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	if t.kind != kindEOF {
		p.pos++
	}
	return t
}

// is reports whether the next token is this operator or keyword.
func (p *parser) is(text string) bool {
	t := p.peek()
	return (t.kind == kindOp || t.kind == kindName) && t.text == text
}

func (p *parser) accept(text string) bool {
	if p.is(text) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(text, where string) {
	if !p.is(text) {
		p.fail("expected '" + text + "' " + where + ", found " + p.found())
	}
	p.next()
}

func (p *parser) found() string {
	switch t := p.peek(); t.kind {
	case kindName, kindOp:
		return "'" + t.text + "'"
	case kindString, kindFString:
		return "a string"
	case kindInt, kindFloat:
		return "a number"
	default:
		return t.text
	}
}

func (p *parser) name(what string) token {
	t := p.peek()
	if t.kind != kindName || isKeyword(t.text) {
		p.fail("expected " + what + ", found " + p.found())
	}
	return p.next()
}

func (p *parser) fail(msg string) { p.failLine(p.peek().line, msg) }

func (p *parser) failAt(at syntax.Position, msg string) { p.failLine(at.Line, msg) }

func (p *parser) failLine(line int32, msg string) { panic(&SyntaxError{int(line), msg}) }

// enter counts the nesting of the parser's own recursion.
func (p *parser) enter() {
	if p.depth++; p.depth > maxNesting {
		p.fail("this expression is nested too deep")
	}
}

func (p *parser) leave() { p.depth-- }

func isKeyword(s string) bool {
	switch s {
	case "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
		"elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
		"not", "or", "pass", "raise", "return", "try", "while", "with", "yield":
		return true
	}
	return false
}

// absentStatement says what to write instead of a statement that is not available.
func absentStatement(word string) string {
	switch word {
	case "try", "except", "finally":
		return "try/except is not available: test first, for example with .get(\"key\", default), \"key\" in d, hasattr(x, \"name\") or isinstance"
	case "import", "from":
		return "import is not available: everything an expression may use is already there (regex_match, ip_address, slugify and so on)"
	case "class":
		return "class is not available: use a dict or a function"
	case "with":
		return "with is not available: expressions open nothing"
	case "async", "await":
		return word + " is not available: write the function without it"
	case "global", "nonlocal":
		return word + " is not available: return the value from the function instead"
	case "@":
		return "decorators are not available: call the function directly"
	}
	return ""
}

func itoa(n int) string { return strconv.Itoa(n) }
