package main

import (
	"crypto/tls"
	"fmt"

	"github.com/rogpeppe/go-internal/testscript"
)

// handshake <host> connects by TLS to POSTERN_PORT and writes for whom the certificate is, by whom, and its number.
func cmdHandshake(ts *testscript.TestScript, neg bool, args []string) {
	conn, err := tls.Dial("tcp", "127.0.0.1:"+ts.Getenv("POSTERN_PORT"), &tls.Config{ServerName: args[0], InsecureSkipVerify: true}) // Caddy's own authority, new for each script
	if err != nil {
		fmt.Fprintf(ts.Stdout(), "%v\n", err)
		if !neg {
			ts.Fatalf("%s: %v", args[0], err)
		}
		return
	}
	defer conn.Close()
	cert := conn.ConnectionState().PeerCertificates[0]
	fmt.Fprintf(ts.Stdout(), "%v by %s, number %x\n", cert.DNSNames, cert.Issuer.CommonName, cert.SerialNumber)
	if neg {
		ts.Fatalf("%s has a certificate for %v", args[0], cert.DNSNames)
	}
}
