package expression

import (
	"slices"
	"strings"

	"go.starlark.net/syntax"
)

// imported reports whether an import may stand in a source, although there is nothing to
// import: what it names is there already, and is the same.
func imported(module, name string) bool {
	switch module {
	case "datetime":
		return slices.Contains([]string{"datetime", "date", "time", "timedelta", "timezone"}, name)
	case "zoneinfo":
		return name == "ZoneInfo"
	case "ipaddress":
		return name == "ip_address" || name == "ip_network"
	case "django.utils":
		return name == "timezone"
	case "django.utils.timezone":
		return name == "now"
	}
	return false
}

// importStatement accepts an import of what is there already, and refuses all others.
func (p *parser) importStatement() []syntax.Stmt {
	t := p.next()
	at := p.at(t)
	refuse := func() { p.failAt(at, absentStatement("import")) }
	name := func() string {
		if p.peek().kind != kindName {
			refuse()
		}
		return p.next().text
	}
	if t.text == "import" {
		if name() != "datetime" || p.is(".") || p.is("as") || p.is(",") {
			refuse()
		}
		return []syntax.Stmt{&syntax.BranchStmt{Token: syntax.PASS, TokenPos: at}}
	}
	module := []string{name()}
	for p.accept(".") {
		module = append(module, name())
	}
	if !p.accept("import") {
		refuse()
	}
	group := p.accept("(")
	for {
		if !imported(strings.Join(module, "."), name()) || p.is("as") {
			refuse()
		}
		if !p.accept(",") || group && p.is(")") {
			break
		}
	}
	if group && !p.accept(")") {
		refuse()
	}
	return []syntax.Stmt{&syntax.BranchStmt{Token: syntax.PASS, TokenPos: at}}
}
