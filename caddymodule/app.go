package caddymodule

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-sso/postern/core/api"
	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/outpost"
)

// Version of the product, as the API shows it.
const Version = "0.1.0"

func init() {
	caddy.RegisterModule(new(App))
}

// App is the identity provider: one directory of people and applications, their sessions and
// keys. Every field has a default, and the app is there without being configured as
// soon as a site has `postern` or `postern_auth`.
//
// Values that may be secret can be written as `{env.X}`, `{file./path}`, `env://X`
// (`env://X?default`) or `file:///path`. They are read when the server starts, and neither
// `caddy adapt` nor the admin API shows what they stand for.
type App struct {
	// The public origin, scheme://host[:port], of the default tenant: links that
	// leave a request (mail, recovery, set-up, the way to the login) begin with it.
	// Default: the host of the site that holds `postern`, or
	// `http://localhost:<port>` where that site takes any host.
	Origin string `json:"origin,omitempty"`

	// The directory of the SQLite databases and of the secret, where none is configured.
	// It is made where it is absent, for this user alone. One process at a time
	// may have its databases open; with PostgreSQL nothing but the secret is kept there.
	// Default: Caddy's data directory + `/postern`.
	Data string `json:"data,omitempty"`

	// Where the directory is kept: `sqlite`, one file per tenant below `data`, or a
	// `postgres://user:password@host:5432/database` URL, which any number of nodes
	// may share. The password may be a reference inside of the URL, as in
	// `postgres://postern:{env.DB_PASSWORD}@db/postern`. Beside PostgreSQL's own parameters
	// (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `connect_timeout`,
	// `target_session_attrs` and more than one host for a standby) the URL takes
	// `search_path` (the schema of the default tenant, `public`), `pool_max_conns` (20),
	// `pool_max_conn_lifetime` (1h), `pool_max_conn_idle_time` (5m), and `pgbouncer=true`
	// where a pooler gives each transaction another connection, which is noticed where it is
	// left out. Default: the environment's AUTHENTIK_POSTGRESQL__HOST, PORT, NAME, USER, PASSWORD, SSLMODE and so
	// on, where HOST is set; else `sqlite`.
	Database string `json:"database,omitempty"`

	// A Redis before the database, for sessions: `redis://user:password@host:6379/0`, `rediss://…` over TLS,
	// `redis+sentinel://user:password@host:26379,host:26379/master_name/0` (with `?sentinel_username=…&sentinel_password=…`
	// where the sentinels ask for them) or `redis+cluster://user:password@host:6379,host:6379`; `rediss+sentinel` and
	// `rediss+cluster` are over TLS. `?tls_ca_cert=<file>` names who vouches for the server, `?tls_reqs=none` believes
	// whoever answers. Parts may be references, as in `redis://:{env.REDIS_PASSWORD}@cache`. Logins and logouts are in the database
	// first: Redis saves it reads and notes of last use, may be away, and may be emptied. Default: the environment's
	// AUTHENTIK_REDIS__HOST, PORT, DB, USERNAME, PASSWORD, TLS, TLS_REQS and TLS_CA_CERT, where HOST is set; else
	// sessions are kept beside the database alone.
	Sessions string `json:"sessions,omitempty"`

	// The master secret, at least 32 bytes, from which every key that encrypts
	// something is derived. With another secret than the data was written with, start
	// is refused; without it the data cannot be read. Default: the environment's
	// AUTHENTIK_SECRET_KEY, else a random file `secret` in `data`, mode 0600. Every
	// node that shares a database needs the same.
	Secret string `json:"secret,omitempty"`

	// The master secret before this one. At the start, what it encrypted is encrypted
	// anew under `secret`; then it opens nothing any more, and this is to be left out.
	// Default: the environment's POSTERN_OLD_SECRET.
	OldSecret string `json:"old_secret,omitempty"`

	// How long a signing key that replaces another is published before it signs: as
	// long as any relying party keeps a JWKS, from 5m to 30d. Default: 1h.
	KeyLead caddy.Duration `json:"key_lead,omitempty"`

	// Where uploaded icons and other pictures are kept. Default: the environment's
	// AUTHENTIK_STORAGE__MEDIA__BACKEND and AUTHENTIK_STORAGE__MEDIA__FILE__PATH, or those of all files
	// (AUTHENTIK_STORAGE__BACKEND, and the folder `media` of AUTHENTIK_STORAGE__FILE__PATH); else the directory
	// `<data>/media`. How long the URL of a file is good, 15 minutes, is
	// AUTHENTIK_STORAGE__MEDIA__FILE__URL_EXPIRY or AUTHENTIK_STORAGE__FILE__URL_EXPIRY, such as `minutes=15`.
	Media *Media `json:"media,omitempty"`

	// Turns the tenants API on. Default: off, unless the environment's AUTHENTIK_TENANTS__ENABLED
	// is true.
	Tenants *Tenants `json:"tenants,omitempty"`

	// Answers a Host that no tenant owns with 421. Default: it is the default
	// tenant's.
	StrictHosts bool `json:"strict_hosts,omitempty"`

	// How long a guard may go on deciding from memory while PostgreSQL is out of
	// reach, and discovery, key sets and userinfo may be answered from it: what was revoked
	// on another node meanwhile is not known here. After it they answer 503; 0 means at once,
	// which is some seconds after the database was last heard. It has no meaning
	// for SQLite, which nobody else writes. Default: 60s.
	RevocationStaleness *caddy.Duration `json:"revocation_staleness,omitempty"`

	// Networks (CIDR) that may be called although they are private. Nothing in
	// this build calls out.
	OutboundPrivate []string `json:"outbound_private,omitempty"`

	ctx      caddy.Context
	log      *slog.Logger
	settings settings
	counters counters

	once   sync.Once
	failed error
	core   *system
	access accessLog // set before core and failed
	sites  sites
	pooled atomic.Bool
}

