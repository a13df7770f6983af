package expression_test

import (
	"strconv"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// probe is a call whose cost must grow with n. The set-up is not part of the cost.
type probe struct{ setup, call string }

const (
	text  = "s = 'ab ' * n"
	items = "x = list(range(n))"
	dicts = "d = dict.fromkeys(range(n))\ne = dict.fromkeys(range(n))"
	sets  = "x = set(range(n))\ny = set(range(n // 2, n))"
)

// probes has a call of every function and method whose cost depends on its arguments.
func probes() map[string]probe {
	p := map[string]probe{
		"str.join": {"l = ['ab'] * n", "','.join(l)"}, "str.replace": {text, "s.replace('a', 'xyz')"},
		"str.split": {text, "s.split('a')"}, "str.rsplit": {text, "s.rsplit('a')"}, "str.splitlines": {"s = 'a\\n' * n", "s.splitlines()"},
		"str.partition": {text, "s.partition('zz')"}, "str.rpartition": {text, "s.rpartition('zz')"},
		"str.removeprefix": {text, "s.removeprefix(s)"}, "str.removesuffix": {text, "s.removesuffix(s)"},
		"str.startswith": {text, "s.startswith(s)"}, "str.endswith": {text, "s.endswith(s)"},
		"str.count": {text, "s.count('zz')"}, "str.find": {text, "s.find('zz')"}, "str.rfind": {text, "s.rfind('zz')"},
		"str.index": {text, "s.index(' ab')"}, "str.rindex": {text, "s.rindex('ab')"},
		"str.center": {"", "'x'.center(n)"}, "str.ljust": {"", "'x'.ljust(n)"}, "str.rjust": {"", "'x'.rjust(n)"}, "str.zfill": {"", "'1'.zfill(n)"},
		"str.expandtabs": {"", "'\\t'.expandtabs(n)"}, "str.format": {"", "'{:>{}}'.format('x', n)"}, "str.format_map": {text + "\nd = {'a': s}", "'{a}'.format_map(d)"},
		"str.strip": {text, "s.strip(s)"}, "str.lstrip": {text, "s.lstrip(s)"}, "str.rstrip": {text, "s.rstrip(s)"},

		"list.extend": {items, "x.extend(x)"}, "list.insert": {items, "x.insert(0, 1)"}, "list.remove": {items, "x.remove(n - 1)"}, "list.pop": {items, "x.pop(0)"},
		"list.copy": {items, "x.copy()"}, "list.reverse": {items, "x.reverse()"}, "list.sort": {items, "x.sort()"}, "list.index": {items, "x.index(n - 1)"}, "list.count": {items, "x.count(1)"},
		"tuple.index": {"x = tuple(range(n))", "x.index(n - 1)"}, "tuple.count": {"x = tuple(range(n))", "x.count(1)"},

		"dict.keys": {dicts, "d.keys()"}, "dict.values": {dicts, "d.values()"}, "dict.items": {dicts, "d.items()"}, "dict.copy": {dicts, "d.copy()"}, "dict.update": {dicts, "d.update(e)"},
		"dict.get": {text + "\nd = {}", "d.get(s)"}, "dict.setdefault": {text + "\nd = {}", "d.setdefault(s)"}, "dict.pop": {text + "\nd = {}", "d.pop(s, 1)"},
		"dict.popitem": {dicts + "\nfor i in range(n // 3 * 2, n * 5 // 6): d.pop(i)\nfor i in range(n * 5 // 6, n): d.pop(i)", "d.popitem()"},

		"set.add": {text + "\nx = set()", "x.add(s)"}, "set.discard": {text + "\nx = set()", "x.discard(s)"}, "set.remove": {text + "\nx = {s}", "x.remove(s)"},
		"set.copy": {sets, "x.copy()"}, "set.issubset": {sets, "x.issubset(x)"}, "set.issuperset": {sets, "x.issuperset(y)"}, "set.isdisjoint": {sets, "x.isdisjoint(y)"},
		"set.union": {sets, "x.union(y)"}, "set.intersection": {sets, "x.intersection(y)"}, "set.difference": {sets, "x.difference(y)"}, "set.symmetric_difference": {sets, "x.symmetric_difference(y)"},
		"set.update": {sets, "x.update(y)"}, "set.intersection_update": {sets, "x.intersection_update(y)"}, "set.difference_update": {sets, "x.difference_update(y)"}, "set.symmetric_difference_update": {sets, "x.symmetric_difference_update(y)"},

		"len": {text, "len(s)"}, "repr": {text, "repr(s)"}, "ascii": {text, "ascii(s)"}, "format": {"", "format('x', '>' + str(n))"}, "str": {items, "str(x)"}, "print": {items, "print(x)"},
		"any": {"x = [0] * n", "any(x)"}, "all": {"x = [1] * n", "all(x)"}, "sum": {items, "sum(x)"}, "min": {items, "min(x)"}, "max": {items, "max(x)"},
		"sorted": {items, "sorted(x)"}, "reversed": {items, "reversed(x)"}, "enumerate": {items, "enumerate(x)"}, "zip": {items, "zip(x, x)"}, "map": {items, "map(abs, x)"}, "filter": {items, "filter(None, x)"},
		"list": {items, "list(x)"}, "tuple": {items, "tuple(x)"}, "set": {items, "set(x)"}, "frozenset": {items, "frozenset(x)"}, "dict": {dicts, "dict(d)"},
		"isinstance": {"t = (str,) * n", "isinstance(1, t)"}, "int": {"s = '1' * (n // 10)", "int(s)"}, "float": {"s = '1' * (n // 10)", "float(s)"},
		"slugify": {text, "slugify(s)"}, "regex_match": {text, "regex_match(s, 'zz')"}, "regex_replace": {text, "regex_replace(s, 'zz', '')"},
		"Exception": {"x = [1] * n", "ValueError(*x)"},
	}
	for _, name := range strings.Fields("capitalize casefold lower upper swapcase title isalnum isalpha isdecimal isdigit isnumeric isspace isascii isprintable islower isupper isidentifier istitle") {
		p["str."+name] = probe{text, "s." + name + "()"}
	}
	return p
}

// constant gives, for each function and method without a probe, the reason why its cost does
// not depend on its arguments.
func constant() map[string]string {
	c := map[string]string{
		"None": "no function", "True": "no function", "False": "no function",
		"ak_logger": "an object; its methods cut what they write", "ak_create_event": "converts what it is given as a result is, and at most ten times",
		"ak_user_by": "one query, and what it is given is converted as a result is", "ak_user_has_authenticator": "one query",
		"ak_is_group_member": "as filter of a QuerySet, which is charged for each group",
		"ip_address":         "reads 100 bytes at most", "ip_network": "reads 100 bytes at most", "list_flatten": "takes the first element",
		"ak_message": "keeps 500 bytes, after str()", "ak_call_policy": "see TestCalledPolicyIsCharged",
		"ak_create_jwt": "a fixed charge three times, and what it runs: see TestTokensShareTheBudget", "ak_create_jwt_raw": "as ak_create_jwt; claims are converted as a result is",
		"datetime": "seven numbers", "date": "three numbers", "time": "four numbers", "timedelta": "seven numbers", "timezone": "one number", "now": "no argument but a zone",
		"ZoneInfo": "a name of 60 bytes at most, and a fixed charge for its file",
		"abs":      "integers are bounded", "divmod": "integers are bounded", "pow": "integers are bounded", "round": "integers and digits are bounded",
		"hex": "integers are bounded", "oct": "integers are bounded", "bin": "integers are bounded", "chr": "one character", "ord": "one character",
		"bool": "looks whether a length is zero", "callable": "looks at the type", "type": "looks at the type", "hasattr": "one look-up", "getattr": "one look-up",
		"next": "takes the first element", "range": "holds three numbers",
		"int.bit_length": "integers are bounded", "float.is_integer": "one number",
		"list.append": "one element, paid for", "list.clear": "forgets", "dict.clear": "forgets", "set.clear": "forgets", "set.pop": "the first element, and what it skips is charged",
		"QuerySet.all": "returns itself", "QuerySet.distinct": "returns itself", "QuerySet.none": "an empty one", "QuerySet.count": "a length", "QuerySet.first": "one element", "QuerySet.last": "one element",
		"QuerySet.filter": "every look-up of every element is charged: see TestQueryIsCharged", "QuerySet.exclude": "as filter", "QuerySet.exists": "as filter", "QuerySet.get": "as filter",
		"QuerySet.values": "as values_list", "QuerySet.values_list": "every field is charged: see TestQueryIsCharged", "QuerySet.order_by": "every comparison is charged: see TestQueryIsCharged",
	}
	for _, e := range strings.Fields("ValueError KeyError TypeError IndexError AttributeError RuntimeError LookupError NotImplementedError AssertionError PermissionError StopIteration SkipObject") {
		c[e] = "as Exception"
	}
	return c
}

// TestEveryFunctionIsCharged fails on a function or method that is neither shown to
// charge for the size of its arguments nor listed with a reason.
func TestEveryFunctionIsCharged(t *testing.T) {
	e := &expression.Evaluator{Log: quiet(), Directory: people()}
	e.Uncontrolled() // charges are what is looked at here, and the wall clock is no part of them
	names := e.Names()
	for kind, methods := range e.Methods() {
		for _, m := range methods {
			names = append(names, kind+"."+m)
		}
	}
	tested, reasons := probes(), constant()
	for _, name := range names {
		p, probed := tested[name]
		reason, listed := reasons[name]
		switch {
		case !probed && !listed:
			t.Errorf("%s: nothing shows that it is charged", name)
			continue
		case probed && listed:
			t.Errorf("%s: both a probe and a reason (%s)", name, reason)
		}
		delete(tested, name)
		delete(reasons, name)
		if !probed {
			continue
		}
		small, large := spent(t, e, p, 1000), spent(t, e, p, 6000)
		if large-small < 400 {
			t.Errorf("%s: %s costs %d for 1000 and %d for 6000", name, p.call, small, large)
		}
	}
	for name := range tested {
		t.Errorf("%s: a probe of something that does not exist", name)
	}
	for name := range reasons {
		t.Errorf("%s: a reason for something that does not exist", name)
	}
}

// spent is the work and memory that the probe's call adds to its set-up.
func spent(t *testing.T, e *expression.Evaluator, p probe, n int) int {
	t.Helper()
	cost := func(src string) int {
		var total int
		e.OnSpent(func(work, bytes int, _ uint64) { total = work + bytes })
		if _, err := e.Eval(t.Context(), "public", src, expression.Env{}); err != nil {
			t.Fatalf("%v in\n%s", err, src)
		}
		return total
	}
	setup := "n = " + strconv.Itoa(n) + "\n" + p.setup + "\n"
	return cost(setup+"f = 1\n"+p.call+"\n") - cost(setup+"f = 1\n")
}

func TestQueryIsCharged(t *testing.T) {
	for _, call := range []string{"filter(name='x')", "exclude(name='x')", "exists(name='x')", "values_list('name', flat=True)", "values('name')", "order_by('name')", "order_by('-name')"} {
		cost := func(groups int) int {
			d := people()
			d.users[0].Groups = nil
			for i := range groups {
				id := "n" + strconv.Itoa(i)
				d.groups = append(d.groups, core.Group{ID: core.GroupID(id), Name: id})
				d.users[0].Groups = append(d.users[0].Groups, core.GroupID(id))
			}
			e := &expression.Evaluator{Directory: d, Log: quiet()}
			env := d.env(t, "jo")
			run := func(src string) (total int) {
				e.OnSpent(func(work, bytes int, _ uint64) { total = work + bytes })
				if _, err := e.Eval(t.Context(), "public", src, env); err != nil {
					t.Fatal(err)
				}
				return total
			}
			return run("q = user.all_groups()\nq."+call) - run("q = user.all_groups()\n")
		}
		if small, large := cost(10), cost(200); large < 5*small {
			t.Errorf("%s costs %d for 10 groups and %d for 200", call, small, large)
		}
	}
}

// TestUniverse: nothing of Starlark's own is within reach. Its functions are ours or
// do not exist, and no method of its types is callable unless it is one of ours.
func TestUniverse(t *testing.T) {
	e := &expression.Evaluator{Log: quiet()}
	for name, theirs := range starlark.Universe {
		ours := e.Predeclared(name)
		if ours == nil {
			if _, err := e.Eval(t.Context(), "public", "return "+name, expression.Env{}); err == nil {
				t.Errorf("%s of Starlark's can be reached", name)
			}
			continue
		}
		if _, isFunction := theirs.(*starlark.Builtin); isFunction && ours == theirs {
			t.Errorf("%s is Starlark's own", name)
		}
	}
	methods := e.Methods()
	for kind, v := range map[string]struct {
		value  starlark.HasAttrs
		source string
	}{
		"str":   {starlark.String("a"), "'a'"},
		"bytes": {starlark.Bytes("a"), "'a'"},
		"list":  {starlark.NewList(nil), "[]"},
		"dict":  {starlark.NewDict(0), "{}"},
		"set":   {starlark.NewSet(0), "set()"},
	} {
		for _, name := range v.value.AttrNames() {
			has, err := e.Eval(t.Context(), "public", "return hasattr("+v.source+", '"+name+"')", expression.Env{})
			if err != nil {
				t.Fatal(err)
			}
			mine := strings.Contains(" "+strings.Join(methods[kind], " ")+" ", " "+name+" ")
			if has == true && !mine {
				t.Errorf("%s.%s is not one of ours", kind, name)
			}
		}
	}
}
