package core

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Timedelta is a length of time as authentik writes it: "minutes=10" or
// "hours=1;minutes=30". Units are microseconds, milliseconds, seconds,
// minutes, hours, days and weeks; numbers may be fractions or negative. It is
// kept as it was written, because the API answers with what it was sent.
type Timedelta string

// Duration is the length of time meant. Unknown units are an error that names
// the part: authentik ignores them, and a typing error becomes a zero.
func (d Timedelta) Duration() (time.Duration, error) {
	var sum float64
	parts := 0
	for part := range strings.SplitSeq(string(d), ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		unit, value, ok := strings.Cut(part, "=")
		size, known := timedeltaUnit(strings.ToLower(strings.TrimSpace(unit)))
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if !ok || !known || err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return 0, fmt.Errorf("%q is not a duration: write for example minutes=10 or hours=1;minutes=30", part)
		}
		sum += n * float64(size)
		parts++
	}
	if parts == 0 {
		return 0, fmt.Errorf("%q is not a duration: write for example minutes=10 or hours=1;minutes=30", string(d))
	}
	if math.Abs(sum) > float64(100*365*24*time.Hour) {
		return 0, fmt.Errorf("%q is longer than 100 years", string(d))
	}
	return time.Duration(sum), nil
}

// Or is the duration, or def where d is empty or cannot be read. Input is
// checked when it is saved; this is for reading what was saved.
func (d Timedelta) Or(def time.Duration) time.Duration {
	if v, err := d.Duration(); err == nil {
		return v
	}
	return def
}

func timedeltaUnit(name string) (time.Duration, bool) {
	switch name {
	case "microseconds":
		return time.Microsecond, true
	case "milliseconds":
		return time.Millisecond, true
	case "seconds":
		return time.Second, true
	case "minutes":
		return time.Minute, true
	case "hours":
		return time.Hour, true
	case "days":
		return 24 * time.Hour, true
	case "weeks":
		return 7 * 24 * time.Hour, true
	}
	return 0, false
}
