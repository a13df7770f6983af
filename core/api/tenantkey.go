package api

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// UnguessableTenantsKey is how many bytes a key of the tenants API has that nobody comes upon by
// trying. A shorter one has to wait, right or wrong, once many wrong ones came.
const UnguessableTenantsKey = 16

// How wrong keys of the tenants API slow down who sends them. Nobody is banned: who waits
// may try.
const (
	wrongKeysFree    = 10
	wrongKeysWindow  = time.Hour
	wrongKeysWait    = 5 * time.Second
	wrongKeysLongest = 5 * time.Minute
)

// tenantRoutes are those of the tenants API. They act in the registry, whatever host they
// are asked on.
func tenantRoutes() []route {
	const one = "tenants/tenants/{tenant_uuid}/"
	all := append(tenants().routes("tenants/tenants/", tenantsKey), domains().routes("tenants/domains/", tenantsKey)...)
	return append(all,
		route{http.MethodPost, one + "create_admin_group/", tenantsKey, createAdminGroup, about("Make a user of a tenant an administrator there").
			takes("TenantAdminGroupRequestRequest", readTenantUser(new(string))).sends()},
		route{http.MethodPost, one + "create_recovery_key/", tenantsKey, createRecoveryKey, about("Make a link that logs a user of a tenant in once").
			takes("TenantRecoveryKeyRequestRequest", newRecoveryKey().read).gives(recoveryKeyShape())})
}

// hidden reports whether a path is as if it were not there: those of the tenants API are
// where no key is configured.
func (h *Handler) hidden(m methodSet) bool {
	for _, r := range m {
		return r.access == tenantsKey && h.TenantsKey == ""
	}
	return false
}

