package sqldb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-sso/postern/core"
)

const (
	// pollEvery is how often the outbox is looked at while no hint comes.
	pollEvery = 500 * time.Millisecond
	// pollWait bounds one look, and one attempt to connect for it.
	pollWait = 2 * time.Second
	// pollSlack is how old the last look may be while looking goes well: a look that
	// takes all its time, and a second attempt.
	pollSlack = 2*pollWait + 2*pollEvery
	// pollBatch bounds how many lines are read at once.
	pollBatch = 1000
	// pollTenants bounds how many tenants one query asks about.
	pollTenants = 200
)

// place is how far a tenant's outbox was read: the last line, and enough of it to know
// it again. A server that took over without the last transactions gives their
// numbers to others.
type place struct {
	seq, at int64
}

// follower reads what other nodes write.
type follower struct {
	mu     sync.Mutex
	places map[core.TenantID]place
	echoes map[core.TenantID]echoes
	began  bool
	heard  time.Time // when the last look that went well began
	on     timeline
	hints  hints

	// For tests: how often it looks (zero: pollEvery), and what is switched off.
	every       time.Duration
	deaf, blind bool
}

func (f *follower) pollEvery() time.Duration {
	if f.every > 0 {
		return f.every
	}
	return pollEvery
}

// Follow tells OnChange and the listeners of what other nodes change, from now on and
// until stop is called: in a second at most, as long as the database answers.
// What this node changes is told twice. Where no other process can write it does
// nothing.
//
// The outbox is the truth, read each half second; a notification only makes it read at
// once, and so does a Hint. Its lines become visible in the order of their numbers, so none is missed.
// Where the lines that were read, or that this node wrote, are no longer there, as after
// a failover that lost transactions, a change of kind core.ChangedAny is told.
func (db *DB) Follow(ctx context.Context) (stop func()) {
	e, ok := db.engine.(*postgresEngine)
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &db.follower
	f.mu.Lock()
	f.began, f.heard = true, time.Now()
	f.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		db.follow(ctx, e)
	}()
	return func() {
		cancel()
		<-done
	}
}

// Behind is for how long nothing was heard of other nodes' changes, and whether that is
// longer than it should be. Where no other process can write, both are nothing.
func (db *DB) Behind() (d time.Duration, late bool) {
	f := &db.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.began {
		return 0, false
	}
	d = time.Since(f.heard)
	e, ok := db.engine.(*postgresEngine)
	return d, ok && e.down.Load() || d > pollSlack
}

// follow looks again and again. A connection that fails is replaced once before the
// database counts as away: the server may have closed it alone.
func (db *DB) follow(ctx context.Context, e *postgresEngine) {
	var c *pgx.Conn
	closeConn := func() {
		if c != nil {
			dropConn(c)
			c = nil
		}
	}
	defer closeConn()
	for ctx.Err() == nil {
		fresh, began := c == nil, time.Now()
		db.follower.looks(began)
		err := db.look(ctx, e, &c)
		if err != nil && !fresh && ctx.Err() == nil {
			closeConn()
			err = db.look(ctx, e, &c)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			closeConn()
			if !e.down.Swap(true) {
				db.log.ErrorContext(ctx, "the database is away: what is in memory is used, as long as it may be", "error", err)
			}
		default:
			db.follower.mu.Lock()
			before := db.follower.heard
			db.follower.heard = began
			db.follower.mu.Unlock()
			if e.down.Swap(false) {
				e.forgetIdle()
				db.log.InfoContext(ctx, "the database is back", "away", time.Since(before).Round(time.Millisecond).String())
			}
			db.follower.on.tell(ctx, db)
		}
		if c == nil {
			pause(ctx, min(db.follower.pollEvery(), pollEvery))
			continue
		}
		wait, cancel := db.follower.untilDue(ctx)
		if db.follower.deaf || e.pooled() {
			<-wait.Done()
		} else if _, err = c.WaitForNotification(wait); err != nil && wait.Err() == nil { // one, of maybe many: the look reads what all of them are about
			closeConn() // the next look tells whether there is another to be had
		}
		cancel()
	}
}