// Media says where uploaded files are kept.
type Media struct {
	// `file` or `s3`. Default: `file`.
	Backend string `json:"backend,omitempty"`
	// The directory of the backend `file`: `<dir>/<tenant>/<name>` is a file. It is made when the first file is
	// kept, for this user alone; who else may write there can show people what they like. Nodes that share a
	// database share it, too. Default: see `media`.
	Dir string `json:"dir,omitempty"`

	// The rest belongs to the backend `s3`, where a file is the object `media/<tenant>/<name>`. What is left out comes
	// from authentik's variables, AUTHENTIK_STORAGE__MEDIA__S3__ENDPOINT, REGION, BUCKET_NAME, ACCESS_KEY, SECRET_KEY,
	// SESSION_TOKEN, SESSION_PROFILE, CUSTOM_DOMAIN, SECURE_URLS, ADDRESSING_STYLE, USE_SSL and URL_EXPIRY, or those of all
	// files (AUTHENTIK_STORAGE__S3__…).

	// Where the store is, `https://s3.provider`. Default: AWS, in the region.
	Endpoint string `json:"endpoint,omitempty"`
	// The region of the bucket. Default: AWS_REGION, AWS_DEFAULT_REGION, or what the store says.
	Region string `json:"region,omitempty"`
	// The name of the bucket. It is required, and `caddy postern media setup` makes it.
	Bucket string `json:"bucket,omitempty"`
	// The keys that requests are signed with. Default: those of the profile, else AWS_ACCESS_KEY_ID and
	// AWS_SECRET_ACCESS_KEY, else those of the role of a web identity, an ECS task or an EC2 instance.
	AccessKey string `json:"access_key,omitempty"`
	SecretKey string `json:"secret_key,omitempty"`
	// Goes with keys that are temporary.
	SessionToken string `json:"session_token,omitempty"`
	// The profile in the AWS CLI's files that has the keys.
	Profile string `json:"profile,omitempty"`
	// Where browsers fetch files from the bucket, with URLs that are signed for this host: host and path, such as
	// `s3.provider/authentik-media` or `authentik-media.s3.provider`. Default: nowhere, and this server gives them
	// the files, from a cache on its disk (`<data>/media-cache`, 256 MiB).
	CustomDomain string `json:"custom_domain,omitempty"`
	// Whether URLs of the custom domain begin with https. Default: true.
	SecureURLs *bool `json:"secure_urls,omitempty"`
	// Where the bucket's name is: `path`, `virtual` (in the host), or `auto`, which is virtual at AWS and path
	// elsewhere. Default: `auto`.
	Addressing string `json:"addressing,omitempty"`
	// What the store encrypts files with: `AES256`, `aws:kms` or `aws:kms:<key>`. Default: as the bucket says.
	Encryption string `json:"encryption,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "postern", New: func() caddy.Module { return new(App) }}
}

// Provision reads the settings. It opens nothing: a configuration can be checked
// while another process has the data open.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.log = ctx, slog.New(tenantLog{ctx.Slogger().Handler()})
	if err := a.counters.register(a.ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	var err error
	a.settings, err = a.resolve(os.LookupEnv)
	return err
}

// Start opens the stores, or takes over those that the configuration before
// has open.
func (a *App) Start() error {
	if err := a.open(); err != nil {
		return err
	}
	a.warnAbsent()
	a.warnTenants()
	a.core.shared.staleness.Store(int64(a.settings.staleness))
	a.core.shared.stock.Keep(a.settings.tenants)
	if a.settings.tenants {
		a.core.shared.db.KeepSpare(a.ctx)
	}
	if err := a.core.shared.copies.Connect(string(a.settings.sessions)); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	a.core.started.Store(true)
	return nil
}

// Stop leaves the stores open: requests may still be on their way.
func (a *App) Stop() error { return nil }

// Cleanup lets go of the stores; the last configuration to do so closes them. It
// also runs where Provision or Start failed halfway.
func (a *App) Cleanup() error {
	if !a.pooled.Swap(false) {
		return nil
	}
	return release(a.settings.poolKey())
}

// open builds the core and does what a first start owes, once. The HTTP app may
// start before this one: the first to ask opens, and the others wait.
func (a *App) open() error {
	a.once.Do(func() {
		a.access = a.accessLog()
		if a.failed = a.newCore(); a.failed == nil {
			a.failed = a.core.firstStart(a.ctx, os.Stderr)
		}
	})
	return a.failed
}

// newCore puts the identity provider together, leaves first. What must survive a
// reload is in shared; all else is made anew for each configuration.
func (a *App) newCore() error {
	if err := a.findSites(); err != nil {
		return err
	}
	sh, err := acquire(a.ctx, a.settings, a.log)
	if err != nil {
		return err
	}
	a.pooled.Store(true)
	a.counters.copies.Store(sh.copies)
	sh.log.to(a.log)
	s := &system{settings: a.settings, shared: sh, sites: &a.sites, lately: newLately()}
	apps := &overlay{Directory: sh.recent, sites: &a.sites, owner: s.owner}
	if err := s.newMedia(a.log); err != nil {
		return err
	}
	pages := &login.Handler{
		Store: sh.db, Users: sh.db, Applications: apps, Sessions: sh.sessions, Master: sh.master,
		Policy: sh.policies, Events: sh.db, Passwords: sh.passwords, Signer: s.signer, Now: sh.clock.Now, Log: a.log,
	}
	op := &oidc.Provider{
		Store: sh.recent, Users: sh.recent, Applications: apps, Sessions: sh.sessions, Keys: sh.ring, Master: sh.master,
		Expressions: sh.expressions, Policy: sh.policies, Login: pages, Events: sh.db, Now: sh.clock.Now, Wall: sh.clock.Wall, Log: a.log,
		Generation: sh.recent.Generation,
	}
	rest := &api.Handler{
		Store: sh.db, Sessions: sh.sessions, Logins: sh.db, Grants: op, Passwords: pages, Recovery: pages, Expressions: sh.expressions, Evaluations: sh.expressions, Evaluator: sh.expressions, Claims: op, Preview: op,
		AccessTokens: op, KeyLead: a.settings.keyLead, TenantsKey: a.tenantsKey(), Files: s.media.Store, Signer: s.signer,
		Policy: sh.policies, Events: sh.db, Now: sh.clock.Now, Log: a.log, Version: Version,
	}
	guard := &outpost.Outpost{
		Applications: apps, Users: sh.recent, Sessions: sh.sessions, Issuer: op, AppPasswords: pages, AccessTokens: op, Policy: sh.policies, Master: sh.master,
		Cache: sh.guards, Fresh: sh.fresh, Now: sh.clock.Now, Log: a.log, Observe: a.counters.observe,
	}
	s.pages, s.op, s.api, s.guard = pages, op, rest, guard
	s.access = a.access
	a.core = s
	return nil
}

// loadApp finds the app from a handler's Provision.
func loadApp(ctx caddy.Context) (*App, error) {
	mod, err := ctx.App("postern")
	if err != nil {
		return nil, err
	}
	app, ok := mod.(*App)
	if !ok {
		return nil, fmt.Errorf("the app named postern is a %T", mod)
	}
	keepConnection(ctx)
	return app, nil
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
