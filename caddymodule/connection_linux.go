package caddymodule

import "syscall"

// boundUnsent holds for as long as the connection does. Where it cannot be, the kernel's own bounds hold.
func boundUnsent(c syscall.Conn) {
	const notSentLowAt = 25 // TCP_NOTSENT_LOWAT, tcp(7)
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowAt, unsent) // as above
		})
	}
}
