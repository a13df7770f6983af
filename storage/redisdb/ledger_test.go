package redisdb

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
)

// outbox is the lines that a database has.
type outbox struct {
	Durable
	lines []core.Change
	last  int64
	fail  error
	// reading is called after LastChange has read, before it returns.
	reading func()
}

func (o *outbox) LastChange(context.Context, core.TenantID) (int64, error) {
	last := o.last
	if o.reading != nil {
		o.reading()
	}
	return last, o.fail
}

func (o *outbox) Changes(_ context.Context, _ core.TenantID, after int64, limit int) (out []core.Change, err error) {
	for _, c := range o.lines {
		if c.Seq > after && len(out) < limit {
			out = append(out, c)
		}
	}
	return out, o.fail
}

func (o *outbox) write(c core.Change) core.Change {
	o.last++
	c.Seq = o.last
	o.lines = append(o.lines, c)
	return c
}

func ended(id string) core.Change { return core.Change{Kind: "session", ID: id, Op: "delete"} }

var other = core.Change{Kind: "user", ID: "u", Op: "update"}

func loaded(t *testing.T, o *outbox) *ledger {
	t.Helper()
	g := newLedger()
	if err := g.load(t.Context(), o, &core.Tenant{ID: "public", UUID: "u"}); err != nil {
		t.Fatal(err)
	}
	return g
}

func of(id string, asOf int64) *copied {
	return &copied{AsOf: asOf, At: 1, Session: core.Session{ID: core.SessionID(id)}}
}

// What a ledger believes is what the database would say, whatever order it hears in.
func TestLedger(t *testing.T) {
	check := func(t *testing.T, g *ledger, c *copied, want bool) {
		t.Helper()
		if g.believes(c) != want {
			t.Errorf("%s as of line %d, with lines %d to %d known: believed %t", c.ID, c.AsOf, g.from, g.heard, !want)
		}
	}
	t.Run("not loaded", func(t *testing.T) { check(t, newLedger(), of("s", 0), false) })
	t.Run("empty", func(t *testing.T) {
		g := loaded(t, &outbox{})
		check(t, g, of("s", 0), true)
		check(t, g, of("s", 1), false) // a line that nobody wrote
	})
	t.Run("read at the start", func(t *testing.T) {
		o := &outbox{}
		o.write(other)
		o.write(ended("gone"))
		o.write(other)
		g := loaded(t, o)
		for asOf := range int64(4) {
			check(t, g, of("gone", asOf), false)
			check(t, g, of("lives", asOf), true)
		}
		child := of("child", 3)
		child.Parent = "gone"
		check(t, g, child, false)
	})
	t.Run("more lines than are read", func(t *testing.T) {
		o := &outbox{}
		o.write(ended("gone"))
		for range linesRead + 10 {
			o.write(other)
		}
		g := loaded(t, o)
		check(t, g, of("gone", 0), false) // not known to have ended: too old to say
		check(t, g, of("lives", 10), false)
		check(t, g, of("lives", 11), true)
		check(t, g, of("lives", o.last), true)
	})
	t.Run("swept", func(t *testing.T) {
		o := &outbox{}
		for range 10 {
			o.write(other)
		}
		o.lines = o.lines[6:]
		g := loaded(t, o)
		check(t, g, of("s", 5), false)
		check(t, g, of("s", 6), true)
		o.lines = nil
		g = loaded(t, o)
		check(t, g, of("s", 9), false)
		check(t, g, of("s", 10), true)
	})
	t.Run("heard while it is read", func(t *testing.T) {
		o := &outbox{}
		o.write(other)
		g := newLedger()
		o.reading = func() {
			g.hear([]core.Change{{Seq: 2, Kind: "session", ID: "gone", Op: "delete"}, {Seq: 3, Kind: "user"}}, time.Now())
		}
		if err := g.load(t.Context(), o, &core.Tenant{}); err != nil {
			t.Fatal(err)
		}
		check(t, g, of("gone", 1), false)
		check(t, g, of("lives", 3), true)
		check(t, g, of("lives", 4), false)
	})
	t.Run("out of order and twice", func(t *testing.T) {
		g := loaded(t, &outbox{})
		hear := func(all ...core.Change) { g.hear(all, time.Now()) }
		line := func(seq int64, c core.Change) core.Change { c.Seq = seq; return c }
		hear(line(3, ended("gone")))
		check(t, g, of("gone", 0), false)
		check(t, g, of("lives", 0), true)
		check(t, g, of("lives", 3), false) // lines 1 and 2 are not known
		hear(line(1, other), line(3, ended("gone")))
		check(t, g, of("lives", 2), false)
		hear(line(2, other), line(1, other))
		check(t, g, of("lives", 3), true)
		check(t, g, of("gone", 3), false)
		if len(g.ahead) > 0 {
			t.Errorf("%v is remembered", g.ahead)
		}
	})
	t.Run("a line never comes", func(t *testing.T) {
		g := loaded(t, &outbox{})
		seq := int64(1)
		for ; g.hear([]core.Change{{Seq: seq + 1, Kind: "user"}}, time.Now()); seq++ {
			check(t, g, of("lives", 0), true)
		}
		if seq > maxAhead+1 {
			t.Errorf("it goes on for %d lines", seq)
		}
	})
	t.Run("many", func(t *testing.T) {
		g := loaded(t, &outbox{})
		const n = 3 * maxEnded
		for seq := int64(1); seq <= n; seq++ {
			g.hear([]core.Change{{Seq: seq, Kind: "session", ID: fmt.Sprint("gone", seq), Op: "delete"}}, time.Now())
			if len(g.ended) > maxEnded {
				t.Fatalf("%d are remembered", len(g.ended))
			}
		}
		for seq := int64(1); seq <= n; seq++ {
			check(t, g, of(fmt.Sprint("gone", seq), seq-1), false)
		}
		check(t, g, of("lives", 0), false)
		check(t, g, of("lives", n-1), true)
	})
	t.Run("another database", func(t *testing.T) {
		o := &outbox{}
		for range 10 {
			o.write(other)
		}
		g := loaded(t, o)
		now := time.UnixMicro(100)
		g.hear([]core.Change{{Seq: 4, Kind: core.ChangedAny}}, now)
		for asOf := range int64(12) {
			check(t, g, of("s", asOf), false) // from before
		}
		later := of("s", 4)
		later.At = 101
		check(t, g, later, true)
	})
	t.Run("unreadable", func(t *testing.T) {
		g := newLedger()
		away := errors.New("away")
		if err := g.load(t.Context(), &outbox{fail: away}, &core.Tenant{}); !errors.Is(err, away) {
			t.Error(err)
		}
		check(t, g, of("s", 0), false)
	})
}
