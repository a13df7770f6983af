package expression

import (
	"fmt"
	"math"
	"strings"
	"time"

	"go.starlark.net/starlark"
)

// maxSeconds is what fits a time.Duration.
const maxSeconds = math.MaxInt64 / 1_000_000_000

// newTimedelta is Python's timedelta, of at most 292 years.
func newTimedelta(d time.Duration) *object {
	d = d.Truncate(time.Microsecond)
	days, rest := splitDays(d)
	seconds, micro := int(rest/time.Second), int(rest%time.Second/time.Microsecond)
	o := &object{kind: "timedelta", id: itoa(int(d)), data: d, falsy: d == 0}
	o.text = func() string {
		var b strings.Builder
		switch days {
		case 0:
		case 1, -1:
			fmt.Fprintf(&b, "%d day, ", days)
		default:
			fmt.Fprintf(&b, "%d days, ", days)
		}
		fmt.Fprintf(&b, "%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
		if micro > 0 {
			fmt.Fprintf(&b, ".%06d", micro)
		}
		return b.String()
	}
	o.repr = func() string {
		var parts []string
		for _, p := range []struct {
			name string
			n    int
		}{{"days", days}, {"seconds", seconds}, {"microseconds", micro}} {
			if p.n != 0 {
				parts = append(parts, p.name+"="+itoa(p.n))
			}
		}
		if parts == nil {
			parts = []string{"0"}
		}
		return "datetime.timedelta(" + strings.Join(parts, ", ") + ")"
	}
	o.get = func(name string) starlark.Value {
		switch name {
		case "days":
			return starlark.MakeInt(days)
		case "seconds":
			return starlark.MakeInt(seconds)
		case "microseconds":
			return starlark.MakeInt(micro)
		case "total_seconds":
			return &builtin{name: name, fn: func(_ *run, a *args) starlark.Value {
				a.none()
				return starlark.Float(float64(d/time.Microsecond) / 1e6)
			}}
		}
		return nil
	}
	return o
}

// splitDays is what Python keeps: days, which may be negative, and the rest, which is not.
func splitDays(d time.Duration) (days int, rest time.Duration) {
	const day = 24 * time.Hour
	days, rest = int(d/day), d%day
	if rest < 0 {
		days, rest = days-1, rest+day
	}
	return days, rest
}

// timedelta is timedelta(days=0, seconds=0, microseconds=0, milliseconds=0, minutes=0, hours=0, weeks=0).
func timedelta(r *run, a *args) starlark.Value {
	r.alloc(600)
	b := a.bind(0, "days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks")
	total := time.Duration(0)
	for i, unit := range []time.Duration{24 * time.Hour, time.Second, time.Microsecond, time.Millisecond, time.Minute, time.Hour, 7 * 24 * time.Hour} {
		if b[i] == nil {
			continue
		}
		if !isNumber(b[i]) {
			fail("TypeError: timedelta() takes numbers, not %s", quote(typeName(b[i])))
		}
		total = plus(total, scaled(unit, b[i]))
	}
	return newTimedelta(total)
}

// scaled is d * n, to the microsecond.
func scaled(d time.Duration, n starlark.Value) time.Duration {
	f := asFloat(n)
	if i, ok := asInt(n); ok {
		count, fits := i.Int64()
		if v := d * time.Duration(count); fits && (count == 0 || v/time.Duration(count) == d && (v != math.MinInt64 || count != -1)) {
			return v
		}
		f = math.Inf(1)
	}
	micro := math.RoundToEven(f * float64(d/time.Microsecond))
	if math.IsNaN(micro) || math.Abs(micro) > math.MaxInt64/2000 {
		fail("OverflowError: a timedelta has at most 292 years here")
	}
	return time.Duration(micro) * time.Microsecond
}

func plus(a, b time.Duration) time.Duration {
	sum := a + b
	if (a > 0 && b > 0 && sum <= 0) || (a < 0 && b < 0 && sum >= 0) {
		fail("OverflowError: a timedelta has at most 292 years here")
	}
	return sum
}

// calendar is x op y where one is a datetime, date or timedelta; nil: it is not, or
// Python knows no such operation.
func (r *run) calendar(op string, x, y starlark.Value) starlark.Value {
	a, _ := x.(*object)
	b, _ := y.(*object)
	if a == nil && b == nil {
		return nil
	}
	r.alloc(600)
	var (
		m, n   moment
		d, e   time.Duration
		isM    [2]bool
		isD    [2]bool
		number starlark.Value
	)
	if a != nil {
		m, isM[0] = a.data.(moment)
		d, isD[0] = a.data.(time.Duration)
	} else {
		number = x
	}
	if b != nil {
		n, isM[1] = b.data.(moment)
		e, isD[1] = b.data.(time.Duration)
	} else {
		number = y
	}
	switch {
	case isM[0] && isM[1] && op == "-":
		s, t, ok := m.alike(n)
		if !ok || m.kind == "time" {
			return nil
		}
		if seconds := s.Unix() - t.Unix(); seconds > maxSeconds || seconds < -maxSeconds {
			fail("OverflowError: a timedelta has at most 292 years here")
		}
		return newTimedelta(s.Sub(t))
	case isM[0] && isD[1] && (op == "+" || op == "-"):
		if op == "-" {
			e = -e
		}
		return m.after(e)
	case isD[0] && isM[1] && op == "+":
		return n.after(d)
	case isD[0] && isD[1]:
		return durations(op, d, e)
	case isD[0] && number != nil && isNumber(number) && (op == "*" || op == "/" || op == "//"):
		if op == "*" {
			return newTimedelta(scaled(d, number))
		}
		by := asFloat(number)
		if by == 0 {
			fail("ZeroDivisionError: division by zero")
		}
		if _, whole := asInt(number); op == "//" && !whole {
			return nil
		}
		micro := float64(d/time.Microsecond) / by
		if op == "//" {
			return newTimedelta(scaled(time.Microsecond, starlark.Float(math.Floor(micro))))
		}
		return newTimedelta(scaled(time.Microsecond, starlark.Float(micro)))
	case isD[1] && op == "*" && number != nil && isNumber(number):
		return newTimedelta(scaled(e, number))
	}
	return nil
}

func durations(op string, d, e time.Duration) starlark.Value {
	switch op {
	case "+":
		return newTimedelta(plus(d, e))
	case "-":
		return newTimedelta(plus(d, -e))
	case "/", "//", "%":
		if e == 0 {
			fail("ZeroDivisionError: division by zero")
		}
		q, rest := d/e, d%e
		if rest != 0 && (rest < 0) != (e < 0) {
			q, rest = q-1, rest+e
		}
		switch op {
		case "/":
			return starlark.Float(float64(d) / float64(e))
		case "//":
			return starlark.MakeInt64(int64(q))
		}
		return newTimedelta(rest)
	}
	return nil
}

// after is m + d, on the wall's clock; nil for a time of day, which Python does not add to.
func (m moment) after(d time.Duration) starlark.Value {
	if m.kind == "time" {
		return nil
	}
	if m.kind == "date" {
		days, _ := splitDays(d)
		return newMoment(moment{m.AddDate(0, 0, days), "date", true})
	}
	t := m.wall().Add(d)
	y, mo, day := t.Date()
	return newMoment(moment{time.Date(y, mo, day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), m.Location()), m.kind, m.naive})
}
