package expression

import (
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

func replaceText(r *run, v starlark.Value, a *args) starlark.Value {
	s := receiver(r, v)
	b := a.bind(2, "old", "new", "count")
	old, with := a.text(b[0], "old", ""), a.text(b[1], "new", "")
	n := a.int(b[2], "count", -1)
	r.charge(2*len(s) + len(old))
	found := strings.Count(s, old)
	if n < 0 || n > found {
		n = found
	}
	r.alloc(len(s) + n*len(with)) // n is at most the length of s: no overflow
	return starlark.String(strings.Replace(s, old, with, n))
}

func joinText(r *run, v starlark.Value, a *args) starlark.Value {
	sep := receiver(r, v)
	w := &writer{r: r}
	first := true
	r.each(a.one(), func(x starlark.Value) bool {
		s, ok := x.(starlark.String)
		if !ok {
			fail("TypeError: join() needs strings, and found %s: use str(…) on each", quote(typeName(x)))
		}
		if !first {
			w.add(sep)
		}
		first = false
		w.add(string(s))
		return true
	})
	return starlark.String(w.b.String())
}

// split is split and, from the right, rsplit.
func split(right bool) methodFunc {
	return func(r *run, v starlark.Value, a *args) starlark.Value {
		s := receiver(r, v)
		b := a.bind(0, "sep", "maxsplit")
		limit := a.int(b[1], "maxsplit", -1)
		r.charge(2 * len(s))
		if b[0] == nil || b[0] == starlark.None {
			return r.texts(splitSpace(r, s, limit, right))
		}
		sep := a.text(b[0], "sep", "")
		if sep == "" {
			fail("ValueError: empty separator")
		}
		n := strings.Count(s, sep)
		if limit < 0 || limit > n {
			limit = n
		}
		r.values(2 * (limit + 1))
		if !right {
			return r.texts(strings.SplitN(s, sep, limit+1))
		}
		out := make([]string, 0, limit+1)
		for range limit {
			i := strings.LastIndex(s, sep)
			out = append(out, s[i+len(sep):])
			s = s[:i]
		}
		out = append(out, s)
		slices.Reverse(out)
		return r.texts(out)
	}
}

// splitSpace splits at runs of white space.
func splitSpace(r *run, s string, limit int, right bool) []string {
	var out []string
	for {
		if right {
			s = strings.TrimRightFunc(s, isSpace)
		} else {
			s = strings.TrimLeftFunc(s, isSpace)
		}
		if s == "" {
			break
		}
		r.alloc(64)
		if limit >= 0 && len(out) == limit {
			out = append(out, s)
			break
		}
		if right {
			i := strings.LastIndexFunc(s, isSpace)
			word := s[max(i, 0):]
			if i >= 0 {
				word = strings.TrimLeftFunc(word, isSpace)
			}
			out = append(out, word)
			s = s[:max(i, 0)]
			continue
		}
		i := strings.IndexFunc(s, isSpace)
		if i < 0 {
			i = len(s)
		}
		out = append(out, s[:i])
		s = s[i:]
	}
	if right {
		slices.Reverse(out)
	}
	return out
}

func splitLines(r *run, v starlark.Value, a *args) starlark.Value {
	s := receiver(r, v)
	keep := a.bool(a.bind(0, "keepends")[0])
	r.charge(len(s))
	var out []string
	for s != "" {
		i := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		r.alloc(48)
		if i < 0 {
			out = append(out, s)
			break
		}
		end := i + 1
		switch {
		case strings.HasPrefix(s[i:], "\r\n"):
			end = i + 2
		case strings.HasPrefix(s[i:], "\u0085"):
			end = i + 2
		case strings.HasPrefix(s[i:], "\u2028"), strings.HasPrefix(s[i:], "\u2029"):
			end = i + 3
		}
		if keep {
			out = append(out, s[:end])
		} else {
			out = append(out, s[:i])
		}
		s = s[end:]
	}
	return r.texts(out)
}

// texts is a list of strings.
func (r *run) texts(in []string) *list {
	r.values(2 * len(in))
	out := make([]starlark.Value, len(in))
	for i, s := range in {
		out[i] = starlark.String(s)
	}
	return newList(out)
}