// byTenantsKey takes "Bearer <key>", the key being the configured one: no token, session
// or superuser does instead of it. Everything that follows is done in the default
// tenant, by nobody.
func (c *call) byTenantsKey() error {
	c.t = core.DefaultTenant
	header := c.r.Header.Values("Authorization")
	if len(header) == 0 {
		return errAnonymous
	}
	scheme, key, _ := strings.Cut(header[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return errScheme
	}
	// Hashed, so that neither the bytes nor the length of what was given take a time of
	// their own.
	given, want := core.Hash(strings.TrimSpace(key)), core.Hash(string(c.TenantsKey))
	right := len(header) == 1 && subtle.ConstantTimeCompare(given[:], want[:]) == 1
	if right && len(c.TenantsKey) >= UnguessableTenantsKey { // whoever tries keys from the same address is in nobody's way
		return nil
	}
	counter := core.Counter{Key: "tenants-key:" + network(c.info.ClientIP), Window: wrongKeysWindow}
	wrong, err := c.Store.Failures(c.ctx(), c.t, counter)
	if err != nil {
		return fmt.Errorf("count wrong keys: %w", err)
	}
	if wait := wrong[0].Newest.Add(wrongKeysPause(wrong[0].Count)).Sub(c.Now()); wait > 0 {
		return &problem{http.StatusForbidden, fmt.Sprintf("Too many wrong keys came from this address. Try again in %d seconds.", int(wait.Seconds())+1)}
	}
	if right {
		return nil
	}
	if _, err := c.Store.Fail(c.ctx(), c.t, nil, counter); err != nil {
		return fmt.Errorf("count wrong keys: %w", err)
	}
	c.event(core.EventSuspicious, core.Event{Message: "a wrong key for the tenants API"})
	return errToken
}

// wrongKeysPause is how long after the newest of n wrong keys the next one is refused.
func wrongKeysPause(n int) time.Duration {
	if n < wrongKeysFree {
		return 0
	}
	return min(wrongKeysWait<<min(n-wrongKeysFree, 16), wrongKeysLongest)
}

// network is what one household or server has: an IPv4 address, or the first 64 bits of
// an IPv6 address.
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// tenantOf finds the tenant that the path names, and refuses one in which nothing can be
// done.
func (c *call) tenantOf() (*core.Tenant, error) {
	id, valid := uuid(c.key)
	if !valid {
		return nil, noSuch("Tenant")
	}
	t, err := c.Store.RegisteredTenant(c.ctx(), id)
	if err != nil {
		return nil, found(err, "Tenant")
	}
	if !t.Ready {
		return nil, invalid{"non_field_errors": {"The tenant is not ready."}}
	}
	return t, nil
}

// tenantUser finds a user by name in a tenant.
func (c *call) tenantUser(t *core.Tenant, name string) (*core.User, error) {
	u, err := c.Store.UserByName(c.ctx(), t.ID, name)
	if err != nil {
		return nil, found(err, "User")
	}
	return u, nil
}

func readTenantUser(name *string) func(*fields) {
	return func(f *fields) { text(f, "user", rule{required: true, max: 1000, about: "The user's name."}, name) }
}

// createAdminGroup puts a user into the group of administrators, which it makes where
// there is none. Only a group that makes superusers does.
func createAdminGroup(c *call) (reply, error) {
	name := ""
	readTenantUser(&name)(c.body)
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	t, err := c.tenantOf()
	if err != nil {
		return reply{}, err
	}
	u, err := c.tenantUser(t, name)
	if err != nil {
		return reply{}, err
	}
	groups, _, err := c.Store.ListGroups(c.ctx(), t.ID, Query{Where: map[string][]string{"name": {core.AdminGroup}}, Limit: 1})
	if err != nil {
		return reply{}, err
	}
	if len(groups) == 0 {
		groups = []core.Group{{Name: core.AdminGroup, Superuser: true, Attributes: object{}}}
		err = c.Store.CreateGroup(c.ctx(), t.ID, &groups[0], []int64{u.PK})
	} else {
		_, err = c.Store.UpdateGroup(c.ctx(), t.ID, groups[0].ID, func(g *core.Group) ([]int64, error) {
			g.Superuser = true
			return nil, nil
		})
		if err == nil {
			err = c.Store.AddMember(c.ctx(), t.ID, groups[0].ID, u.PK)
		}
	}
	if err != nil {
		return reply{}, found(err, "User")
	}
	c.inTenant(t, core.EventModelUpdated, "Group "+core.AdminGroup+": "+u.UserName+" added to it", u)
	return reply{status: http.StatusOK}, nil
}

// inTenant records what was done to a user, in the tenant's log and in the default one's.
func (c *call) inTenant(t *core.Tenant, action, what string, u *core.User) {
	e := core.Event{Message: what + ", with the key of the tenants API", Context: object{"pk": u.PK, "username": u.UserName, "tenant": string(t.ID)}}
	c.eventIn(t.ID, action, e)
	if t.ID != c.t {
		e.Message = "tenant " + string(t.ID) + ": " + e.Message
		c.event(action, e)
	}
}

// maxRecoveryDays bounds how long a recovery key lives.
const maxRecoveryDays = 10 * 365

// recoveryKey is what is asked for.
type recoveryKey struct {
	user string
	days int
}

func newRecoveryKey() *recoveryKey { return new(recoveryKey) }

func (k *recoveryKey) read(f *fields) {
	readTenantUser(&k.user)(f)
	integer(f, "duration_days", rule{required: true, about: "For how long the link can be used, if nobody does: 1 to 3650 days."}, &k.days)
}

func recoveryKeyShape() shape {
	return objectShape("TenantRecoveryKeyResponse", always("expiry", timeShape()), always("url", textShape()))
}

// createRecoveryKey makes a link to the tenant's primary domain; where it has none, to the
// host that was asked.
func createRecoveryKey(c *call) (reply, error) {
	asked := newRecoveryKey()
	asked.read(c.body)
	if len(c.body.errs["duration_days"]) == 0 && (asked.days < 1 || asked.days > maxRecoveryDays) {
		c.body.fail("duration_days", fmt.Sprintf("Give 1 to %d days.", maxRecoveryDays))
	}
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	if c.Recovery == nil {
		return reply{}, invalid{"non_field_errors": {"No recovery flow set."}}
	}
	t, err := c.tenantOf()
	if err != nil {
		return reply{}, err
	}
	u, err := c.tenantUser(t, asked.user)
	if err != nil {
		return reply{}, err
	}
	if !u.Active {
		return reply{}, invalid{"user": {"The user is not active."}}
	}
	host := c.info.Host
	primary, _, err := c.Store.ListDomains(c.ctx(), Query{Where: map[string][]string{"tenant": {t.UUID}, "is_primary": {"true"}}, Limit: 1})
	if err != nil {
		return reply{}, err
	}
	if len(primary) > 0 {
		host = core.JoinHost(primary[0].Name, "")
	}
	t.Origin = c.info.Scheme + "://" + host
	validity := time.Duration(asked.days) * 24 * time.Hour
	link, err := c.Recovery.RecoveryLink(c.ctx(), t, u.ID, validity)
	if errors.Is(err, core.ErrNotFound) {
		return reply{}, noSuch("User") // deleted meanwhile
	}
	if err != nil {
		return reply{}, err
	}
	c.inTenant(t, core.EventSecretView, "recovery key for "+u.UserName, u)
	return ok(object{"expiry": c.Now().Add(validity).UTC().Format(time.RFC3339Nano), "url": link})
}
