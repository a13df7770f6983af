package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/policy"
	"github.com/postern-sso/postern/core/session"
	"github.com/postern-sso/postern/outpost"
	"github.com/postern-sso/postern/storage"
	"github.com/postern-sso/postern/storage/cached"
	"github.com/postern-sso/postern/storage/mediastore"
	"github.com/postern-sso/postern/storage/redisdb"
	"github.com/postern-sso/postern/storage/sqldb"
)

// pool holds what is open, so that a reload opens nothing anew, and a request, a
// session or a login under way does not notice it. The new configuration takes
// hold before the old one lets go.
var pool = caddy.NewUsagePool() //nolint:gochecknoglobals // the one pool; modules of two configurations have no other place to meet

// keyValidity is how long the certificate of a new tenant is valid.
const keyValidity = 365 * 24 * time.Hour

// shared is one open directory and what is kept in memory of it.
type shared struct {
	db          *sqldb.DB
	locks       *sqldb.Locks      // Caddy's
	recent      *cached.Directory // db, from memory where it can
	master      *keys.Master
	clock       *core.Clock
	stock       keys.Stock // of tenants to come
	ring        *keys.Ring
	rotation    *keys.Rotation
	sessions    *session.Sessions
	copies      *redisdb.Sessions // what sessions are kept in: db, and Redis where there is one
	expressions *expression.Evaluator
	policies    *policy.Engine
	passwords   *login.Hasher
	guards      *outpost.Cache
	hosts       *appHosts
	log         *relay
	staleness   atomic.Int64 // time.Duration: of the configuration that started last
	unfollow    func()

	sweeping context.CancelFunc
	swept    chan struct{} // closed when the sweeper has ended
	unmarked bool          // the sweeper's: the mark of the clock could not be written

	run      string // random: names this run of the process in request IDs
	requests atomic.Uint64

	mu       sync.Mutex
	greeted  bool                          // the first start's work is done by this process
	bucket   atomic.Pointer[mediastore.S3] // nil: files are in a directory
	bucketOf mediastore.S3Options
}

// acquire opens a data directory, or counts one more user of an open one.
func acquire(ctx context.Context, s settings, log *slog.Logger) (*shared, error) {
	value, _, err := pool.LoadOrNew(s.poolKey(), func() (caddy.Destructor, error) {
		return openShared(context.WithoutCancel(ctx), s, machineTime(), log)
	})
	if errors.Is(err, sqldb.ErrLocked) && s.openHere() {
		return nil, fmt.Errorf("secret: this server has %s open with another one, which a reload cannot change: stop it, change the secret with `caddy postern key rewrap`, start it again", s.data)
	}
	if errors.Is(err, sqldb.ErrLocked) {
		return nil, fmt.Errorf("%w: stop that one first, or give this one a directory of its own", err)
	}
	if err != nil {
		return nil, err
	}
	sh, ok := value.(*shared)
	if !ok {
		return nil, fmt.Errorf("the pool holds a %T", value)
	}
	return sh, nil
}

// release lets go of one use. The last one closes.
func release(key string) error {
	_, err := pool.Delete(key)
	return err
}

// machineTime makes the clock of a directory; tests have another.
var machineTime = core.MachineTime //nolint:gochecknoglobals // tests only change it

func openShared(ctx context.Context, s settings, read core.Reading, logger *slog.Logger) (*shared, error) {
	master, made, err := masterKeys(s)
	if unwritable(err) {
		return nil, s.blame(err)
	}
	if err != nil {
		return nil, err
	}
	paceHeap()
	sh := &shared{passwords: &login.Hasher{}, guards: outpost.NewCache(), log: new(relay), swept: make(chan struct{}), run: core.RandomAlphanumeric(8)}
	sh.log.to(logger)
	log := slog.New(sh.log)
	sh.master = master
	sh.staleness.Store(int64(s.staleness))
	sh.clock = openClock(ctx, s.data, read, log)
	sh.db, err = storage.OpenDirectory(ctx, string(s.database), sqldb.Options{
		Dir: s.data, Master: sh.master, Now: sh.clock.Now, Log: log, Mappings: defaultMappings(ctx),
		NewKeyPair: func() (*core.KeyPair, error) {
			return sh.stock.Pair(core.SelfSignedKeyPair, keyValidity, sh.clock.Wall())
		},
	})
	if err != nil {
		if made != "" && errors.Is(err, sqldb.ErrOtherSecret) {
			// It was made for nothing, and would be in the way of the right one.
			err = errors.Join(err, os.Remove(made))
		}
		return nil, s.blame(err)
	}
	if s.secret == "" && s.database != databaseSQLite {
		log.WarnContext(ctx, "the master secret is a file of this node: set `secret` (or AUTHENTIK_SECRET_KEY) to what it holds, on this and on every other node of the database", "file", filepath.Join(s.data, secretFile))
	}
	sh.locks = sh.db.NewLocks()
	sh.recent = cached.New(sh.db)
	if n := sh.db.Rewrapped(); n > 0 {
		log.InfoContext(ctx, "the master secret was changed: everything is sealed anew; the secret before is needed no more", "sealed", n)
	}
	if err := forgetOldSecret(s); err != nil {
		return nil, errors.Join(err, sh.db.Close())
	}
	sh.recent.Fresh = sh.fresh
	sh.hosts = &appHosts{list: sh.db.ProxyApplications}
	sh.ring = &keys.Ring{Store: sh.recent, Now: sh.clock.Now}
	sh.copies = &redisdb.Sessions{Durable: sh.db, Master: sh.master, Now: sh.clock.Now, Log: log}
	sh.sessions = &session.Sessions{Store: sh.copies, Users: sh.db, Events: sh.db, Log: log, Now: sh.clock.Now}
	sh.expressions = &expression.Evaluator{Directory: sh.recent, Policies: sh.db, Log: log, Now: sh.clock.Wall, Events: sh.db, HashUser: sh.hashUser}
	sh.policies = &policy.Engine{Store: sh.db, Expressions: sh.expressions, Events: sh.db, Now: sh.clock.Now, Log: log}
	sh.expressions.Entitlements = sh.policies.Entitlements
	if s.database != databaseSQLite { // there, nobody else can write
		sh.copies.Hint, sh.db.Publish = sh.db.Hint, sh.copies.Publish
	}
	sh.db.OnChange = sh.changed
	sh.unfollow = sh.db.Follow(ctx)
	ctx, sh.sweeping = context.WithCancel(ctx)
	sh.rotation = &keys.Rotation{Pairs: sh.db, Events: sh.db, Now: sh.clock.Now, Log: log, Lead: s.keyLead}
	go sh.sweep(ctx, s.data, log)
	return sh, nil
}