// look reads what is new in every tenant, on a connection of its own: a pool that is
// used up must not look like a database that is away.
func (db *DB) look(ctx context.Context, e *postgresEngine, c **pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, pollWait)
	defer cancel()
	if *c == nil {
		conn, err := pgx.ConnectConfig(ctx, e.config.Copy())
		if err != nil {
			return flat(err)
		}
		*c = conn
		db.follower.on.read(ctx, conn)
		if !db.follower.deaf && !e.pooled() {
			if _, err := conn.Exec(ctx, `LISTEN `+changesChannel); err != nil {
				return fmt.Errorf("listen: %w", err)
			}
		}
	}
	if db.follower.blind {
		return (*c).Ping(ctx)
	}
	err := db.lookAtAll(ctx, e, *c)
	if e.missing(err) { // another node deleted a tenant
		if err = db.lookAway(ctx, e, *c); err == nil {
			db.registryChanged(ctx)
			err = db.lookAtAll(ctx, e, *c)
		}
	}
	if err != nil {
		return fmt.Errorf("read the outbox: %w", err)
	}
	return nil
}

// lookAway stops to look at tenants whose schemas are gone.
func (db *DB) lookAway(ctx context.Context, e *postgresEngine, c *pgx.Conn) error {
	tenants, _, _ := db.follower.known()
	of := map[string]core.TenantID{}
	for _, t := range tenants {
		of[e.schemaOf(t)] = t
	}
	rows, err := c.Query(ctx, `SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY ($1)`, slices.Collect(maps.Keys(of)))
	if err != nil {
		return err
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, schema := range there {
		delete(of, schema)
	}
	if err == nil {
		for _, t := range of {
			db.follower.forget(t)
		}
	}
	return err
}

func (db *DB) lookAtAll(ctx context.Context, e *postgresEngine, c *pgx.Conn) error {
	// What is written from here on, the database may not have told of when it is asked.
	tenants, places, wrote := db.follower.known()
	for part := range slices.Chunk(tenants, pollTenants) {
		if err := db.lookAt(ctx, e, c, part, places, wrote); err != nil {
			return err
		}
	}
	return nil
}

// lookAt asks with one query which of the tenants have new lines, and reads those.
func (db *DB) lookAt(ctx context.Context, e *postgresEngine, c *pgx.Conn, tenants []core.TenantID, places map[core.TenantID]place, wrote map[core.TenantID]int64) error {
	ask := make([]string, len(tenants))
	for i, t := range tenants {
		schema := pgx.Identifier{e.schemaOf(t)}.Sanitize()
		ask[i] = fmt.Sprintf(`SELECT CAST(%d AS BIGINT), c.value, coalesce(o.at, 0) FROM %s.counters c LEFT JOIN %[2]s.outbox o ON o.seq = c.value WHERE c.name = 'outbox'`, i, schema)
	}
	rows, err := c.Query(ctx, strings.Join(ask, ` UNION ALL `))
	if err != nil {
		return err
	}
	type news struct {
		tenant core.TenantID
		newest place
	}
	var all []news
	var i int64
	var p place
	_, err = pgx.ForEachRow(rows, []any{&i, &p.seq, &p.at}, func() error {
		t := tenants[i]
		// A line that was swept has no time any more.
		if have := places[t]; p.seq != have.seq || p.seq < wrote[t] || p.at != have.at && p.at != 0 && have.at != 0 {
			all = append(all, news{t, p})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range all {
		if err := db.catchUp(ctx, e, c, n.tenant, places[n.tenant], n.newest, wrote[n.tenant]); err != nil {
			return err
		}
	}
	return nil
}

// catchUp reads a tenant's lines from the one that was read last, which is read again to
// see that it is still the same, to the newest, before which is what this node wrote.
func (db *DB) catchUp(ctx context.Context, e *postgresEngine, c *pgx.Conn, t core.TenantID, from, newest place, wrote int64) error {
	query := fmt.Sprintf(`SELECT seq, kind, object_id, op, at FROM %s.outbox WHERE seq >= $1 ORDER BY seq LIMIT %d`,
		pgx.Identifier{e.schemaOf(t)}.Sanitize(), pollBatch)
	for {
		rows, err := c.Query(ctx, query, from.seq)
		if err != nil {
			return err
		}
		var changes []core.Change
		var lines []line
		last, same, read := from, true, 0
		var ch core.Change
		var at int64
		_, err = pgx.ForEachRow(rows, []any{&ch.Seq, &ch.Kind, &ch.ID, &ch.Op, &at}, func() error {
			read++
			switch {
			case ch.Seq == from.seq:
				same = same && (from.at == 0 || from.at == at)
				last.at = at
				return nil
			case ch.Seq != last.seq+1:
				same = false // lines were swept, or lost, before they were read
			}
			changes, lines = append(changes, ch), append(lines, line{ch, at})
			last = place{ch.Seq, at}
			return nil
		})
		if err != nil {
			return err
		}
		same = db.follower.heardAgain(t, lines) && same
		if newest.seq < max(from.seq, wrote) || !same || len(changes) == 0 && newest.seq > from.seq {
			db.log.WarnContext(ctx, "the outbox is not the one that was read before: all that is in memory of the tenant is read again", "tenant", t)
			db.follower.moved(t, newest)
			db.follower.lost(t, max(newest.seq, wrote))
			db.heard(ctx, t, []core.Change{{Seq: newest.seq, Kind: core.ChangedAny, Op: "update"}})
			return nil
		}
		db.follower.moved(t, last)
		db.heard(ctx, t, changes)
		if read < pollBatch {
			return nil
		}
		from = last
	}
}

// heard tells what another node did. The registry is read before anybody asks for a
// tenant that is no longer there, or is another one now.
func (db *DB) heard(ctx context.Context, t core.TenantID, changes []core.Change) {
	registry := func(c core.Change) bool { return c.Kind == "tenant" || c.Kind == core.ChangedAny }
	if t == core.DefaultTenant && slices.ContainsFunc(changes, registry) {
		db.registryChanged(ctx)
	}
	if slices.ContainsFunc(changes, func(c core.Change) bool { return c.Kind == core.ChangedAny }) {
		db.people(t).forget() // its lines may be others now
	}
	db.notify(t, changes)
}

// moved notes how far a tenant was read, unless it was forgotten meanwhile. What was noted of lines up to there since
// they were read is needed no more: see wrote.
func (f *follower) moved(t core.TenantID, p place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.places[t]; ok {
		f.places[t] = p
	}
	f.echoes[t].end(p.seq)
}

// begin looks at a tenant from now on.
func (f *follower) begin(t core.TenantID, p place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.places[t] = p
}

// forget stops to look at a tenant.
func (f *follower) forget(t core.TenantID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.places, t)
	delete(f.echoes, t)
}

// known lists the tenants to look at, how far each was read, and the newest line of each
// that this node wrote and has not read.
func (f *follower) known() (tenants []core.TenantID, places map[core.TenantID]place, wrote map[core.TenantID]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tenants = make([]core.TenantID, 0, len(f.places))
	places, wrote = make(map[core.TenantID]place, len(f.places)), make(map[core.TenantID]int64, len(f.echoes))
	for t, p := range f.places {
		tenants, places[t] = append(tenants, t), p
	}
	for t, e := range f.echoes {
		wrote[t] = e.last()
	}
	return tenants, places, wrote
}

// followFrom notes where a tenant's outbox ends now, before anything of the tenant is
// read that a cache may keep.
func (db *DB) followFrom(ctx context.Context, t core.TenantID) error {
	if !db.engine.shared() {
		return nil
	}
	var p place
	err := db.rawRead(ctx, t, directory, "read the end of the outbox", func(q *conn) error {
		return q.row(ctx, `SELECT c.value, coalesce(o.at, 0) FROM counters c LEFT JOIN outbox o ON o.seq = c.value WHERE c.name = 'outbox'`).Scan(&p.seq, &p.at)
	})
	if err == nil {
		db.follower.begin(t, p)
	}
	return err
}

// forgetIdle closes the connections that nobody uses: they are from before.
func (e *postgresEngine) forgetIdle() {
	e.pool.SetMaxIdleConns(0)
	e.pool.SetMaxIdleConns(e.conns)
}

// dropConn closes without waiting for a server that may hang.
func dropConn(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = c.Close(ctx) // it is given up either way
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// flatError is an error in one line: pgx tells of each host on one of its own.
type flatError struct{ err error }

func (f flatError) Error() string { return strings.Join(strings.Fields(f.err.Error()), " ") }
func (f flatError) Unwrap() error { return f.err }

func flat(err error) error {
	var have flatError
	if err == nil || errors.As(err, &have) {
		return err
	}
	return flatError{err}
}
