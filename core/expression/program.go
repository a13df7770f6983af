package expression

import (
	linked "container/list"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"

	"github.com/postern-sso/postern/core"
)

// program is a source compiled to one frozen function.
type program struct {
	main *starlark.Function
}

// compile parses and compiles a source. It runs none of it.
func compile(src string, names starlark.StringDict) (p *program, err error) {
	defer func() {
		if bad := recover(); bad != nil { // a bug of the compiler's, or of ours: refuse the source
			p, err = nil, &SyntaxError{1, fmt.Sprintf("this expression cannot be compiled (%T)", bad)}
		}
	}()
	file, err := parse(src, names.Has)
	if err != nil {
		return nil, err
	}
	compiled, err := starlark.FileProgram(file, names.Has)
	if err != nil {
		var all resolve.ErrorList
		if errors.As(err, &all) {
			return nil, &SyntaxError{int(all[0].Pos.Line), all[0].Msg}
		}
		return nil, &SyntaxError{1, err.Error()}
	}
	globals, err := compiled.Init(&starlark.Thread{Name: "compile"}, names)
	if err != nil {
		return nil, &SyntaxError{1, err.Error()}
	}
	main, ok := globals["@main"].(*starlark.Function)
	if !ok {
		return nil, &SyntaxError{1, "this expression cannot be compiled"}
	}
	main.Freeze()
	return &program{main: main}, nil
}

// Limits of the cache of compiled programs: about a thousand ordinary expressions.
const (
	maxPrograms = 2048
	maxCached   = 512 << 10 // bytes of source
)

// programs keeps what was compiled, the least recently used going first. It keeps
// failures too: a source that does not compile is not compiled again for each login.
type programs struct {
	mu    sync.Mutex
	byKey map[string]*linked.Element
	order *linked.List
	size  int
}

type cached struct {
	src     string
	once    sync.Once
	program *program
	err     error

	// How its last run turned out, of each tenant whose was not cheap: the default mappings
	// are the same for all, and what they go through is not.
	mu    sync.Mutex
	paces map[core.TenantID]pace
	slow  atomic.Int32 // how many those are
}

func newPrograms() *programs {
	return &programs{byKey: map[string]*linked.Element{}, order: linked.New()}
}

// is remembers how a run of it turned out. Most turn out as the one before: then nothing
// is written to what the processors share.
func (c *cached) is(t core.TenantID, now pace) {
	if c.paceNow(t) == now {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paces == nil {
		c.paces = map[core.TenantID]pace{}
	}
	c.paces[t] = now
	if now == cheap {
		delete(c.paces, t)
	}
	c.slow.Store(int32(len(c.paces))) //nolint:gosec // no more than there are tenants
}

func (c *cached) paceNow(t core.TenantID) pace {
	if c.slow.Load() == 0 {
		return cheap
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paces[t]
}

// compile compiles on first use.
func (c *cached) compile(names starlark.StringDict) (*program, error) {
	c.once.Do(func() { c.program, c.err = compile(c.src, names) })
	return c.program, c.err
}

// get finds the entry of a source. One that is too long to be compiled is not kept.
func (c *programs) get(src string) *cached {
	if len(src) > maxSource {
		return &cached{src: src}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[src]; ok {
		c.order.MoveToFront(e)
		entry, _ := e.Value.(*cached)
		return entry
	}
	entry := &cached{src: src}
	c.byKey[src] = c.order.PushFront(entry)
	c.size += len(src)
	for c.size > maxCached || c.order.Len() > maxPrograms {
		last := c.order.Back()
		old, _ := c.order.Remove(last).(*cached)
		delete(c.byKey, old.src)
		c.size -= len(old.src)
	}
	return entry
}
