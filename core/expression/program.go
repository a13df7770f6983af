package expression

import (
	linked "container/list"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
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
	pace    atomic.Int32 // a pace: how its last run turned out
}

func newPrograms() *programs {
	return &programs{byKey: map[string]*linked.Element{}, order: linked.New()}
}

// is remembers how a run of it turned out. Most turn out as the one before: then nothing
// is written to what the processors share.
func (c *cached) is(now pace) {
	if c.paceNow() != now {
		c.pace.Store(int32(now))
	}
}

func (c *cached) paceNow() pace { return pace(c.pace.Load()) }

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
