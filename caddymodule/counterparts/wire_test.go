package counterparts_test

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// wire is a network between a node and PostgreSQL that a test disturbs.
type wire struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	state wireState
	moved *sync.Cond
	conns map[net.Conn]struct{}
	asked map[net.Conn]int  // pieces that a node sent, by its connection
	looks map[net.Conn]bool // that of whoever follows the outbox
}

// calls is how often a node has asked for something, but for what it asks to follow the outbox.
func (w *wire) calls() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, asked := range w.asked {
		if !w.looks[c] {
			n += asked
		}
	}
	return n
}

type wireState struct {
	hangs bool          // nothing arrives, and nobody is told
	mute  bool          // what the server says does not arrive
	cut   bool          // connections are reset, and no new one is taken
	slow  time.Duration // each piece of what the server says takes so long
	deaf  bool          // LISTEN leads nowhere: no notification comes
	over  bool
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, target: target, conns: map[net.Conn]struct{}{}, asked: map[net.Conn]int{}, looks: map[net.Conn]bool{}}
	w.moved = sync.NewCond(&w.mu)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.set(wireState{over: true, cut: true})
		running.Wait()
	})
	return w
}

// set changes what the network does; what is under way notices.
func (w *wire) set(s wireState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = s
	if s.cut {
		for c := range w.conns {
			reset(c)
		}
	}
	w.moved.Broadcast()
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// keep counts a connection in, where one may be.
func (w *wire) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.cut {
		return false
	}
	w.conns[c] = struct{}{}
	return true
}

func (w *wire) carry(near net.Conn) {
	if !w.keep(near) {
		reset(near)
		return
	}
	far, err := net.Dial("tcp", w.target)
	if err != nil || !w.keep(far) {
		reset(near)
		if err == nil {
			reset(far)
		}
		return
	}
	var both sync.WaitGroup
	both.Go(func() { w.copy(far, near, true) })
	both.Go(func() { w.copy(near, far, false) })
	both.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, near)
	delete(w.conns, far)
}

func (w *wire) copy(to, from net.Conn, up bool) {
	defer reset(to)
	defer reset(from)
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			w.mu.Lock()
			for w.state.hangs || w.state.mute && !up {
				w.moved.Wait()
			}
			s := w.state
			if up {
				w.asked[from]++
				w.looks[from] = w.looks[from] || bytes.Contains(buf[:n], []byte("LISTEN postern_changes"))
			}
			w.mu.Unlock()
			if !up {
				time.Sleep(s.slow)
			}
			data := buf[:n]
			if up && s.deaf {
				data = bytes.ReplaceAll(data, []byte("LISTEN postern_changes"), []byte("LISTEN postern_nowhere"))
			}
			if _, err := to.Write(data); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
