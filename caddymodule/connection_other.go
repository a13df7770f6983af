//go:build !linux

package caddymodule

import "syscall"

// boundUnsent is Linux's alone.
func boundUnsent(syscall.Conn) {}
