package caddymodule

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/mediastore"
)

func environment(pairs ...string) lookup {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

const longSecret = "0123456789abcdef0123456789abcdef"

func TestResolve(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(longSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("POSTERN_TEST_SECRET", longSecret)
	t.Setenv("POSTERN_TEST_MEDIA", "/pictures")
	t.Setenv("POSTERN_TEST_PASSWORD", "p@ss/w:rd %?#")
	t.Setenv("POSTERN_TEST_HOST", "db.test:5433")
	urlFile := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(urlFile, []byte("postgres://a:b@db/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		app  *App
		env  lookup
		want settings
	}{
		"nothing":              {want: settings{}},
		"origin":               {app: &App{Origin: "https://Auth.Example.com:443/"}, want: settings{origin: "https://auth.example.com"}},
		"a database by env://": {app: &App{Database: "env://X"}, env: environment("X", "sqlite")},
		"PostgreSQL": {app: &App{Database: "postgresql://postern:hunter@db/x?sslmode=disable"},
			want: settings{database: "postgresql://postern:hunter@db/x?sslmode=disable"}},
		"PostgreSQL by file://": {app: &App{Database: "file://" + urlFile}, want: settings{database: "postgres://a:b@db/x"}},
		"a password by placeholder": {app: &App{Database: "postgres://postern:{env.POSTERN_TEST_PASSWORD}@{env.POSTERN_TEST_HOST}/x?sslmode=disable"},
			want: settings{database: "postgres://postern:p%40ss%2Fw%3Ard%20%25%3F%23@db.test:5433/x?sslmode=disable"}},
		"a password by parameter": {app: &App{Database: "postgres://postern@db/x?password=env://X"}, env: environment("X", "p@&"),
			want: settings{database: "postgres://postern@db/x?password=p%40%26"}},
		"a password by a file placeholder": {app: &App{Database: "postgres://postern:{file." + file + "}@db/x"},
			want: settings{database: core.Secret("postgres://postern:" + longSecret + "@db/x")}},
		"authentik's variables": {env: environment("AUTHENTIK_POSTGRESQL__HOST", "db", "AUTHENTIK_POSTGRESQL__PASSWORD", "env://X  # where it is", "X", "p@ss"),
			want: settings{database: "postgres://authentik:p%40ss@db:5432/authentik"}},
		"all of authentik's variables": {env: environment("AUTHENTIK_POSTGRESQL__HOST", "db", "AUTHENTIK_POSTGRESQL__PORT", "5433", "AUTHENTIK_POSTGRESQL__NAME", "sso",
			"AUTHENTIK_POSTGRESQL__USER", "me", "AUTHENTIK_POSTGRESQL__PASSWORD", `"123"`, "AUTHENTIK_POSTGRESQL__SSLMODE", "verify-full", "AUTHENTIK_POSTGRESQL__SSLROOTCERT", "/ca.pem",
			"AUTHENTIK_POSTGRESQL__DEFAULT_SCHEMA", "sso", "AUTHENTIK_POSTGRESQL__CONN_MAX_AGE", "60", "AUTHENTIK_POSTGRESQL__USE_PGBOUNCER", "true"),
			want: settings{database: "postgres://me:123@db:5433/sso?pgbouncer=true&pool_max_conn_lifetime=1m0s&search_path=sso&sslmode=verify-full&sslrootcert=%2Fca.pem"}},
		"the Caddyfile's database wins": {app: &App{Database: "sqlite"}, env: environment("AUTHENTIK_POSTGRESQL__HOST", "db")},
		"redis":                         {app: &App{Sessions: "redis://a:b@cache/1"}, want: settings{sessions: "redis://a:b@cache/1"}},
		"redis by env://":               {app: &App{Sessions: "env://X"}, env: environment("X", "rediss://cache"), want: settings{sessions: "rediss://cache"}},
		"no redis by default":           {app: &App{Sessions: "env://X?"}},
		"redis's password by placeholder": {app: &App{Sessions: "redis+sentinel://:{env.POSTERN_TEST_PASSWORD}@{env.POSTERN_TEST_HOST},b/main"},
			want: settings{sessions: "redis+sentinel://:p%40ss%2Fw%3Ard%20%25%3F%23@db.test%3A5433,b/main"}},
		"authentik's redis": {env: environment("AUTHENTIK_REDIS__HOST", "cache  # it is here"), want: settings{sessions: "redis://cache"}},
		"all of authentik's redis": {env: environment("AUTHENTIK_REDIS__HOST", "::1", "AUTHENTIK_REDIS__PORT", "6380", "AUTHENTIK_REDIS__DB", `"2"`, "AUTHENTIK_REDIS__USERNAME", "me",
			"AUTHENTIK_REDIS__PASSWORD", `"0123"`, "AUTHENTIK_REDIS__TLS", "true", "AUTHENTIK_REDIS__TLS_REQS", "none", "AUTHENTIK_REDIS__TLS_CA_CERT", "/ca.pem"),
			want: settings{sessions: "rediss://me:0123@[::1]:6380/2?tls_ca_cert=%2Fca.pem&tls_reqs=none"}},
		"digits are a password": {env: environment("AUTHENTIK_REDIS__HOST", "cache", "AUTHENTIK_REDIS__PASSWORD", "0123", "AUTHENTIK_REDIS__TLS_REQS", "none"),
			want: settings{sessions: "redis://:0123@cache"}},
		"the Caddyfile's redis wins":     {app: &App{Sessions: "redis://mine"}, env: environment("AUTHENTIK_REDIS__HOST", "cache"), want: settings{sessions: "redis://mine"}},
		"never from memory":              {app: &App{RevocationStaleness: new(caddy.Duration)}},
		"a secret":                       {app: &App{Secret: longSecret}, want: settings{secret: longSecret}},
		"a secret by placeholder":        {app: &App{Secret: "{env.POSTERN_TEST_SECRET}"}, want: settings{secret: longSecret}},
		"a secret by env://":             {app: &App{Secret: "env://X"}, env: environment("X", longSecret), want: settings{secret: longSecret}},
		"a secret by default":            {app: &App{Secret: "env://X?" + longSecret}, want: settings{secret: longSecret}},
		"a secret by file://":            {app: &App{Secret: "file://" + file}, want: settings{secret: longSecret}},
		"a file's default":               {app: &App{Secret: "file:///nowhere?" + longSecret}, want: settings{secret: longSecret}},
		"a secret by a file placeholder": {app: &App{Secret: "{file." + file + "}"}, want: settings{secret: longSecret}},
		"authentik's variable":           {env: environment("AUTHENTIK_SECRET_KEY", longSecret+"  # keep it"), want: settings{secret: longSecret}},
		"a variable in quotes":           {env: environment("AUTHENTIK_SECRET_KEY", `"`+longSecret+`"`), want: settings{secret: longSecret}},
		"the Caddyfile wins":             {app: &App{Secret: longSecret}, env: environment("AUTHENTIK_SECRET_KEY", strings.Repeat("x", 40)), want: settings{secret: longSecret}},
		"tenants":                        {app: &App{Tenants: &Tenants{APIKey: longSecret}}, want: settings{tenants: true, tenantsKey: longSecret}},
		"tenants by placeholder":         {app: &App{Tenants: &Tenants{APIKey: "{env.POSTERN_TEST_SECRET}"}}, want: settings{tenants: true, tenantsKey: longSecret}},
		"tenants by env://":              {app: &App{Tenants: &Tenants{APIKey: "env://X"}}, env: environment("X", longSecret), want: settings{tenants: true, tenantsKey: longSecret}},
		"tenants, the key by variable":   {app: &App{Tenants: new(Tenants)}, env: environment("AUTHENTIK_TENANTS__API_KEY", longSecret), want: settings{tenants: true, tenantsKey: longSecret}},
		"tenants, the Caddyfile's key":   {app: &App{Tenants: &Tenants{APIKey: longSecret}}, env: environment("AUTHENTIK_TENANTS__API_KEY", strings.Repeat("x", 40)), want: settings{tenants: true, tenantsKey: longSecret}},
		"tenants for nobody":             {app: &App{Tenants: new(Tenants)}, want: settings{tenants: true}},
		"tenants by variables":           {env: environment("AUTHENTIK_TENANTS__ENABLED", "true  # alpha", "AUTHENTIK_TENANTS__API_KEY", longSecret+" # keep it"), want: settings{tenants: true, tenantsKey: longSecret}},
		"tenants for nobody by variable": {env: environment("AUTHENTIK_TENANTS__ENABLED", "True", "AUTHENTIK_TENANTS__API_KEY", " # later"), want: settings{tenants: true, tenantsKey: ""}},
		"a key of digits stays a text":   {env: environment("AUTHENTIK_TENANTS__ENABLED", "1", "AUTHENTIK_TENANTS__API_KEY", "01234567890123456789"), want: settings{tenants: true, tenantsKey: "01234567890123456789"}},
		"a key in quotes may hold a #":   {env: environment("AUTHENTIK_TENANTS__ENABLED", `"true"`, "AUTHENTIK_TENANTS__API_KEY", `"0123456789 # 9876543210" # keep it`), want: settings{tenants: true, tenantsKey: "0123456789 # 9876543210"}},
		"a key of the API that is off":   {env: environment("AUTHENTIK_TENANTS__ENABLED", "false", "AUTHENTIK_TENANTS__API_KEY", longSecret)},
		"tenants beside the outpost":     {env: environment("AUTHENTIK_TENANTS__ENABLED", "true", "AUTHENTIK_TENANTS__API_KEY", longSecret, "AUTHENTIK_OUTPOSTS__DISABLE_EMBEDDED_OUTPOST", "false"), want: settings{tenants: true, tenantsKey: longSecret}},
		"tenants without the outpost":    {env: environment("AUTHENTIK_TENANTS__ENABLED", "true", "AUTHENTIK_TENANTS__API_KEY", longSecret, "AUTHENTIK_OUTPOSTS__DISABLE_EMBEDDED_OUTPOST", "true # for tenants"), want: settings{tenants: true, tenantsKey: longSecret}},
		"media by the Caddyfile":         {app: &App{Media: &Media{Backend: "file", Dir: "/pictures"}}, env: environment("AUTHENTIK_STORAGE__MEDIA__BACKEND", "s3", "AUTHENTIK_STORAGE__MEDIA__FILE__PATH", "/media"), want: settings{media: mediaSettings{dir: "/pictures", life: 15 * time.Minute}}},
		"media by a placeholder":         {app: &App{Media: &Media{Dir: "{env.POSTERN_TEST_MEDIA}/x"}}, want: settings{media: mediaSettings{dir: "/pictures/x", life: 15 * time.Minute}}},
		"media by the seed's variables":  {env: environment("AUTHENTIK_STORAGE__MEDIA__BACKEND", "file # or s3", "AUTHENTIK_STORAGE__MEDIA__FILE__PATH", "/media"), want: settings{media: mediaSettings{dir: "/media", life: 15 * time.Minute}}},
		"media by those of all files":    {env: environment("AUTHENTIK_STORAGE__BACKEND", "file", "AUTHENTIK_STORAGE__FILE__PATH", "/data", "AUTHENTIK_STORAGE__FILE__URL_EXPIRY", "hours=1"), want: settings{media: mediaSettings{dir: "/data/media", life: time.Hour}}},
		"those of media are before them": {env: environment("AUTHENTIK_STORAGE__BACKEND", "s3", "AUTHENTIK_STORAGE__MEDIA__BACKEND", "file", "AUTHENTIK_STORAGE__FILE__PATH", "/data", "AUTHENTIK_STORAGE__MEDIA__FILE__PATH", "/media", "AUTHENTIK_STORAGE__FILE__URL_EXPIRY", "hours=1", "AUTHENTIK_STORAGE__MEDIA__FILE__URL_EXPIRY", "minutes=1"), want: settings{media: mediaSettings{dir: "/media", life: time.Minute}}},
		"S3 at AWS by the seed's variables": {env: environment("AUTHENTIK_STORAGE__MEDIA__BACKEND", "s3", "AUTHENTIK_STORAGE__MEDIA__S3__ACCESS_KEY", "access_key",
			"AUTHENTIK_STORAGE__MEDIA__S3__SECRET_KEY", "secret_key", "AUTHENTIK_STORAGE__MEDIA__S3__BUCKET_NAME", "authentik-media",
			"AUTHENTIK_STORAGE__MEDIA__S3__REGION", "us-east-1  # Use the region of the bucket"),
			want: settings{media: mediaSettings{s3: mediastore.S3Options{Bucket: "authentik-media", Region: "us-east-1", AccessKey: "access_key", SecretKey: "secret_key"}}}},
		"S3 elsewhere by the seed's variables": {env: environment("AUTHENTIK_STORAGE__MEDIA__BACKEND", "s3", "AUTHENTIK_STORAGE__MEDIA__S3__ACCESS_KEY", "access_key",
			"AUTHENTIK_STORAGE__MEDIA__S3__SECRET_KEY", "secret_key", "AUTHENTIK_STORAGE__MEDIA__S3__BUCKET_NAME", "authentik-media",
			"AUTHENTIK_STORAGE__MEDIA__S3__ENDPOINT", "https://s3.provider", "AUTHENTIK_STORAGE__MEDIA__S3__CUSTOM_DOMAIN", "s3.provider/authentik-media"),
			want: settings{media: mediaSettings{s3: mediastore.S3Options{Bucket: "authentik-media", Endpoint: "https://s3.provider", CustomDomain: "s3.provider/authentik-media", AccessKey: "access_key", SecretKey: "secret_key"}}}},
		"S3 by all other variables": {env: environment("AUTHENTIK_STORAGE__BACKEND", "s3", "AUTHENTIK_STORAGE__S3__ACCESS_KEY", "file:///nowhere?k", "AUTHENTIK_STORAGE__S3__SECRET_KEY", "env://NO?s",
			"AUTHENTIK_STORAGE__S3__SECURITY_TOKEN", "token", "AUTHENTIK_STORAGE__S3__BUCKET_NAME", "all", "AUTHENTIK_STORAGE__MEDIA__S3__BUCKET_NAME", "media", "AUTHENTIK_STORAGE__S3__SECURE_URLS", "false", "AUTHENTIK_STORAGE__S3__USE_SSL", "false",
			"AUTHENTIK_STORAGE__S3__ADDRESSING_STYLE", "path", "AUTHENTIK_STORAGE__S3__SESSION_PROFILE", "postern", "AUTHENTIK_STORAGE__S3__URL_EXPIRY", "minutes=5", "AUTHENTIK_STORAGE__FILE__URL_EXPIRY", "hours=5"),
			want: settings{media: mediaSettings{life: 5 * time.Minute, s3: mediastore.S3Options{Bucket: "media", AccessKey: "k", SecretKey: "s", SessionToken: "token", Profile: "postern", Plain: true, Insecure: true, Addressing: "path"}}}},
		"S3 by the Caddyfile": {app: &App{Media: &Media{Backend: "s3", Bucket: "ours", AccessKey: "a", SecretKey: "{env.POSTERN_TEST_SECRET}", SecureURLs: new(true), Encryption: "aws:kms:key"}},
			env:  environment("AUTHENTIK_STORAGE__BACKEND", "file", "AUTHENTIK_STORAGE__S3__SESSION_TOKEN", "not beside other keys", "AUTHENTIK_STORAGE__S3__SECURE_URLS", "false", "AUTHENTIK_STORAGE__S3__REGION", "eu-west-1"),
			want: settings{media: mediaSettings{s3: mediastore.S3Options{Bucket: "ours", Region: "eu-west-1", AccessKey: "a", SecretKey: longSecret, Encryption: "aws:kms:key"}}}},
		"the seeds' variables": {env: environment("AUTHENTIK_TENANTS__ENABLED", "false", "AUTHENTIK_OUTPOSTS__DISABLE_EMBEDDED_OUTPOST", "true",
			"AUTHENTIK_STORAGE__MEDIA__BACKEND", "file")},
	} {
		t.Run(name, func(t *testing.T) {
			if c.env == nil {
				c.env = environment()
			}
			if c.app == nil {
				c.app = new(App)
			}
			c.app.Data = t.TempDir()
			c.want.data = c.app.Data
			if c.want.database == "" {
				c.want.database = databaseSQLite
			}
			if c.want.media == (mediaSettings{}) {
				c.want.media = mediaSettings{dir: filepath.Join(c.app.Data, "media"), life: 15 * time.Minute}
			}
			if c.app.RevocationStaleness == nil {
				c.want.staleness = time.Minute
			}
			if c.want.media.s3.Bucket != "" {
				c.want.media.s3.Cache = filepath.Join(c.app.Data, "media-cache")
				c.want.media.dir, c.want.media.life = filepath.Join(c.app.Data, "media"), cmp.Or(c.want.media.life, 15*time.Minute)
			}
			got, err := c.app.resolve(c.env)
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// What cannot be honoured is refused; the error names the setting and shows no value that may be
// secret.
func TestResolveRefuses(t *testing.T) {
	for want, c := range map[string]struct {
		app *App
		env lookup
	}{
		"origin":                                                      {app: &App{Origin: "auth.example.com"}},
		"secret has 6 bytes":                                          {app: &App{Secret: "hunter"}},
		"variable X is not set":                                       {app: &App{Secret: "env://X"}},
		"secret: open":                                                {app: &App{Secret: "file:///nowhere"}},
		"secret: evaluated":                                           {app: &App{Secret: "{env.POSTERN_TEST_NOT_SET}"}},
		"secret: unrecognized":                                        {app: &App{Secret: "{nothing.such}"}},
		"database mysql is not one":                                   {app: &App{Database: "mysql://a:hunter@db/x"}},
		"database mysql is not one that":                              {app: &App{Database: "env://DB"}, env: environment("DB", "mysql://a:hunter@db/x")},
		"database of another kind":                                    {app: &App{Database: "host=db password=hunter"}},
		"database postgres is not known":                              {app: &App{Database: "postgres"}},
		"database: the URL cannot be read":                            {app: &App{Database: "postgres://a:hunter%@db/x"}},
		"database: the URL names no host":                             {app: &App{Database: "postgres:///x"}},
		"database: the port":                                          {app: &App{Database: "postgres://a:hunter@db:99999/x"}},
		"database: sslmode is not one of disable":                     {app: &App{Database: "postgres://a:hunter@db/x?sslmode=maybe"}},
		"database: pool_max_conns":                                    {app: &App{Database: "postgres://a:hunter@db/x?pool_max_conns=many"}},
		"database: pgbouncer is neither":                              {app: &App{Database: "postgres://a:hunter@db/x?pgbouncer=maybe"}},
		"database: search_path names":                                 {app: &App{Database: "postgres://a:hunter@db/x?search_path=a,b"}},
		"database: evaluated":                                         {app: &App{Database: "postgres://a:{env.POSTERN_TEST_NOT_SET}@db/x"}},
		"database: the environment variable NOT_SET":                  {app: &App{Database: "env://NOT_SET"}},
		"database: password: the environment variable NOT_SET":        {app: &App{Database: "postgres://a@{file./etc/hostname}/x?password=env://NOT_SET"}},
		"sessions redis: what follows the host":                       {app: &App{Sessions: "redis://a:hunter@cache/x"}},
		"sessions memcached: its scheme":                              {app: &App{Sessions: "memcached://a:hunter@cache"}},
		"sessions: the environment variable NOT_SET":                  {app: &App{Sessions: "env://NOT_SET"}},
		"sessions: evaluated":                                         {app: &App{Sessions: "redis://a:{env.POSTERN_TEST_NOT_SET}@cache"}},
		"sessions: it has a user and no password":                     {app: &App{Sessions: "env://X"}, env: environment("X", "redis://hunter@cache")},
		"media s3: bucket is missing":                                 {app: &App{Media: &Media{Backend: "s3"}}},
		"media s3: secret_key is missing":                             {app: &App{Media: &Media{Backend: "s3", Bucket: "bucket", AccessKey: "a"}}, env: environment("AUTHENTIK_STORAGE__S3__SECRET_KEY", "hunter")},
		"media s3: access_key is missing":                             {app: &App{Media: &Media{Backend: "s3", Bucket: "bucket", SecretKey: "hunter"}}},
		"media s3: session_token goes":                                {app: &App{Media: &Media{Backend: "s3", Bucket: "bucket", SessionToken: "hunter"}}},
		"media s3: endpoint is not":                                   {app: &App{Media: &Media{Backend: "s3", Bucket: "bucket", Endpoint: "https://a:hunter@s3.provider"}}},
		"media s3: bucket \"Big\" cannot be":                          {app: &App{Media: &Media{Backend: "s3", Bucket: "Big"}}},
		"media s3: region \"eu west\" is not":                         {app: &App{Media: &Media{Backend: "s3", Bucket: "bucket", Region: "eu west"}}},
		"media s3: encryption \"DES\" is not":                         {app: &App{Media: &Media{Backend: "s3", Bucket: "bucket", Encryption: "DES"}}},
		"media s3: addressing \"host\" is not":                        {app: &App{Media: &Media{Backend: "s3", Bucket: "bucket", Addressing: "host"}}},
		"media s3: custom_domain is not":                              {app: &App{Media: &Media{Backend: "s3", Bucket: "bucket", CustomDomain: "https://s3.provider/bucket"}}},
		"AUTHENTIK_STORAGE__S3__ENDPOINT is not where a store is":     {env: environment("AUTHENTIK_STORAGE__BACKEND", "s3", "AUTHENTIK_STORAGE__S3__BUCKET_NAME", "bucket", "AUTHENTIK_STORAGE__S3__ENDPOINT", "hunter")},
		"AUTHENTIK_STORAGE__S3__USE_SSL is neither":                   {env: environment("AUTHENTIK_STORAGE__BACKEND", "s3", "AUTHENTIK_STORAGE__S3__BUCKET_NAME", "bucket", "AUTHENTIK_STORAGE__S3__USE_SSL", "hunter")},
		"AUTHENTIK_STORAGE__S3__URL_EXPIRY: a URL of a file is":       {env: environment("AUTHENTIK_STORAGE__BACKEND", "s3", "AUTHENTIK_STORAGE__S3__BUCKET_NAME", "bucket", "AUTHENTIK_STORAGE__S3__URL_EXPIRY", "days=8")},
		`media "gcs" is not known`:                                    {app: &App{Media: &Media{Backend: "gcs"}}},
		"tenants: api_key has 6 bytes and needs at least 16: make":    {app: &App{Tenants: &Tenants{APIKey: "hunter"}}},
		"tenants: api_key: the environment variable X is not set":     {app: &App{Tenants: &Tenants{APIKey: "env://X"}}},
		"tenants: api_key: evaluated":                                 {app: &App{Tenants: &Tenants{APIKey: "{env.POSTERN_TEST_NOT_SET}"}}},
		"tenants: api_key stands for nothing: make":                   {app: &App{Tenants: &Tenants{APIKey: "env://X?"}}},
		"tenants: api_key has 6 bytes and needs":                      {app: &App{Tenants: &Tenants{APIKey: "env://X"}}, env: environment("X", "hunter")},
		`outbound_private "10.0.0.1"`:                                 {app: &App{OutboundPrivate: []string{"10.0.0.1"}}},
		"revocation_staleness":                                        {app: &App{RevocationStaleness: new(caddy.Duration(-time.Second))}},
		"AUTHENTIK_STORAGE__MEDIA__BACKEND=gcs is not known":          {env: environment("AUTHENTIK_STORAGE__MEDIA__BACKEND", "gcs")},
		"AUTHENTIK_STORAGE__MEDIA__FILE__URL_EXPIRY: \"a while\"":     {env: environment("AUTHENTIK_STORAGE__MEDIA__FILE__URL_EXPIRY", "a while", "AUTHENTIK_STORAGE__FILE__URL_EXPIRY", "minutes=15")},
		"AUTHENTIK_STORAGE__FILE__URL_EXPIRY: a URL of a file is":     {env: environment("AUTHENTIK_STORAGE__FILE__URL_EXPIRY", "seconds=1")},
		"media: evaluated":                                            {app: &App{Media: &Media{Dir: "{env.POSTERN_TEST_NOT_SET}"}}},
		"AUTHENTIK_TENANTS__ENABLED is neither":                       {env: environment("AUTHENTIK_TENANTS__ENABLED", "hunter")},
		"AUTHENTIK_POSTGRESQL__HOST is not: set HOST":                 {env: environment("AUTHENTIK_POSTGRESQL__PASSWORD", "hunter")},
		"AUTHENTIK_POSTGRESQL__PORT is not a port":                    {env: environment("AUTHENTIK_POSTGRESQL__HOST", "db", "AUTHENTIK_POSTGRESQL__PORT", "hunter")},
		"AUTHENTIK_POSTGRESQL__CONN_OPTIONS: this build":              {env: environment("AUTHENTIK_POSTGRESQL__HOST", "db", "AUTHENTIK_POSTGRESQL__CONN_OPTIONS", "hunter")},
		"AUTHENTIK_POSTGRESQL__CONN_MAX_AGE is not":                   {env: environment("AUTHENTIK_POSTGRESQL__HOST", "db", "AUTHENTIK_POSTGRESQL__CONN_MAX_AGE", "hunter")},
		"AUTHENTIK_POSTGRESQL__…: sslmode":                            {env: environment("AUTHENTIK_POSTGRESQL__HOST", "db", "AUTHENTIK_POSTGRESQL__SSLMODE", "hunter")},
		"AUTHENTIK_POSTGRESQL__PASSWORD: open":                        {env: environment("AUTHENTIK_POSTGRESQL__HOST", "db", "AUTHENTIK_POSTGRESQL__PASSWORD", "file:///nowhere")},
		"AUTHENTIK_REDIS__HOST is not: set HOST":                      {env: environment("AUTHENTIK_REDIS__PASSWORD", "hunter")},
		"AUTHENTIK_REDIS__…: it has no host, or its port":             {env: environment("AUTHENTIK_REDIS__HOST", "cache", "AUTHENTIK_REDIS__PORT", "hunter")},
		"AUTHENTIK_REDIS__…: what follows the host":                   {env: environment("AUTHENTIK_REDIS__HOST", "cache", "AUTHENTIK_REDIS__DB", "hunter")},
		"AUTHENTIK_REDIS__…: its parameter tls_reqs":                  {env: environment("AUTHENTIK_REDIS__HOST", "cache", "AUTHENTIK_REDIS__TLS", "true", "AUTHENTIK_REDIS__TLS_REQS", "hunter")},
		"AUTHENTIK_REDIS__TLS is neither":                             {env: environment("AUTHENTIK_REDIS__HOST", "cache", "AUTHENTIK_REDIS__TLS", "hunter")},
		"AUTHENTIK_REDIS__PASSWORD: open":                             {env: environment("AUTHENTIK_REDIS__HOST", "cache", "AUTHENTIK_REDIS__PASSWORD", "file:///nowhere")},
		"DISABLE_EMBEDDED_OUTPOST is neither":                         {env: environment("AUTHENTIK_OUTPOSTS__DISABLE_EMBEDDED_OUTPOST", "hunter")},
		"AUTHENTIK_BOOTSTRAP_TOKEN: the environment variable NOT_SET": {env: environment("AUTHENTIK_BOOTSTRAP_TOKEN", "env://NOT_SET")},
	} {
		if c.env == nil {
			c.env = environment()
		}
		if c.app == nil {
			c.app = new(App)
		}
		_, err := c.app.resolve(c.env)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A tenants API that nobody can use is not passed over in silence.
func TestTenantsForNobody(t *testing.T) {
	for _, c := range []struct {
		s    settings
		told bool
	}{{settings{tenants: true}, true}, {settings{tenants: true, tenantsKey: longSecret}, false}, {settings{}, false}} {
		var log strings.Builder
		a := &App{settings: c.s, log: slog.New(slog.NewTextHandler(&log, nil))}
		a.warnTenants()
		if told := strings.Contains(log.String(), "on for nobody"); told != c.told || strings.Contains(log.String(), longSecret) {
			t.Errorf("%+v: %s", c.s, log.String())
		}
		// Without a key it is there and opens to nobody; where it is off it is not there.
		if key := a.tenantsKey(); (key != "") != c.s.tenants || c.told && len(key) < 40 || !c.told && key != c.s.tenantsKey {
			t.Errorf("%+v: the key has %d characters", c.s, len(key))
		}
	}
}

func secretOf(s settings) ([]byte, error) {
	secret, _, err := masterSecret(s)
	return secret, err
}

func TestMasterSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := secretOf(settings{database: databaseSQLite, data: dir})
	if err != nil || len(first) < 60 {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	again, err := secretOf(settings{database: databaseSQLite, data: dir})
	if err != nil || string(again) != string(first) {
		t.Errorf("another secret at the second start: %v", err)
	}
	path := filepath.Join(dir, secretFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".secret-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	configured, err := secretOf(settings{database: databaseSQLite, data: dir, secret: longSecret})
	if err != nil || string(configured) != longSecret {
		t.Errorf("the configured one does not win: %v", err)
	}

	// Two that start at the same time have one secret.
	both := filepath.Join(t.TempDir(), "data")
	made := make(chan string, 8)
	for range cap(made) {
		go func() {
			s, err := secretOf(settings{database: databaseSQLite, data: both})
			if err != nil {
				t.Error(err)
			}
			made <- string(s)
		}()
	}
	one := <-made
	for range cap(made) - 1 {
		if <-made != one {
			t.Error("two secrets")
		}
	}

	write := func(name string, content []byte) error { return os.WriteFile(filepath.Join(dir, name), content, 0o600) }
	for want, damage := range map[string]func() error{
		"chmod 600": func() error {
			if err := write(secretFile, first); err != nil {
				return err
			}
			return os.Chmod(path, 0o640)
		},
		"is damaged":     func() error { return write(secretFile, []byte("short")) },
		"is not a file":  func() error { return os.Symlink(filepath.Join(both, secretFile), path) },
		"of your backup": func() error { return write("tenants/public.db", nil) },
	} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "tenants"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if _, err := secretOf(settings{database: databaseSQLite, data: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestSites(t *testing.T) {
	for _, c := range []struct {
		site   site
		origin string
		hosts  map[string]bool
	}{
		{site{"http", "", "9080"}, "http://localhost:9080", map[string]bool{"localhost:9080": true, "x.test:9080": true, "x.test": false}},
		{site{"http", "", "80"}, "http://localhost", map[string]bool{"localhost": true, "localhost:9080": false}},
		{site{"https", "auth.example.com", "443"}, "https://auth.example.com", map[string]bool{"auth.example.com": true, "auth.example.com:8443": false, "x.example.com": false}},
		{site{"https", "*.example.com", "443"}, "https://*.example.com", map[string]bool{"a.example.com": true, "a.b.example.com": false, "example.com": false}},
	} {
		if got := c.site.origin(); got != c.origin {
			t.Errorf("%+v: origin %s", c.site, got)
		}
		for host, want := range c.hosts {
			if c.site.matches(c.site.scheme, host) != want {
				t.Errorf("%+v matches %s: %t", c.site, host, !want)
			}
		}
	}
	s := sites{portal: []site{{"http", "", "80"}, {"https", "auth.example.com", "443"}}}
	if got, err := s.origin(); err != nil || got != "https://auth.example.com" {
		t.Errorf("origin %s, %v: a site with a host of its own comes first", got, err)
	}
	s.portal = []site{{"https", "*.example.com", "443"}}
	if got, err := s.origin(); err == nil {
		t.Errorf("origin %s of a wildcard", got)
	}
	s.portal = nil
	if got, err := s.origin(); err == nil {
		t.Errorf("origin %s of no site", got)
	}
}

// Where several guards stand at one host, each holds for its own place, and the application is
// open to whom one of them may let in.
func TestOverlay(t *testing.T) {
	at := func(host string, g *Guard) guardSite { return guardSite{site{"https", host, "443"}, g} }
	none := func(context.Context, string) (*core.Tenant, error) { return nil, core.ErrNotFound }
	o := &overlay{owner: none, sites: &sites{guards: []guardSite{
		at("one.test", &Guard{AllowGroups: []string{"a"}}), at("one.test", &Guard{AllowGroups: []string{"b"}}),
		at("two.test", &Guard{AllowGroups: []string{"a"}}), at("two.test", &Guard{}),
		at("named.test", &Guard{Application: "wiki"}),
		at("*.wild.test", &Guard{AllowGroups: []string{"w"}}),
	}}}
	for host, want := range map[string]string{"one.test": "a,b", "two.test": "", "x.wild.test": "w"} {
		app, err := o.Application(t.Context(), "public", core.ApplicationID("caddyfile:"+host))
		if err != nil || strings.Join(app.AllowGroups, ",") != want || app.Name != host {
			t.Errorf("%s: %+v %v", host, app, err)
		}
	}
	if app, err := o.Application(t.Context(), "public", "caddyfile:nobody.test"); err == nil {
		t.Errorf("an application of a host that nothing guards: %+v", app)
	}
	if got := listed(t, o, "public"); got != "https://one.test/ https://two.test/" {
		t.Errorf("listed: %s", got)
	}
}

func listed(t *testing.T, o *overlay, id core.TenantID) string {
	t.Helper()
	var urls []string
	for _, a := range o.listed(t.Context(), id) {
		urls = append(urls, a.LaunchURL)
	}
	return strings.Join(urls, " ")
}

// what the configuration declares is one tenant's, and no other's people see or enter it.
func TestOverlayOfTenant(t *testing.T) {
	at := func(host string, g *Guard) guardSite { return guardSite{site{"https", host, "443"}, g} }
	o := &overlay{
		owner: func(_ context.Context, host string) (*core.Tenant, error) {
			switch host {
			case "acme.test":
				return &core.Tenant{ID: "t_acme"}, nil
			case "away.test":
				return nil, core.ErrUnavailable
			}
			return nil, core.ErrNotFound
		},
		sites: &sites{guards: []guardSite{at("one.test", &Guard{}), at("given.test", &Guard{Tenant: "t_acme"}), at("acme.test", &Guard{}), at("away.test", &Guard{})}},
	}
	for id, want := range map[core.TenantID]string{"public": "https://one.test/", "t_acme": "https://given.test/ https://acme.test/", "t_beta": ""} {
		if got := listed(t, o, id); got != want {
			t.Errorf("%s: %s", id, got)
		}
		for _, host := range []string{"one.test", "given.test", "acme.test", "away.test"} {
			app, err := o.Application(t.Context(), id, core.ApplicationID("caddyfile:"+host))
			if own := strings.Contains(want, host); own != (err == nil) {
				t.Errorf("%s at %s: %+v %v", id, host, app, err)
			}
		}
	}
}
