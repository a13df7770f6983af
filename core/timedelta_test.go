package core_test

import (
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

func TestTimedelta(t *testing.T) {
	for in, want := range map[core.Timedelta]time.Duration{
		"minutes=10":          10 * time.Minute,
		"hours=1;minutes=30":  90 * time.Minute,
		"days=30":             720 * time.Hour,
		"weeks=4":             4 * 7 * 24 * time.Hour,
		"seconds=0":           0,
		"minutes=-5":          -5 * time.Minute,
		"hours=0.5":           30 * time.Minute,
		" minutes = 1 ; ":     time.Minute,
		"milliseconds=1500":   1500 * time.Millisecond,
		"microseconds=2":      2 * time.Microsecond,
		"Minutes=1":           time.Minute,
		"minutes=1;minutes=1": 2 * time.Minute,
	} {
		if got, err := in.Duration(); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", string(in), got, err, want)
		}
	}
	for _, in := range []core.Timedelta{"", ";", "10", "10m", "minutes", "minutes=", "minutes=x", "fortnights=1", "minutes=NaN", "minutes=Inf", "weeks=1e300", "hours=1;nonsense"} {
		if got, err := in.Duration(); err == nil {
			t.Errorf("%q is taken as %v", string(in), got)
		}
	}
	if got := core.Timedelta("nonsense").Or(time.Hour); got != time.Hour {
		t.Errorf("the default is %v", got)
	}
}
