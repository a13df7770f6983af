package cached

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/cache"
	"github.com/postern-sso/postern/core/oidc"
	"github.com/postern-sso/postern/storage/sqldb"
)

const (
	maxPeople  = 50_000 // over all tenants, with their groups
	maxObjects = 50_000 // clients, applications, providers and lists of mappings
)

// Directory is a directory that remembers what it was asked. Entries leave it when the
// directory tells of a change, and not by time: whoever opens it sees that Invalidate
// hears of each. What does not exist is asked for again each time. What is not listed
// here goes to the directory itself.
//
// What it gives is shared, but for the outermost struct: nobody may write into its maps and slices.
type Directory struct {
	*sqldb.DB
	// Fresh returns an error while nobody can say what other nodes changed: then
	// nothing is answered from memory. Nil: there are no other nodes. It is set
	// before the first use.
	Fresh func() error

	people  *cache.Cache[*person]
	objects *cache.Cache[entry]
	codes   *cache.Cache[*code]
	tenants sync.Map // core.TenantID to *generation
}

// New wraps an open directory.
func New(db *sqldb.DB) *Directory {
	return &Directory{
		DB:      db,
		people:  cache.New[*person](maxPeople),
		objects: cache.New[entry](maxObjects),
		codes:   cache.New[*code](maxCodes),
	}
}

// key names one answer: the tenant, which question, and about what.
func key(t core.TenantID, ask question, about string) cache.Key {
	return cache.Key{Tenant: t, Kind: int(ask), ID: about}
}

type question int

const (
	user question = iota
	client
	application
	applicationBySlug
	applicationByProvider
	provider
	mappings
	brands
	settings
	keyPair // these are answered from memory only while the directory is away
	grant
)

// person is a user, and their groups once they were asked for.
type person struct {
	user   *core.User
	groups atomic.Pointer[inGroups]
}

// inGroups are the groups of one person, as of one shape of the tenant. People share them.
type inGroups struct {
	shape uint64
	list  []*core.Group
}

// entry is an object as of one shape of the tenant.
type entry struct {
	shape uint64
	value any
}

// generation counts the changes of one tenant: in all, and in shape those that may
// concern more than one person. Under mu a person is remembered only if nothing changed
// since they were asked for, so that a change drops them or keeps them out.
type generation struct {
	mu         sync.Mutex
	all, shape atomic.Uint64
	keys       atomic.Uint64 // changes of key pairs
	// groups are those that somebody was found to be in, as of one shape; under mu.
	groups   map[core.GroupID]*core.Group
	groupsOf uint64
}

// shared gives the one copy of each group that everybody's memory refers to: a directory of many
// people has few groups. It is called under mu, in the shape that the list is of.
func (g *generation) shared(shape uint64, list []core.Group) []*core.Group {
	if g.groups == nil || g.groupsOf != shape {
		g.groups, g.groupsOf = map[core.GroupID]*core.Group{}, shape
	}
	out := make([]*core.Group, len(list))
	for i := range list {
		id := list[i].ID
		if g.groups[id] == nil {
			one := list[i]
			g.groups[id] = &one
		}
		out[i] = g.groups[id]
	}
	return out
}

// unchanged calls remember if nothing changed since all was read.
func (g *generation) unchanged(all uint64, remember func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all.Load() == all {
		remember()
	}
}

func (d *Directory) generation(t core.TenantID) *generation {
	if g, ok := d.tenants.Load(t); ok {
		return g.(*generation)
	}
	g, _ := d.tenants.LoadOrStore(t, new(generation))
	return g.(*generation)
}

// Invalidate drops what changes made stale. When it returns, no later call is answered
// with it.
func (d *Directory) Invalidate(t core.TenantID, changes ...core.Change) {
	g := d.generation(t)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range changes {
		switch c.Kind {
		case "user", "membership":
			g.all.Add(1)
			d.people.Drop(key(t, user, c.ID))
		case "keypair":
			g.keys.Add(1)
			g.all.Add(1)
			d.objects.Drop(key(t, keyPair, c.ID))
		case "grant":
			g.all.Add(1)
			d.objects.Drop(key(t, grant, c.ID))
			if made, ok := d.codes.Get(cache.Key{Tenant: t, ID: c.ID}); ok {
				d.forgetCode(t, made)
			}
		case "session", "token":
			// Nothing of these is here.
		default:
			g.all.Add(1)
			g.shape.Add(1)
		}
	}
}

// InvalidateAll drops everything of a tenant.
func (d *Directory) InvalidateAll(t core.TenantID) {
	g := d.generation(t)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all.Add(1)
	g.shape.Add(1)
	g.groups = nil
	for k := range d.people.All() {
		if k.Tenant == t {
			d.people.Drop(k)
		}
	}
}

// Generation grows with each change that may concern more than one person: what was
// made of an application, its provider, mappings and keys is good while it stays.
func (d *Directory) Generation(t core.TenantID) uint64 {
	g := d.generation(t)
	return g.shape.Load() + g.keys.Load()
}

