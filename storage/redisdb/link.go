package redisdb

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/postern-sso/postern/core"
)

const (
	// callWait bounds one call, however many commands it sends.
	callWait = 250 * time.Millisecond
	// connectWait bounds what the probe takes to connect: that takes more than one answer, and
	// nobody waits for it.
	connectWait = time.Second
	// probeEvery is how often Redis is asked whether it is back.
	probeEvery = 250 * time.Millisecond
	// tellEvery is how often the log hears at most that Redis is away.
	tellEvery = 10 * time.Second
	// clusterProbes is how many keys are written to see whether a cluster takes writes: with so
	// many, hardly a server of it has none.
	clusterProbes = 64
	// connections bounds those to each server.
	connections = 64
)

// errAway: Redis did not answer lately, and was not asked.
var errAway = errors.New("redis is away")

// link is one configured Redis. It is asked only while it answers: the first call that fails
// takes it out, and one goroutine asks it until it is back.
type link struct {
	url string
	client
	log    *slog.Logger
	away   atomic.Bool
	probes []string      // the keys that the probe writes
	wait   time.Duration // callWait, but in tests
	asks   bool          // even while Redis is away: the control of a test
	wake   chan error    // why Redis is away
	end    context.CancelFunc
	ended  sync.WaitGroup

	channel string // of hints
	hint    func(core.TenantID, int64)
	denied  sync.Once // hints may not be published, or not be heard

	mu      sync.Mutex
	ledgers map[core.TenantID]*ledger
	strange time.Time // when a value that is not ours was last told of
}

func newLink(url string, wait time.Duration, log *slog.Logger, hint func(core.TenantID, int64)) (*link, error) {
	a, err := parse(url)
	if err != nil {
		return nil, err
	}
	if a.TLSConfig, err = a.tlsConfig(); err != nil {
		return nil, err
	}
	logging.Disable() // what matters of it is in the errors
	a.MaxRetries, a.DialerRetries = -1, 1
	a.DialTimeout, a.ReadTimeout, a.WriteTimeout, a.PoolTimeout = max(connectWait, wait), max(connectWait, wait), max(connectWait, wait), wait
	a.ContextTimeoutEnabled = true // a call's own deadline is the shorter
	a.PoolSize = connections
	a.DisableIdentity = true
	a.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	l := &link{url: url, log: log, wait: wait, wake: make(chan error, 1), channel: channelOf(a.DB), hint: hint, ledgers: map[core.TenantID]*ledger{}}
	probes := 1
	switch {
	case a.IsClusterMode:
		probes = clusterProbes
		o := a.Cluster()
		o.FailingTimeoutSeconds = 1
		l.client = cluster(redis.NewClusterClient(o))
	case a.MasterName != "":
		l.client = server(redis.NewFailoverClient(a.Failover()))
	default:
		l.client = server(redis.NewClient(a.Simple()))
	}
	for range probes {
		l.probes = append(l.probes, string(core.DefaultTenant)+":probe:{"+core.RandomAlphanumeric(16)+"}")
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.end = cancel
	l.away.Store(true) // until it has answered
	l.wake <- nil
	l.ended.Go(func() { l.watch(ctx) })
	if hint != nil {
		l.ended.Go(func() { l.listen(ctx) })
	}
	return l, nil
}

// close waits for what is in the background only: a call that is under way ends with an error.
func (l *link) close() {
	l.end()
	l.ended.Wait()
	l.away.Store(true)
	_ = l.disconnect() // nothing is written that could be lost
}

// out reports whether Redis is away, and so is not to be asked.
func (l *link) out() bool { return l.away.Load() && !l.asks }

// do calls f, for callWait at most, unless Redis is away. A caller who gives up does not make it so.
func (l *link) do(ctx context.Context, f func(ctx context.Context) error) error {
	if l.out() {
		return errAway
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.wait)
	defer cancel()
	err := f(ctx)
	if err == nil || errors.Is(err, redis.Nil) || strings.HasPrefix(err.Error(), "WRONGTYPE ") {
		return err // it answered
	}
	if !l.away.Swap(true) {
		l.wake <- err
	}
	return err
}

// watch waits until Redis is away, and then asks until it is back. Of one that comes and goes
// it tells now and then.
func (l *link) watch(ctx context.Context) {
	var lately time.Time
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case err = <-l.wake:
		}
		began, told := time.Now(), false
		tell := func(err error) {
			if err != nil && !told && time.Since(lately) > tellEvery {
				told, lately = true, time.Now()
				l.log.Warn("redis is away: sessions are read from the database", "error", err)
			}
		}
		tell(err)
		for {
			if err = l.ask(ctx); err == nil {
				break
			}
			if ctx.Err() == nil {
				tell(err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(probeEvery):
			}
		}
		l.away.Store(false)
		if told {
			l.log.Info("redis is back", "away", time.Since(began).Round(time.Millisecond).String())
		}
	}
}

// ask connects, then sees whether every master answers and takes a write as quickly as a call
// needs it.
func (l *link) ask(ctx context.Context) error {
	if err := l.ping(ctx, max(connectWait, l.wait)); err != nil {
		return err
	}
	if err := l.ping(ctx, l.wait); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()
	_, err := l.pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range l.probes {
			p.Set(ctx, key, "1", time.Second)
		}
		return nil
	})
	return err
}

func (l *link) ping(ctx context.Context, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return l.pingMasters(ctx)
}
