package expression

import (
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"
)

// moment is a datetime, or a date or time of day of Python's. One that is naive has no
// time zone; its clock is kept as if it were UTC.
type moment struct {
	time.Time
	kind  string // "datetime", "date" or "time"
	naive bool
}

// newTime is a datetime of the directory's, in UTC as authentik's are; None for none.
func newTime(t time.Time) starlark.Value {
	if t.IsZero() {
		return starlark.None
	}
	return newMoment(moment{Time: t.UTC(), kind: "datetime"})
}

// wall is what the clock shows, without its zone: Python calculates with that.
func (m moment) wall() time.Time {
	y, mo, d := m.Date()
	return time.Date(y, mo, d, m.Hour(), m.Minute(), m.Second(), m.Nanosecond(), time.UTC)
}

// alike reports whether two can be compared and subtracted, and brings them to one
// clock: the wall's, where they share a zone.
func (m moment) alike(o moment) (a, b time.Time, ok bool) {
	switch {
	case m.kind != o.kind || m.naive != o.naive:
		return a, b, false
	case m.naive || m.Location() == o.Location():
		return m.wall(), o.wall(), true
	}
	return m.Time, o.Time, true
}

// iso is isoformat().
func (m moment) iso(sep string) string {
	format := map[string]string{"datetime": "2006-01-02" + sep + "15:04:05", "date": "2006-01-02", "time": "15:04:05"}[m.kind]
	if m.kind != "date" && m.Nanosecond() >= 1000 {
		format += ".000000"
	}
	if m.kind == "datetime" && !m.naive {
		format += "-07:00"
	}
	return m.Format(format)
}

// repr is Python's, with the zone by name.
func (m moment) repr() string {
	var parts []string
	add := func(n ...int) {
		for _, i := range n {
			parts = append(parts, itoa(i))
		}
	}
	if m.kind != "time" {
		add(m.Year(), int(m.Month()), m.Day())
	}
	if m.kind != "date" {
		add(m.Hour(), m.Minute())
		micro := m.Nanosecond() / 1000
		if m.Second() > 0 || micro > 0 {
			add(m.Second())
		}
		if micro > 0 {
			add(micro)
		}
	}
	if m.kind == "datetime" && !m.naive {
		parts = append(parts, "tzinfo="+zoneRepr(m.Location()))
	}
	return "datetime." + m.kind + "(" + strings.Join(parts, ", ") + ")"
}