// sweep removes what is over, now and then: nothing that is over is ever taken for
// valid, so it is a matter of space only. And it looks after the clock.
func (sh *shared) sweep(ctx context.Context, data string, log *slog.Logger) {
	defer close(sh.swept)
	hourly, minutely, often := time.NewTicker(time.Hour), time.NewTicker(markEvery), time.NewTicker(restEvery)
	defer hourly.Stop()
	defer minutely.Stop()
	defer often.Stop()
	var heap rest
	if sh.clock.Settled() { // else the machine may have started with a wrong time
		sh.tendKeys(ctx, log)
	}
	for {
		select {
		case <-ctx.Done():
			sh.tendClock(ctx, data, log)
			return
		case <-often.C:
			heap.look()
		case <-minutely.C:
			sh.tendClock(ctx, data, log)
		case <-hourly.C:
			if !sh.clock.Settled() {
				continue // the next hour will do
			}
			sh.expire(ctx, log)
			sh.tendKeys(ctx, log)
		}
	}
}

// expire removes what is over, in every tenant; what goes wrong in one ends with it.
func (sh *shared) expire(ctx context.Context, log *slog.Logger) {
	all, err := sh.db.TenantIDs(ctx)
	for _, t := range all {
		err = errors.Join(err, sh.db.DeleteExpired(ctx, t, sh.clock.Now()))
	}
	if err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "remove what has expired", "error", err)
	}
}

// tendKeys renews keys before their certificates expire, and forgets those that nothing
// needs any more: see keys.Rotation.Tend.
func (sh *shared) tendKeys(ctx context.Context, log *slog.Logger) {
	all, err := sh.db.TenantIDs(ctx)
	for _, t := range all {
		err = errors.Join(err, sh.rotation.Tend(ctx, t))
	}
	if err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "look after the signing keys", "error", err)
	}
}

// changed drops from memory what a commit made stale.
func (sh *shared) changed(t core.TenantID, changes []core.Change) {
	sh.copies.Changed(t, changes) // first: what is dropped below is read from there again
	sh.recent.Invalidate(t, changes...)
	sh.policies.Invalidate(t, changes...) // before the guards, which keep its decisions
	sh.guards.Invalidate(t, changes...)
	sh.hosts.Invalidate(t, changes...)
	for _, c := range changes {
		switch {
		case c.Kind == "tenant" && c.Op == "create":
			sh.stock.Fill()
		case c.Kind == core.ChangedAny:
			sh.recent.InvalidateAll(t)
			sh.ring.Drop(t, "")
			sh.sessions.DropAll(t)
			if b := sh.bucket.Load(); b != nil && c.Op == "delete" { // another node deletes them
				b.Forget(t)
			}
		case c.Kind == "keypair":
			sh.ring.Drop(t, core.KeyPairID(c.ID))
		case c.Kind == "former_key":
			if id, err := strconv.ParseInt(c.ID, 10, 64); err == nil {
				sh.ring.DropLeft(t, core.ProviderID(id))
			}
		case c.Kind == "session" && c.Op == "delete":
			sh.sessions.Drop(t, core.SessionID(c.ID))
		case c.Kind == "user" && c.Op == "delete":
			sh.sessions.DropUser(t, core.UserID(c.ID))
		}
	}
}

// fresh returns an error while what other nodes changed was not heard of for longer than
// revocation_staleness allows.
func (sh *shared) fresh() error {
	behind, late := sh.db.Behind()
	if limit := time.Duration(sh.staleness.Load()); late && behind > limit {
		return fmt.Errorf("nothing was heard of the database for %s, and memory may be believed for %s: %w", behind.Round(time.Second), limit, core.ErrUnavailable)
	}
	return nil
}

// requestID names a request in the log and on error pages. It is not a secret.
func (sh *shared) requestID() string {
	var room [32]byte
	return string(strconv.AppendUint(append(append(room[:0], sh.run...), '-'), sh.requests.Add(1), 36))
}

// hashUser is the "uid" that expressions see.
func (sh *shared) hashUser(t core.TenantID, u *core.User) string {
	tenant, err := sh.db.Tenant(context.Background(), t)
	if err != nil {
		return ""
	}
	return u.HashedID(tenant.UUID)
}

// Destruct closes, when the last configuration has let go.
func (sh *shared) Destruct() error {
	sh.stock.Keep(false)
	sh.sweeping()
	<-sh.swept
	sh.unfollow()
	sh.sessions.Close()
	sh.copies.Close()
	if err := errors.Join(sh.locks.Close(context.Background()), sh.db.Close()); err != nil {
		return errors.Join(errors.New("the directory was not closed well"), err)
	}
	return nil
}
