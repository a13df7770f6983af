package redisdb_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// proxy stands before a server, and can be slow, say something else, or be gone.
type proxy struct {
	t      testing.TB
	addr   string
	to     string
	delay  atomic.Int64           // of each answer
	answer atomic.Pointer[string] // in place of the server's
	lost   atomic.Bool            // what is sent either way
	asked  atomic.Int64           // how often something was sent to the server
	mu     sync.Mutex
	l      net.Listener
	conns  map[net.Conn]bool
	done   sync.WaitGroup
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	p := &proxy{t: t, to: to, conns: map[net.Conn]bool{}}
	p.listen("127.0.0.1:0")
	p.addr = p.l.Addr().String()
	t.Cleanup(func() {
		p.cut()
		p.done.Wait()
	})
	return p
}

func (p *proxy) listen(addr string) {
	p.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.l = l
	p.mu.Unlock()
	p.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", p.to)
			if err != nil {
				c.Close()
				continue
			}
			p.mu.Lock()
			p.conns[c], p.conns[s] = true, true
			p.mu.Unlock()
			p.done.Go(func() { p.pass(c, s, true) })
			p.done.Go(func() { p.pass(s, c, false) })
		}
	})
}

func (p *proxy) pass(from, to net.Conn, asks bool) {
	defer func() {
		from.Close()
		to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if asks {
			p.asked.Add(1)
		}
		if p.lost.Load() {
			continue
		}
		if text := p.answer.Load(); asks && text != nil {
			if _, err := io.WriteString(from, *text); err != nil {
				return
			}
			continue
		}
		if !asks {
			time.Sleep(time.Duration(p.delay.Load()))
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// own is how many goroutines are the proxy's: one for each direction.
func (p *proxy) own() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// cut closes everything: who connects is refused.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.l.Close()
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// drop is a network that drops everything: what is sent over connections that are open, and who connects hears nothing,
// neither yes nor no.
func (p *proxy) drop() (end func()) {
	p.t.Helper()
	p.mu.Lock()
	p.l.Close()
	p.mu.Unlock()
	p.lost.Store(true)
	at := netip.MustParseAddrPort(p.addr)
	syscall.ForkLock.RLock() // SOCK_CLOEXEC is not everywhere
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err == nil {
		err = errors.Join(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
			syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}), syscall.Listen(fd, 0))
	}
	if err != nil {
		p.t.Fatal(err)
	}
	var waiting []net.Conn
	for { // until the queue of those who wait to be accepted is full
		c, err := net.DialTimeout("tcp", p.addr, 300*time.Millisecond)
		if err != nil {
			break
		}
		if waiting = append(waiting, c); len(waiting) > 100 {
			p.t.Fatal("control: whoever connects is let in")
		}
	}
	return func() {
		for _, c := range waiting {
			c.Close()
		}
		if err := syscall.Close(fd); err != nil {
			p.t.Error(err)
		}
		p.lost.Store(false)
		p.cut()
		p.listen(p.addr)
	}
}
