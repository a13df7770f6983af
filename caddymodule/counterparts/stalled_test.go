//go:build linux

package counterparts_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The kernel keeps little of a picture for who asks for it and does not read, and much of the same file of
// file_server, whose connections are as Caddy makes them.
func TestStalledDownload(t *testing.T) {
	p, port := startPictures(t)
	ran(t, "caddy")
	p.keepPicture(t, "8M.png", 8<<20)
	kept := func(host, path string) (most int) {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if tcp, ok := c.(*net.TCPConn); !ok || tcp.SetReadBuffer(16<<10) != nil {
			t.Fatal("no buffer")
		}
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s:%s\r\n\r\n", path, host, port); err != nil {
			t.Fatal(err)
		}
		if begin := make([]byte, 1000); !answersWhole(c, begin) {
			t.Fatalf("%q", begin)
		}
		same := 0
		for deadline := time.Now().Add(time.Minute); same < 10; time.Sleep(50 * time.Millisecond) {
			switch n := sendQueue(t, c); {
			case n > most:
				most, same = n, 0
			case most > 0:
				same++
			}
			if time.Now().After(deadline) {
				t.Fatalf("the server's queue goes on to grow: %d bytes", most)
			}
		}
		return most
	}
	if n := kept("localhost", p.signed(t, "8M.png")); n > 256<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	if n := kept("plain.localhost", "/8M.png"); n <= 256<<10 {
		t.Errorf("control: of file_server's answer %d bytes are kept", n)
	}
}

// sendQueue is how much the kernel keeps for the other end of a connection of this machine to send (proc(5), /proc/net/tcp).
func sendQueue(t *testing.T, c net.Conn) int {
	t.Helper()
	ours, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no address")
	}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(name)
		if err != nil {
			continue // a kernel without IPv6
		}
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line)
			if len(fields) < 5 || !strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", ours.Port)) {
				continue
			}
			queue, _, _ := strings.Cut(fields[4], ":")
			n, err := strconv.ParseInt(queue, 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatal("the server has no such connection")
	return 0
}
