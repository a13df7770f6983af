//go:build linux

package counterparts_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// frugal loads a target by sixteen connections that download over and over and cost the machine as little
// as they can, for they share it with the server, and what they take hides what servers differ in. They are
// one thread that sleeps in epoll(7), is woken when an answer is there as a whole (SO_RCVLOWAT, socket(7)),
// reads its header, and has the kernel throw the body away where it is (MSG_TRUNC, tcp(7)).
// Each answer has to be a 200 as long as the first one, whose body was read and compared before.
type frugal struct {
	*target
	sum     [sha256.Size]byte // of the file
	head    int               // how long the header is
	epoll   int
	sockets []int
	took    time.Duration // of the processor's time, by the clients, in all slices
}

func (f *frugal) open(b *testing.B) {
	b.Helper()
	f.check(b)
	port, err := strconv.Atoi(f.port)
	if err != nil {
		b.Fatal(err)
	}
	if f.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		b.Fatal(err)
	}
	for range 16 {
		s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		f.sockets = append(f.sockets, s)
		if err := errors.Join(
			syscall.Connect(s, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}),
			syscall.SetsockoptInt(s, syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, f.length),
			syscall.SetsockoptTimeval(s, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 60}),
			syscall.EpollCtl(f.epoll, syscall.EPOLL_CTL_ADD, s, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(s)}),
		); err != nil {
			b.Fatal(err)
		}
	}
}

// check asks once, and reads it all.
func (f *frugal) check(b *testing.B) {
	b.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+f.port)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(f.request()); err != nil {
		b.Fatal(err)
	}
	var seen bytes.Buffer
	a, err := http.ReadResponse(bufio.NewReader(io.TeeReader(c, &seen)), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK || int(a.ContentLength) != len(body) || sha256.Sum256(body) != f.sum {
		b.Fatalf("%s: %s, %d bytes of %d, or another file: %v", f.name, a.Status, len(body), a.ContentLength, err)
	}
	f.length, f.head = seen.Len(), seen.Len()-len(body)
}

func (f *frugal) close() {
	for _, s := range f.sockets {
		_ = syscall.Close(s)
	}
	_ = syscall.Close(f.epoll)
}

// slice loads the target for a while.
func (f *frugal) slice(b *testing.B, d time.Duration) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	request, room := f.request(), make([]byte, f.length)
	ready := make([]syscall.EpollEvent, len(f.sockets))
	took, used, began := threadTime(b), f.of.processorTime(), time.Now()
	done, asked := int64(0), int64(0)
	ask := func(socket int) {
		if n, err := syscall.Write(socket, request); err != nil || n < len(request) {
			b.Fatalf("%s: %d bytes of the request are written: %v", f.name, n, err)
		}
		asked++
	}
	for _, s := range f.sockets {
		ask(s)
	}
	for done < asked {
		n, err := syscall.EpollWait(f.epoll, ready, 60_000)
		if n == 0 || err != nil && !errors.Is(err, syscall.EINTR) {
			b.Fatalf("%s: no answer within a minute: %v", f.name, err)
		}
		for _, e := range ready[:max(n, 0)] {
			f.receive(b, int(e.Fd), room)
			if done++; time.Since(began) < d {
				ask(int(e.Fd))
			}
		}
	}
	f.rates = append(f.rates, float64(done)/time.Since(began).Seconds())
	f.used += f.of.processorTime() - used
	f.took += threadTime(b) - took
	f.answered += done
}

// receive takes an answer.
func (f *frugal) receive(b *testing.B, socket int, room []byte) {
	b.Helper()
	n, err := syscall.Read(socket, room[:f.head])
	if err != nil || n < f.head || !bytes.HasPrefix(room, []byte("HTTP/1.1 200 ")) || !bytes.HasSuffix(room[:n], []byte("\r\n\r\n")) {
		b.Fatalf("%s: %v\n%s", f.name, err, room[:max(n, 0)])
	}
	for n < f.length {
		more, _, err := syscall.Recvfrom(socket, room[n:f.length], syscall.MSG_TRUNC)
		if err != nil || more <= 0 {
			b.Fatalf("%s: %d bytes of %d: %v", f.name, n, f.length, err)
		}
		n += more
	}
}

// threadTime is what this thread has used of the processor's time.
func threadTime(b *testing.B) time.Duration {
	b.Helper()
	const thread = 1 // RUSAGE_THREAD, getrusage(2)
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
