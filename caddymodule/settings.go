package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// settings are the app's values with every reference resolved.
type settings struct {
	origin      string      // empty: found from the sites
	data        string      // absolute
	database    core.Secret // "sqlite", or a postgres:// URL with its password
	sessions    core.Secret // the URL of Redis, with its password; empty: there is none
	staleness   time.Duration
	secret      core.Secret
	oldSecret   core.Secret   // the one before, while it changes
	keyLead     time.Duration // how long a signing key is published before it signs
	strictHosts bool
	tenants     bool        // the tenants API is on
	tenantsKey  core.Secret // empty: for nobody
	bootstrap   bootstrap
	media       mediaSettings
}

// bootstrap is what a first start is given by the environment.
type bootstrap struct {
	password, token core.Secret
	email           string
}

// poolKey names what two configurations share.
func (s settings) poolKey() string {
	return s.data + "\x00" + string(s.database) + "\x00" + string(s.secret)
}

// lookup reads the environment: os.LookupEnv.
type lookup func(name string) (string, bool)

// resolve reads the settings and refuses those that this build cannot honour: to pass
// over one would be worse than to stop.
func (a *App) resolve(env lookup) (settings, error) {
	var s settings
	var err error
	if err := a.unsupported(env); err != nil {
		return s, err
	}
	for _, f := range []struct {
		name     string
		value    string
		fallback string
		into     *string
	}{
		{"origin", a.Origin, "", &s.origin},
		{"data", a.Data, "", &s.data},
		{"secret", a.Secret, "AUTHENTIK_SECRET_KEY", (*string)(&s.secret)},
		{"old_secret", a.OldSecret, "POSTERN_OLD_SECRET", (*string)(&s.oldSecret)},
		{"AUTHENTIK_BOOTSTRAP_PASSWORD", "", "AUTHENTIK_BOOTSTRAP_PASSWORD", (*string)(&s.bootstrap.password)},
		{"AUTHENTIK_BOOTSTRAP_TOKEN", "", "AUTHENTIK_BOOTSTRAP_TOKEN", (*string)(&s.bootstrap.token)},
		{"AUTHENTIK_BOOTSTRAP_EMAIL", "", "AUTHENTIK_BOOTSTRAP_EMAIL", &s.bootstrap.email},
	} {
		value := f.value
		if value == "" && f.fallback != "" {
			value = envValue(env, f.fallback)
		}
		if *f.into, err = reference(env, f.name, value); err != nil {
			return s, err
		}
	}
	if s.origin != "" {
		if s.origin, err = parseOrigin(s.origin); err != nil {
			return s, err
		}
	}
	if s.data == "" {
		s.data = filepath.Join(caddy.AppDataDir(), "postern")
	}
	if s.data, err = filepath.Abs(s.data); err != nil {
		return s, fmt.Errorf("data: %w", err)
	}
	for name, value := range map[string]core.Secret{"secret": s.secret, "old_secret": s.oldSecret} {
		if err := checkSecret(name, string(value)); err != nil {
			return s, err
		}
	}
	s.keyLead = time.Duration(a.KeyLead)
	if s.database, err = a.resolveDatabase(env); err != nil {
		return s, err
	}
	if s.sessions, err = a.resolveSessions(env); err != nil {
		return s, err
	}
	if s.tenants, s.tenantsKey, err = a.resolveTenants(env); err != nil {
		return s, err
	}
	if s.media, err = a.resolveMedia(env, s.data); err != nil {
		return s, err
	}
	s.staleness = defaultStaleness
	if a.RevocationStaleness != nil {
		s.staleness = time.Duration(*a.RevocationStaleness)
	}
	s.strictHosts = a.StrictHosts
	return s, nil
}

const notYet = "this build does not have it yet: "

// check refuses what this build does not have, and what is wrong, as far as it is written
// out: isReference tells what only the start knows.
func (a *App) check() error {
	if err := checkDatabase(a.Database); err != nil {
		return err
	}
	if err := checkSessions(a.Sessions); err != nil {
		return err
	}
	for name, value := range map[string]string{"secret": a.Secret, "old_secret": a.OldSecret} {
		if err := checkSecret(name, value); err != nil && !isReference(value) {
			return err
		}
	}
	if d := time.Duration(a.KeyLead); d != 0 && (d < keys.JWKSLife || d > keys.MaxLead) {
		return fmt.Errorf("key_lead %s: a new signing key is published for %s to %s before it signs", d, keys.JWKSLife, keys.MaxLead)
	}
	if a.Origin != "" && !isReference(a.Origin) {
		if _, err := parseOrigin(a.Origin); err != nil {
			return err
		}
	}
	if err := a.Media.check(); err != nil {
		return err
	}
	if a.Tenants != nil && !isReference(a.Tenants.APIKey) {
		if err := checkTenantsKey("tenants: api_key", a.Tenants.APIKey); err != nil {
			return err
		}
	}
	for _, cidr := range a.OutboundPrivate {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			return fmt.Errorf("outbound_private %q is not a network: write for example 10.0.0.0/8", cidr)
		}
	}
	if a.RevocationStaleness != nil && *a.RevocationStaleness < 0 {
		return fmt.Errorf("revocation_staleness %s is negative: write for example 60s, or 0 for never", time.Duration(*a.RevocationStaleness))
	}
	return nil
}

