package caddymodule

import (
	"fmt"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// Tenants turns the tenants API on and says who may use it. Its key makes and deletes
// tenants and logs in to each as anybody, so it belongs to the operator alone.
type Tenants struct {
	// The key of the tenants API, at least 16 bytes, which a request sends as
	// `Authorization: Bearer <key>`. Default: the environment's AUTHENTIK_TENANTS__API_KEY. Without
	// either, the API is on for nobody: each request is refused.
	APIKey string `json:"api_key,omitempty"`
}

const (
	tenantsEnabled  = "AUTHENTIK_TENANTS__ENABLED"
	tenantsVariable = "AUTHENTIK_TENANTS__API_KEY"
	// minTenantsKey is how short a key of ours may be, in bytes: nobody guesses 16.
	minTenantsKey = api.UnguessableTenantsKey
)

// resolveTenants tells whether the tenants API is on, and its key (empty: nobody has one).
func (a *App) resolveTenants(env lookup) (on bool, key core.Secret, err error) {
	if on, err = envBool(env, tenantsEnabled); err != nil {
		return false, "", err
	}
	if a.Tenants == nil && !on {
		return false, "", nil
	}
	name, value := tenantsVariable, envValue(env, tenantsVariable)
	if a.Tenants != nil && a.Tenants.APIKey != "" {
		name, value = "tenants: api_key", a.Tenants.APIKey
	}
	text, err := reference(env, name, value)
	if err != nil {
		return false, "", err
	}
	if text == "" && value != "" {
		return false, "", fmt.Errorf("%s stands for nothing: %s", name, aTenantsKey)
	}
	if name == tenantsVariable { // it was chosen for authentik, which takes any
		return true, core.Secret(text), nil
	}
	return true, core.Secret(text), checkTenantsKey(name, text)
}

const aTenantsKey = "make a key with `openssl rand -base64 48`"

func checkTenantsKey(name, key string) error {
	if n := len(key); n > 0 && n < minTenantsKey {
		return fmt.Errorf("%s has %d bytes and needs at least %d: %s", name, n, minTenantsKey, aTenantsKey)
	}
	return nil
}

// tenantsKey is what opens the tenants API. Where it is on without a key, that is one that nobody
// knows: then it is there, and refuses.
func (a *App) tenantsKey() core.Secret {
	if a.settings.tenants && a.settings.tenantsKey == "" {
		return core.Secret(core.RandomToken(32))
	}
	return a.settings.tenantsKey
}

// warnTenants tells of a tenants API that is on and that nobody can use, or too many could.
func (a *App) warnTenants() {
	if n := len(a.settings.tenantsKey); n > 0 && n < minTenantsKey {
		a.log.Warn("the key of the tenants API can be guessed: it logs in to every tenant; " + aTenantsKey)
	}
	if a.settings.tenants && a.settings.tenantsKey == "" {
		a.log.Warn("the tenants API is on for nobody: it has no key; set `api_key` in `tenants`, or " + tenantsVariable + ", or turn it off")
	}
}