func newMoment(m moment) *object {
	if m.Year() < 1 || m.Year() > 9999 {
		fail("OverflowError: date value out of range")
	}
	m.Time = m.Truncate(time.Microsecond)
	id := m.iso("T")
	if m.kind == "datetime" && !m.naive {
		id = m.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	o := &object{kind: m.kind, id: id, text: func() string { return m.iso(" ") }, repr: m.repr, data: m}
	o.get = func(name string) starlark.Value { return m.attribute(name) }
	return o
}

// attribute finds an attribute or method (Python's datetime module).
func (m moment) attribute(name string) starlark.Value {
	call := func(v func() starlark.Value) starlark.Value {
		return &builtin{name: name, fn: func(r *run, a *args) starlark.Value {
			a.none()
			r.alloc(400)
			return v()
		}}
	}
	if m.kind != "date" {
		switch name {
		case "hour":
			return starlark.MakeInt(m.Hour())
		case "minute":
			return starlark.MakeInt(m.Minute())
		case "second":
			return starlark.MakeInt(m.Second())
		case "microsecond":
			return starlark.MakeInt(m.Nanosecond() / 1000)
		}
	}
	if m.kind != "time" {
		switch name {
		case "year":
			return starlark.MakeInt(m.Year())
		case "month":
			return starlark.MakeInt(int(m.Month()))
		case "day":
			return starlark.MakeInt(m.Day())
		case "weekday":
			return call(func() starlark.Value { return starlark.MakeInt((int(m.Weekday()) + 6) % 7) })
		case "isoweekday":
			return call(func() starlark.Value { return starlark.MakeInt((int(m.Weekday())+6)%7 + 1) })
		}
	}
	if m.kind == "datetime" {
		switch name {
		case "timestamp":
			return call(func() starlark.Value { return starlark.Float(float64(m.UnixMicro()) / 1e6) })
		case "date":
			return call(func() starlark.Value { return newMoment(moment{m.wall().Truncate(24 * time.Hour), "date", true}) })
		case "time":
			return call(func() starlark.Value { return newMoment(clockOf(m.wall())) })
		case "tzinfo":
			if m.naive {
				return starlark.None
			}
			return newZone(m.Location())
		case "astimezone":
			return &builtin{name: name, fn: func(r *run, a *args) starlark.Value {
				r.alloc(400)
				return newMoment(moment{Time: m.In(asZone(a.bind(1, "tz")[0])), kind: m.kind})
			}}
		}
	}
	switch name {
	case "isoformat":
		return &builtin{name: name, fn: func(r *run, a *args) starlark.Value {
			r.alloc(64)
			return starlark.String(m.iso(cut(a.text(a.bind(0, "sep")[0], "sep", "T"), 4)))
		}}
	case "strftime":
		return &builtin{name: name, fn: func(r *run, a *args) starlark.Value {
			return starlark.String(r.strftime(m, a.text(a.one(), "format", "")))
		}}
	case "replace":
		return &builtin{name: name, fn: func(r *run, a *args) starlark.Value { return m.replace(r, a) }}
	}
	return nil
}

// clockOf is the time of day.
func clockOf(t time.Time) moment {
	return moment{time.Date(1, 1, 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC), "time", true}
}

// replace is datetime.replace(year=…, …): the same, but for what is named.
func (m moment) replace(r *run, a *args) starlark.Value {
	r.alloc(400)
	b := a.bind(0, "*year", "*month", "*day", "*hour", "*minute", "*second", "*microsecond", "*tzinfo")
	given := []int{m.Year(), int(m.Month()), m.Day(), m.Hour(), m.Minute(), m.Second(), m.Nanosecond() / 1000}
	for i, name := range []string{"year", "month", "day", "hour", "minute", "second", "microsecond"} {
		if b[i] == nil {
			continue
		}
		if i < 3 && m.kind == "time" || i > 2 && m.kind == "date" {
			fail("TypeError: a %s has no %s", m.kind, name)
		}
		given[i] = a.int(b[i], name, 0)
	}
	zone, naive := m.Location(), m.naive
	switch {
	case b[7] == nil:
	case m.kind != "datetime":
		fail("TypeError: tzinfo of a %s is not supported", m.kind)
	case b[7] == starlark.None:
		zone, naive = time.UTC, true
	default:
		zone, naive = asZone(b[7]), false
	}
	return newMoment(moment{date(given, zone), m.kind, naive})
}

// date makes a time of year, month, day, hour, minute, second and microsecond.
func date(n []int, zone *time.Location) time.Time {
	for i, limit := range [][2]int{{1, 9999}, {1, 12}, {1, 31}, {0, 23}, {0, 59}, {0, 59}, {0, 999999}} {
		if n[i] < limit[0] || n[i] > limit[1] {
			fail("ValueError: a %s must be %d to %d", []string{"year", "month", "day", "hour", "minute", "second", "microsecond"}[i], limit[0], limit[1])
		}
	}
	if last := time.Date(n[0], time.Month(n[1])+1, 0, 0, 0, 0, 0, time.UTC).Day(); n[2] > last {
		fail("ValueError: day is out of range for month")
	}
	return time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], n[6]*1000, zone)
}

// strftime formats a time by the directives of Python's that need no locale.
func (r *run) strftime(m moment, format string) string {
	w := &writer{r: r}
	for {
		i := strings.IndexByte(format, '%')
		if i < 0 || i+1 == len(format) {
			w.add(format)
			return w.b.String()
		}
		w.add(format[:i])
		switch c := format[i+1]; {
		case layout(c) != "":
			w.add(m.Format(layout(c)))
		case c == 'Y':
			w.add(itoa(m.Year())) // without zeros before it, as glibc has it
		case c == 'f':
			w.add(fmt.Sprintf("%06d", m.Nanosecond()/1000))
		case c == 'u':
			w.add(itoa((int(m.Weekday())+6)%7 + 1))
		case c == 'w':
			w.add(itoa(int(m.Weekday())))
		case (c == 'z' || c == 'Z') && m.naive:
		case c == 'z':
			w.add(m.Format("-0700"))
		case c == 'Z':
			w.add(m.Format("MST"))
		case c == '%':
			w.add("%")
		default:
			fail("ValueError: strftime() knows %%Y %%m %%d %%H %%M %%S, their like, and names in English")
		}
		r.charge(20)
		r.alloc(32)
		format = format[i+2:]
	}
}

// layout is Go's word for a directive of strftime; empty for one that it has no word for.
func layout(directive byte) string {
	switch directive {
	case 'y':
		return "06"
	case 'm':
		return "01"
	case 'd':
		return "02"
	case 'H':
		return "15"
	case 'I':
		return "03"
	case 'M':
		return "04"
	case 'S':
		return "05"
	case 'p':
		return "PM"
	case 'j':
		return "002"
	case 'B':
		return "January"
	case 'b':
		return "Jan"
	case 'A':
		return "Monday"
	case 'a':
		return "Mon"
	case 'F':
		return "2006-01-02"
	case 'T':
		return "15:04:05"
	}
	return ""
}