// isReference reports whether a value stands for another, which is read at the start.
func isReference(value string) bool {
	return strings.Contains(value, "{") || strings.HasPrefix(value, "env://") || strings.HasPrefix(value, "file://")
}

func checkSecret(name, value string) error {
	if n := len(value); n > 0 && n < keys.MinSecret {
		return fmt.Errorf("%s has %d bytes and needs at least %d: make one with `openssl rand -base64 48`, or leave it out to have a random one kept in the data directory", name, n, keys.MinSecret)
	}
	return nil
}

// kind is the word that a URL begins with. The rest may hold a password.
func kind(value string) string {
	scheme, _, _ := strings.Cut(value, ":")
	if strings.ContainsFunc(scheme, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '+' }) {
		return "of another kind"
	}
	return scheme
}

// unsupported names a setting that this build does not have yet.
func (a *App) unsupported(env lookup) error {
	if err := a.check(); err != nil {
		return err
	}
	// Its endpoints for other proxies are what this variable takes away; this build has
	// none. A guard in the Caddyfile guards on, and the tenants API does not ask for it.
	if _, err := envBool(env, "AUTHENTIK_OUTPOSTS__DISABLE_EMBEDDED_OUTPOST"); err != nil {
		return err
	}
	if envValue(env, "AUTHENTIK_COOKIE_DOMAIN") != "" && a.log != nil {
		a.log.Warn("AUTHENTIK_COOKIE_DOMAIN is not used: every cookie belongs to one host, and each guarded host gets one of its own")
	}
	return nil
}

// envValue reads a variable as authentik does: a value may be JSON, and what
// follows white space and "#" is a comment that some readers of .env files leave in.
func envValue(env lookup, name string) string {
	v, _ := env(name)
	if text := strings.TrimSpace(v); strings.HasPrefix(text, `"`) { // a "#" within is no comment
		var s string
		d := json.NewDecoder(strings.NewReader(text))
		if d.Decode(&s) == nil && withoutComment(text[d.InputOffset():]) == "" {
			return s
		}
	}
	return withoutComment(v)
}

func withoutComment(v string) string {
	for i := 1; i < len(v); i++ {
		if v[i] == '#' && (v[i-1] == ' ' || v[i-1] == '\t') {
			v = v[:i]
			break
		}
	}
	return strings.TrimSpace(v)
}

func envBool(env lookup, name string) (bool, error) {
	switch strings.ToLower(envValue(env, name)) {
	case "", "false", "0", "no", "off":
		return false, nil
	case "true", "1", "yes", "on":
		return true, nil
	}
	return false, fmt.Errorf("the environment's %s is neither true nor false", name)
}

// reference resolves {env.X} and {file.X}, env://X?default and file:///path?default.
// An error names the setting, and the variable or file, and never a value.
func reference(env lookup, name, value string) (string, error) {
	switch {
	case strings.HasPrefix(value, "env://"):
		variable, def, has := strings.Cut(strings.TrimPrefix(value, "env://"), "?")
		if v, ok := env(variable); ok && v != "" {
			return v, nil
		}
		if has {
			return def, nil
		}
		return "", fmt.Errorf("%s: the environment variable %s is not set", name, variable)
	case strings.HasPrefix(value, "file://"):
		path, def, has := strings.Cut(strings.TrimPrefix(value, "file://"), "?")
		b, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		if err == nil {
			return strings.TrimRight(string(b), "\r\n"), nil
		}
		if has {
			return def, nil
		}
		return "", fmt.Errorf("%s: %w", name, err)
	}
	out, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w (is the variable set, or the file there?)", name, err)
	}
	return out, nil
}

// parseOrigin takes scheme://host[:port] and no more.
func parseOrigin(origin string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(origin, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("origin %q: write scheme and host, such as https://auth.example.com", origin)
	}
	name, port, err := core.NormalizeHost(u.Host)
	if err != nil {
		return "", fmt.Errorf("origin %q: %w", origin, err)
	}
	return u.Scheme + "://" + joinDefault(u.Scheme, name, port), nil
}

// joinDefault leaves a scheme's default port out.
func joinDefault(scheme, name, port string) string {
	if scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		port = ""
	}
	return core.JoinHost(name, port)
}
