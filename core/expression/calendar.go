package expression

import (
	"regexp"
	"time"
	_ "time/tzdata" // ZoneInfo knows the zones wherever the server runs

	"go.starlark.net/starlark"
)

var zoneName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

// calendar are the names of Python's datetime module. An expression need not import
// them; where it does, the line is accepted.
func calendarTypes() map[string]*builtin {
	now := func(_ string, naive bool) starlark.Value {
		return &builtin{name: "now", fn: func(r *run, a *args) starlark.Value {
			r.alloc(400)
			m := moment{Time: r.Now().UTC(), kind: "datetime", naive: naive}
			if tz := orNone(a.bind(0, "tz")[0]); tz != starlark.None {
				m.Time, m.naive = m.In(asZone(tz)), false
			}
			return newMoment(m)
		}}
	}
	datetime := &builtin{name: "datetime", fn: func(r *run, a *args) starlark.Value {
		r.alloc(400)
		b := a.bind(3, "year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo")
		zone, naive := time.UTC, true
		if tz := orNone(b[7]); tz != starlark.None {
			zone, naive = asZone(tz), false
		}
		return newMoment(moment{date(ints(a, b[:7]), zone), "datetime", naive})
	}}
	day := &builtin{name: "date", fn: func(r *run, a *args) starlark.Value {
		r.alloc(400)
		b := append(a.bind(3, "year", "month", "day"), nil, nil, nil, nil)
		return newMoment(moment{date(ints(a, b), time.UTC), "date", true})
	}}
	clock := &builtin{name: "time", get: func(string) starlark.Value { return nil }, fn: func(r *run, a *args) starlark.Value {
		r.alloc(400)
		b := a.bind(0, "hour", "minute", "second", "microsecond")
		one := starlark.MakeInt(1)
		return newMoment(clockOf(date(ints(a, append([]starlark.Value{one, one, one}, b...)), time.UTC)))
	}}
	delta := &builtin{name: "timedelta", fn: timedelta}
	zone := &builtin{name: "timezone", fn: func(r *run, a *args) starlark.Value {
		r.alloc(400)
		o, _ := a.one().(*object)
		if o == nil {
			fail("TypeError: timezone() needs a timedelta")
		}
		d, ok := o.data.(time.Duration)
		if !ok || d <= -24*time.Hour || d >= 24*time.Hour || d%time.Second != 0 {
			fail("ValueError: timezone() needs a timedelta of less than 24 hours")
		}
		if d == 0 {
			return newZone(time.UTC)
		}
		t := time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", int(d/time.Second)))
		return newZone(time.FixedZone("UTC"+t.Format("-07:00"), int(d/time.Second)))
	}}
	zoneInfo := &builtin{name: "ZoneInfo", fn: func(r *run, a *args) starlark.Value {
		name := a.text(a.bind(1, "key")[0], "key", "")
		r.charge(20_000) // read from disk, and parsed
		r.alloc(8 << 10)
		if len(name) > 60 || name == "Local" || !zoneName.MatchString(name) {
			fail("ZoneInfoNotFoundError: ZoneInfo() needs the name of a time zone, such as Europe/Paris")
		}
		loc, err := time.LoadLocation(name)
		if err != nil {
			fail("ZoneInfoNotFoundError: ZoneInfo() needs the name of a time zone, such as Europe/Paris")
		}
		return newZone(loc)
	}}
	datetime.get = func(name string) starlark.Value {
		switch name {
		case "now":
			return now(name, true)
		case "utcnow":
			return now(name, true)
		case "today":
			return now(name, true)
		case "fromisoformat":
			return &builtin{name: name, fn: fromISO}
		case "fromtimestamp":
			return &builtin{name: name, fn: fromTimestamp}
		case "datetime": // import datetime
			return datetime
		case "date":
			return day
		case "time":
			return clock
		case "timedelta":
			return delta
		case "timezone":
			return zone
		case "UTC":
			return newZone(time.UTC)
		}
		return nil
	}
	day.get = func(name string) starlark.Value {
		if name != "today" {
			return nil
		}
		return &builtin{name: name, fn: func(r *run, a *args) starlark.Value {
			a.none()
			r.alloc(400)
			return newMoment(moment{r.Now().UTC().Truncate(24 * time.Hour), "date", true})
		}}
	}
	aware := now("now", false) // of django.utils.timezone
	zone.get = func(name string) starlark.Value {
		switch name {
		case "utc":
			return newZone(time.UTC)
		case "now":
			return aware
		}
		return nil
	}
	return map[string]*builtin{
		"datetime": datetime, "date": day, "time": clock, "timedelta": delta, "timezone": zone, "ZoneInfo": zoneInfo,
		"now": aware.(*builtin), //nolint:forcetypeassert // made above
	}
}

func ints(a *args, v []starlark.Value) []int {
	out := make([]int, len(v))
	for i, x := range v {
		out[i] = a.int(x, "every part", 0)
	}
	return out
}

// fromISO is datetime.fromisoformat(text).
func fromISO(r *run, a *args) starlark.Value {
	s := cut(a.text(a.one(), "date_string", ""), 60)
	r.alloc(400)
	for _, layout := range []string{"2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		r.charge(20)
		if t, err := time.Parse(layout, s); err == nil {
			return newMoment(moment{Time: t, kind: "datetime", naive: true})
		}
		if t, err := time.Parse(layout+"Z07:00", s); err == nil && layout != "2006-01-02" {
			if _, offset := t.Zone(); offset == 0 {
				return newMoment(moment{Time: t.UTC(), kind: "datetime"})
			}
			_, offset := t.Zone()
			return newMoment(moment{Time: t.In(time.FixedZone("UTC"+t.Format("-07:00"), offset)), kind: "datetime"})
		}
	}
	fail("ValueError: fromisoformat() needs a time such as 2026-01-31T12:00:00+00:00")
	return nil
}

// fromTimestamp is datetime.fromtimestamp(seconds, tz=None).
func fromTimestamp(r *run, a *args) starlark.Value {
	b := a.bind(1, "timestamp", "tz")
	r.alloc(400)
	if !isNumber(b[0]) {
		fail("TypeError: fromtimestamp() needs a number")
	}
	seconds := asFloat(b[0])
	if !(seconds > -62135596800 && seconds < 253402300800) { // the years 1 to 9999; NaN is neither
		fail("ValueError: fromtimestamp() needs seconds since 1970, of the years 1 to 9999")
	}
	m := moment{Time: time.UnixMicro(int64(seconds * 1e6)).UTC(), kind: "datetime", naive: true}
	if tz := orNone(b[1]); tz != starlark.None {
		m.Time, m.naive = m.In(asZone(tz)), false
	}
	return newMoment(m)
}

// newZone is a tzinfo.
func newZone(l *time.Location) *object {
	return &object{kind: "tzinfo", id: l.String(), text: l.String, repr: func() string { return zoneRepr(l) }, data: l, get: func(name string) starlark.Value {
		if name == "key" {
			return starlark.String(l.String())
		}
		return nil
	}}
}

func asZone(v starlark.Value) *time.Location {
	if o, ok := v.(*object); ok {
		if l, ok := o.data.(*time.Location); ok {
			return l
		}
	}
	fail("TypeError: a time zone is needed here, not %s: timezone.utc or ZoneInfo(\"Europe/Paris\")", quote(typeName(v)))
	return nil
}

func zoneRepr(l *time.Location) string {
	if l == time.UTC {
		return "datetime.timezone.utc"
	}
	return "zoneinfo.ZoneInfo(key='" + l.String() + "')"
}
