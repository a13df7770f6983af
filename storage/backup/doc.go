// Package backup is the file that a backup is: one file, encrypted and
// authenticated, written and read as a stream.
//
// # Layout, version 1
//
//	postern-backup 1\n         what it is
//	{"format":1,…}\n           Header: JSON, readable by anybody, without secrets
//	chunks                     each: length (4 bytes), AES-256-GCM ciphertext of at most 64 KiB
//
// The chunks' key is derived from the Key, the Header's salt and the Header
// itself: who changes a letter of it makes every chunk unreadable. A chunk's nonce
// is its number and whether it is the last (STREAM, Hoang et al., "Online
// Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015), so that
// chunks can be neither dropped, repeated nor exchanged, and a file that ends early
// is refused. A key serves one file only: its salt is random.
//
// Within the chunks, compressed by gzip, follow sections: a Section as JSON, then
// its records, then how many there were. A table is a section and its rows are
// records; a file would be one, its blocks the records.
package backup

import "errors"

var (
	// ErrNotBackup: the file is none of ours, or of a later format.
	ErrNotBackup = errors.New("not a backup that this version can read")
	// ErrKey: the file was sealed with another secret or passphrase.
	ErrKey = errors.New("sealed with another secret")
	// ErrCorrupt: the file was changed, or ends too early.
	ErrCorrupt = errors.New("the backup is damaged or incomplete")
)
