package expression

import "strings"

// fstring reads a formatted string literal (Python Language Reference §2.5.1, PEP
// 701): fields may hold the same quotes, line breaks and strings.
type fstring struct {
	*lexer
	quotes string
	raw    bool
}

// parts reads up to the closing quotes, or, in a format specification (depth above
// 0), up to the field's closing brace.
func (f *fstring) parts(depth int) ([]part, error) {
	if depth > 2 {
		return nil, f.fail(f.line, "format specifications of an f-string are nested more than 2 deep")
	}
	var out []part
	begin, first := f.pos, f.line
	flush := func() error {
		text, bad := unescape(f.src[begin:f.pos], f.raw)
		if bad != "" {
			return f.fail(first, bad)
		}
		if text != "" {
			out = append(out, part{text: text})
		}
		return nil
	}
	for {
		if f.pos >= len(f.src) || f.src[f.pos] == '\n' && len(f.quotes) == 1 {
			return nil, f.fail(first, "this f-string is never closed")
		}
		rest := f.src[f.pos:]
		switch {
		case strings.HasPrefix(rest, f.quotes), depth > 0 && rest[0] == '}':
			return out, flush()
		case depth == 0 && (strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}")):
			f.pos++ // the first brace stays text
			if err := flush(); err != nil {
				return nil, err
			}
			f.pos++
			begin, first = f.pos, f.line
		case rest[0] == '{':
			if err := flush(); err != nil {
				return nil, err
			}
			field, err := f.field(depth)
			if err != nil {
				return nil, err
			}
			out = append(out, field)
			begin, first = f.pos, f.line
		case rest[0] == '}':
			return nil, f.fail(f.line, "a single '}' in an f-string: write }} for the character")
		case f.raw && rest[0] == '\\', strings.HasPrefix(rest, `\{`), strings.HasPrefix(rest, `\}`):
			f.pos++
		default:
			f.advance()
		}
	}
}

// field reads {expression!conversion:specification}.
func (f *fstring) field(depth int) (part, error) {
	f.pos++
	begin, line := f.pos, f.line
	end, err := f.fieldEnd()
	if err != nil {
		return part{}, err
	}
	p := part{line: line}
	text := f.src[begin:end]
	if body, ok := strings.CutSuffix(strings.TrimRight(text, " \t\n"), "="); ok && !strings.HasSuffix(body, "=") && !strings.HasSuffix(body, "!") && !strings.HasSuffix(body, "<") && !strings.HasSuffix(body, ">") {
		p.debug, text = text, body
	}
	if strings.TrimSpace(text) == "" {
		return p, f.fail(line, "an empty {} in an f-string: write what to show")
	}
	inner := &lexer{src: text, line: line, nested: f.nested + 1, inline: true, count: f.count}
	if p.expr, err = inner.run(); err != nil {
		return p, err
	}
	if f.src[f.pos] == '!' {
		p.conv = f.src[f.pos+1 : min(len(f.src), f.pos+2)]
		if p.conv != "r" && p.conv != "s" && p.conv != "a" {
			return p, f.fail(line, "after ! in an f-string only r, s and a are known")
		}
		if f.pos += 2; f.pos >= len(f.src) {
			return p, f.fail(line, "this f-string is never closed")
		}
	}
	if f.src[f.pos] == ':' {
		f.pos++
		if p.spec, err = f.parts(depth + 1); err != nil {
			return p, err
		}
		if p.spec == nil {
			p.spec = []part{}
		}
	}
	if f.pos >= len(f.src) || f.src[f.pos] != '}' {
		return p, f.fail(line, "a '{' in an f-string is never closed: write {{ for the character")
	}
	if p.debug != "" && p.conv == "" && p.spec == nil {
		p.conv = "r"
	}
	f.pos++
	return p, nil
}

// fieldEnd moves to the "!", ":" or "}" that ends a field's expression.
func (f *fstring) fieldEnd() (int, error) {
	line, open := f.line, 0
	for f.pos < len(f.src) {
		rest := f.src[f.pos:]
		if prefix, quotes, ok := stringStart(rest); ok {
			if err := f.skipString(prefix, quotes); err != nil {
				return 0, err
			}
			continue
		}
		switch c := rest[0]; {
		case c == '(' || c == '[' || c == '{':
			open++
		case c == '}' && open == 0, c == ':' && open == 0, c == '!' && open == 0 && !strings.HasPrefix(rest, "!="):
			return f.pos, nil
		case c == ')' || c == ']' || c == '}':
			open--
		case c == '#':
			return 0, f.fail(f.line, "a comment cannot stand in an f-string")
		case c == '\n':
			if len(f.quotes) == 1 && open == 0 {
				return 0, f.fail(line, "this f-string is never closed")
			}
			f.newline()
			continue
		}
		if open < 0 {
			break
		}
		f.pos++
	}
	return 0, f.fail(line, "a '{' in an f-string is never closed: write {{ for the character")
}

// skipString passes a string within a field.
func (f *fstring) skipString(prefix, quotes string) error {
	count := 0
	l := &lexer{src: f.src, pos: f.pos, line: f.line, start: f.start, nested: f.nested + 1, inline: true, count: &count}
	err := l.stringLiteral(prefix, quotes)
	f.pos, f.line, f.start = l.pos, l.line, l.start
	return err
}
