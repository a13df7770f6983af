package oidc

import (
	"net/http"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// documentAge bounds how long a document is given again: keys are published and withdrawn
	// by the clock, too.
	documentAge  = time.Second
	maxDocuments = 1024
)

// documents keeps the last discovery document and key set of each issuer as they were
// sent: clients ask for them far more often than they change.
type documents struct {
	mu   sync.RWMutex
	kept map[documentKey]document
}

// documentKey is where a document was asked for. The origin is in it, as the document
// names it.
type documentKey struct {
	tenant             core.TenantID
	origin, kind, slug string
}

// document is one answer, and what it holds for.
type document struct {
	generation uint64
	made       time.Time
	client     *core.Client
	body       []byte
}

// recall finds a document that nothing has changed since it was made. generation is what
// remember is to be told.
func (p *Provider) recall(r *http.Request, kind string) (d document, generation uint64, ok bool) {
	if p.Generation == nil {
		return document{}, 0, false
	}
	info := core.Request(r.Context())
	generation = p.Generation(info.Tenant.ID)
	p.documents.mu.RLock()
	d, ok = p.documents.kept[documentKey{info.Tenant.ID, info.Origin(), kind, r.PathValue("slug")}]
	p.documents.mu.RUnlock()
	age := p.Now().Sub(d.made)
	return d, generation, ok && d.generation == generation && age >= 0 && age < documentAge
}

// remember keeps a document that was made after generation was read.
func (p *Provider) remember(r *http.Request, kind string, generation uint64, client *core.Client, body []byte) {
	if p.Generation == nil {
		return
	}
	info := core.Request(r.Context())
	p.documents.mu.Lock()
	defer p.documents.mu.Unlock()
	if p.documents.kept == nil || len(p.documents.kept) >= maxDocuments { // by made-up hosts, perhaps
		p.documents.kept = map[documentKey]document{}
	}
	p.documents.kept[documentKey{info.Tenant.ID, info.Origin(), kind, r.PathValue("slug")}] = document{generation, p.Now(), client, body}
}
