package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/fcgi"

	"github.com/rogpeppe/go-internal/testscript"
)

// fastcgi <file> answers as PHP would, on a Unix socket, with the request's variables: there all spellings of
// a header are one.
func cmdFastCGI(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "fastcgi %s\n", r.URL.Path)
		for k, vs := range r.Header {
			for _, v := range vs {
				fmt.Fprintf(w, "got %s: %s\n", k, v)
			}
		}
		fmt.Fprintf(w, "variable REMOTE_USER: %s\n", fcgi.ProcessEnv(r)["REMOTE_USER"])
	}))
}
