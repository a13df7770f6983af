package expression

import (
	"strings"
	"time"

	"go.starlark.net/starlark"
)

// newTime is a datetime, in UTC as authentik's are.
func newTime(t time.Time) starlark.Value {
	if t.IsZero() {
		return starlark.None
	}
	t = t.UTC()
	iso := func(sep string) string {
		format := "2006-01-02" + sep + "15:04:05"
		if t.Nanosecond() >= 1000 {
			format += ".000000"
		}
		return t.Format(format) + "+00:00"
	}
	method := func(name string, v func() starlark.Value) starlark.Value {
		return &builtin{name: name, fn: func(_ *run, a *args) starlark.Value {
			a.none()
			return v()
		}}
	}
	o := &object{kind: "datetime", id: iso("T"), text: func() string { return iso(" ") }, data: t}
	o.get = func(name string) starlark.Value {
		switch name {
		case "isoformat":
			return method(name, func() starlark.Value { return starlark.String(iso("T")) })
		case "timestamp":
			return method(name, func() starlark.Value { return starlark.Float(float64(t.UnixMicro()) / 1e6) })
		case "strftime":
			return &builtin{name: name, fn: func(r *run, a *args) starlark.Value {
				return starlark.String(r.strftime(t, a.text(a.one(), "format", "")))
			}}
		case "weekday":
			return method(name, func() starlark.Value { return starlark.MakeInt((int(t.Weekday()) + 6) % 7) })
		case "year":
			return starlark.MakeInt(t.Year())
		case "month":
			return starlark.MakeInt(int(t.Month()))
		case "day":
			return starlark.MakeInt(t.Day())
		case "hour":
			return starlark.MakeInt(t.Hour())
		case "minute":
			return starlark.MakeInt(t.Minute())
		case "second":
			return starlark.MakeInt(t.Second())
		}
		return nil
	}
	return o
}

// strftime formats a time by the directives of Python's that need no locale.
func (r *run) strftime(t time.Time, format string) string {
	w := &writer{r: r}
	for {
		i := strings.IndexByte(format, '%')
		if i < 0 || i+1 == len(format) {
			w.add(format)
			return w.b.String()
		}
		w.add(format[:i])
		layout, ok := map[byte]string{
			'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'j': "002",
			'B': "January", 'b': "Jan", 'A': "Monday", 'a': "Mon", 'F': "2006-01-02", 'T': "15:04:05",
		}[format[i+1]]
		switch c := format[i+1]; {
		case ok:
			w.add(t.Format(layout))
		case c == 'f':
			w.add(t.Format(".000000")[1:])
		case c == 'z':
			w.add("+0000")
		case c == 'Z':
			w.add("UTC")
		case c == '%':
			w.add("%")
		default:
			fail("ValueError: strftime() knows %%Y %%m %%d %%H %%M %%S, their like, and names in English")
		}
		r.charge(20)
		format = format[i+2:]
	}
}