// recall answers from memory, or asks and remembers.
func recall[T any](d *Directory, k cache.Key, ask func() (T, error)) (T, error) {
	g := d.generation(k.Tenant)
	shape := g.shape.Load()
	if e, ok := d.objects.Get(k); ok && e.shape == shape && d.fresh() {
		return e.value.(T), nil
	}
	v, err := ask()
	if err == nil { // what was asked before a change has its shape, and is not given after it
		d.objects.Set(k, entry{shape, v})
	}
	return v, err
}

// one copies the outermost struct, so that what a caller sets is its own.
func one[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	c := *v
	return &c, nil
}

// Brands are all of a tenant. Nobody may change them.
func (d *Directory) Brands(ctx context.Context, t core.TenantID) ([]core.Brand, error) {
	return recall(d, key(t, brands, ""), func() ([]core.Brand, error) { return d.DB.Brands(ctx, t) })
}

// Settings are the tenant's. Nobody may change them.
func (d *Directory) Settings(ctx context.Context, t core.TenantID) (*core.Settings, error) {
	return recall(d, key(t, settings, ""), func() (*core.Settings, error) { return d.DB.Settings(ctx, t) })
}

// Client finds by client_id.
func (d *Directory) Client(ctx context.Context, t core.TenantID, clientID string) (*core.Client, error) {
	return one(recall(d, key(t, client, clientID), func() (*core.Client, error) { return d.DB.Client(ctx, t, clientID) }))
}

// Application finds by ID.
func (d *Directory) Application(ctx context.Context, t core.TenantID, id core.ApplicationID) (*core.Application, error) {
	return one(recall(d, key(t, application, string(id)), func() (*core.Application, error) { return d.DB.Application(ctx, t, id) }))
}

// ApplicationBySlug finds by slug.
func (d *Directory) ApplicationBySlug(ctx context.Context, t core.TenantID, slug string) (*core.Application, error) {
	return one(recall(d, key(t, applicationBySlug, slug), func() (*core.Application, error) { return d.DB.ApplicationBySlug(ctx, t, slug) }))
}

// ApplicationByProvider finds the application that a provider is assigned to.
func (d *Directory) ApplicationByProvider(ctx context.Context, t core.TenantID, id core.ProviderID) (*core.Application, error) {
	k := key(t, applicationByProvider, strconv.FormatInt(int64(id), 10))
	return one(recall(d, k, func() (*core.Application, error) { return d.DB.ApplicationByProvider(ctx, t, id) }))
}

// Provider finds a provider of any kind. It is not copied: it is an interface.
func (d *Directory) Provider(ctx context.Context, t core.TenantID, id core.ProviderID) (core.Provider, error) {
	k := key(t, provider, strconv.FormatInt(int64(id), 10))
	return recall(d, k, func() (core.Provider, error) { return d.DB.Provider(ctx, t, id) })
}

// Mappings finds those of the IDs that exist, in the order of their folded names.
func (d *Directory) Mappings(ctx context.Context, t core.TenantID, ids []core.MappingID) ([]core.PropertyMapping, error) {
	var about strings.Builder
	for _, id := range ids {
		about.WriteString(string(id))
		about.WriteByte(' ')
	}
	all, err := recall(d, key(t, mappings, about.String()), func() ([]core.PropertyMapping, error) { return d.DB.Mappings(ctx, t, ids) })
	return slices.Clone(all), err
}

// User finds by ID.
func (d *Directory) User(ctx context.Context, t core.TenantID, id core.UserID) (*core.User, error) {
	p, err := d.person(ctx, t, id)
	if err != nil {
		return nil, err
	}
	return one(p.user, nil)
}

func (d *Directory) person(ctx context.Context, t core.TenantID, id core.UserID) (*person, error) {
	g, k := d.generation(t), key(t, user, string(id))
	all := g.all.Load()
	if p, ok := d.people.Get(k); ok && d.fresh() {
		return p, nil
	}
	u, err := d.DB.User(ctx, t, id)
	if err != nil {
		return nil, err
	}
	p := &person{user: u}
	g.unchanged(all, func() { d.people.Set(k, p) })
	return p, nil
}

// UserGroups are all groups of a user, direct and inherited.
func (d *Directory) UserGroups(ctx context.Context, t core.TenantID, id core.UserID) ([]core.Group, error) {
	g := d.generation(t)
	all, shape := g.all.Load(), g.shape.Load()
	p, remembered := d.people.Get(key(t, user, string(id)))
	if remembered && d.fresh() {
		if in := p.groups.Load(); in != nil && in.shape == shape {
			list := make([]core.Group, len(in.list))
			for i, g := range in.list {
				list[i] = *g
			}
			return list, nil
		}
	}
	list, err := d.DB.UserGroups(ctx, t, id)
	if err == nil && remembered {
		g.unchanged(all, func() { p.groups.Store(&inGroups{shape, g.shared(shape, list)}) })
	}
	return slices.Clone(list), err
}

var (
	_ core.Users        = (*Directory)(nil)
	_ core.Applications = (*Directory)(nil)
	_ oidc.Store        = (*Directory)(nil)
)
