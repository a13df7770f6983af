package expression

import (
	"runtime"
	"time"
)

// What one run may use. Steps are Starlark's own count. Work is charged by our
// functions, in units of at most 20 ns or so on a slow machine, before they do it; bytes likewise, for all that
// is allocated, whether or not it is let go again. The three together are the promise:
// 50 ms of CPU and 16 MB. They are counted, not measured, so that an expression that
// fits once always fits, whatever else the machine does.
const (
	maxSteps = 100_000
	maxWork  = 1_000_000
	maxBytes = 7 << 20

	// The wall clock stands behind the counts. Past maxTime a run ends if it has
	// worked for a good part of its budget: one that has not was merely not
	// scheduled. Past maxWait it ends in any case. Time in the Directory does not count.
	maxTime = 50 * time.Millisecond
	maxWait = time.Second
	// An expensive run lets others go first this often.
	yieldAfter = 500 * time.Microsecond

	// A run that is through with these is expensive and continues in the slow lane.
	cheapSteps = 10_000
	cheapWork  = 50_000
	cheapBytes = 512 << 10

	maxQueries = 100 // of the Directory
	maxRows    = 500 // of one query
	maxEvents  = 10  // by ak_create_event
	maxLines   = 50  // by ak_logger
	maxJWTs    = 3   // by ak_create_jwt

	// What these are charged: about the time that they take, so that who asks or writes
	// much does so in the slow lane.
	chargeQuery = 2_500
	chargeEvent = 20_000
	chargeToken = 100_000
)

// budget is what is left of one run.
type budget struct {
	work, bytes int
	spentCheap  bool // the slow lane is entered
	ticks       int
	start       time.Time
	yielded     time.Duration // after start
	napped      int           // how many parts of the budget a nap followed
	queries     int
	events      int
	lines       int
	jwts        int
}

// work charges n units of time.
func (r *run) charge(n int) {
	r.work += n
	r.check()
}

// alloc charges n bytes, and the time to fill them.
func (r *run) alloc(n int) {
	if n < 0 { // an overflow: larger than anything
		n = maxBytes + 1
	}
	r.bytes += n
	r.work += n / 32
	r.check()
}

// values charges a slice of n values.
func (r *run) values(n int) {
	if n > maxBytes/16 {
		n = maxBytes / 16 // and the header beside it is too much
	}
	r.alloc(16*n + 24)
}

func (r *run) check() {
	if r.uncontrolled {
		return
	}
	switch {
	case r.stopped != nil: // within what it asked for, by a clock that is not counted here
		panic(r.stopped)
	case r.work > maxWork:
		panic(r.stop("the expression takes too long"))
	case r.bytes > maxBytes:
		panic(r.stop("the expression takes too much memory"))
	}
	if !r.spentCheap && (r.work > cheapWork || r.bytes > cheapBytes) {
		r.slowDown()
	}
	if r.spentCheap {
		r.rest()
	}
	if r.ticks++; r.ticks%32 == 0 {
		r.clock()
	}
}

// rest lets a run in the last lane sleep, once it has used another part of its budget. The
// parts are counted, as the budget is, and not measured.
func (r *run) rest() {
	if r.lanes.in != r.lanes.last {
		return
	}
	used := max(r.work/(maxWork/naps), r.bytes/(maxBytes/naps), int(r.thread.Steps/(maxSteps/naps))) //nolint:gosec // no more than maxSteps
	if used <= r.napped {
		return
	}
	r.napped = used
	begin := time.Now()
	t := time.NewTimer(nap)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.ctx.Done():
	}
	r.start = r.start.Add(time.Since(begin))
}

// stop remembers that a limit ended the run. Nothing the program does hides it.
func (r *run) stop(why string) *fault {
	f := &fault{message: why, err: ErrLimit}
	if r.stopped == nil {
		r.stopped = f
	}
	return f
}

// clock looks at the wall clock and at the caller's context.
func (r *run) clock() {
	if err := r.ctx.Err(); err != nil {
		r.stopped = &fault{message: "the request ended before the expression did", err: err}
		panic(r.stopped)
	}
	// The real clock on purpose: it bounds real time, whatever Now says.
	took := time.Since(r.start)
	if took > maxWait || took > maxTime && (r.work > maxWork/2 || r.thread.Steps > maxSteps/2) {
		panic(r.stop("the expression takes too long"))
	}
	if r.spentCheap && took > r.yielded+yieldAfter {
		runtime.Gosched() // whatever else has work goes first
		r.yielded = time.Since(r.start)
	}
}

// slowDown moves an expensive run into the slow lane, and waits for a place there.
func (r *run) slowDown() {
	r.spentCheap = true
	if r.source.paceNow(r.tenant) == cheap {
		r.source.is(r.tenant, expensive) // whoever comes next with the same program waits for this one
	}
	begin := time.Now()
	if f := r.lanes.change(r.ctx, r.source); f != nil {
		r.stopped = f
		panic(f)
	}
	r.start = r.start.Add(time.Since(begin))
}

// outside runs a query of the Directory off the clock: how long it takes is no fault of the
// expression, and the context bounds it.
func (r *run) outside(query func()) {
	if r.queries++; r.queries > maxQueries {
		panic(r.stop("the expression asks the directory more than 100 times"))
	}
	begin := time.Now()
	defer func() { r.start = r.start.Add(time.Since(begin)) }()
	query()
}
