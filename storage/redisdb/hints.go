package redisdb

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/postern-sso/postern/core"
)

// A hint says that a tenant's outbox has a new line, and makes other nodes read it at once, also where no
// notification of the database reaches them, as behind a PgBouncer. It carries nothing else: who loses
// one looks within half a second anyhow, and who is sent a forged one looks in vain.

const (
	// quiet is how long nothing is heard before Redis is asked whether the connection is alive.
	quiet = 5 * time.Second
	// listenWait bounds the pause before the next attempt to listen, deniedWait is the one where
	// the user has no right to.
	listenWait = 2 * time.Second
	deniedWait = 30 * time.Second
)

// channelOf names the database, as channels know none.
func channelOf(db int) string {
	return string(core.DefaultTenant) + ":outbox:{" + strconv.Itoa(db) + "}"
}

// Publish gives other nodes a Hint. What goes wrong is made good by their next look.
func (s *Sessions) Publish(t core.TenantID, seq int64) {
	l := s.link.Load()
	if l == nil {
		return
	}
	_ = l.do(context.Background(), func(ctx context.Context) error {
		err := l.process(ctx, redis.NewIntCmd(ctx, "publish", l.channel, string(t)+" "+strconv.FormatInt(seq, 10)))
		var answer redis.Error
		if l.mayNot(err) || errors.As(err, &answer) {
			return nil // it is there, and what else it is asked for tells whether it is well
		}
		return err
	})
}

// mayNot reports whether the reason is the user's rights, or a server that has no such command. Of that it tells once.
func (l *link) mayNot(err error) bool {
	if err == nil || !strings.HasPrefix(err.Error(), "NOPERM ") && !strings.HasPrefix(err.Error(), "ERR ") {
		return false
	}
	l.denied.Do(func() {
		l.log.Warn("redis does not publish or subscribe for us: nodes hear of revocations by the database alone. A user of its own needs +publish +subscribe '&public:outbox:*'", "error", err)
	})
	return true
}

// listen hears hints until ctx ends.
func (l *link) listen(ctx context.Context) {
	for wait := probeEvery; ctx.Err() == nil; wait = min(2*wait, listenWait) {
		if !l.away.Load() {
			heard, err := l.hear(ctx)
			if heard {
				wait = probeEvery
			}
			if l.mayNot(err) {
				wait = deniedWait
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// hear subscribes, and hears hints until the connection is lost.
func (l *link) hear(ctx context.Context) (heard bool, err error) {
	defer func() {
		if recover() != nil { // the client takes it for granted that a server speaks the protocol
			err = errors.New("redis sent what is no message")
		}
	}()
	s := l.subscribe(ctx, l.channel)
	leave := func() { _ = s.Close() } // it may be closed
	defer leave()
	defer context.AfterFunc(ctx, leave)()
	for asked := false; ; {
		got, err := s.ReceiveTimeout(ctx, quiet)
		var timeout net.Error
		switch {
		case err == nil:
			heard, asked = true, false
		case !errors.As(err, &timeout) || !timeout.Timeout() || asked || ctx.Err() != nil:
			return heard, err
		default:
			asked = true
			if err := s.Ping(ctx); err != nil {
				return heard, err
			}
		}
		if m, ok := got.(*redis.Message); ok {
			name, number, _ := strings.Cut(m.Payload, " ")
			if seq, err := strconv.ParseInt(number, 10, 64); err == nil {
				l.hint(core.TenantID(name), seq)
			}
		}
	}
}
