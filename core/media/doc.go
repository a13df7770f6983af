// Package media keeps the files of tenants, such as icons of applications and logos of brands, and
// shows each to who was given a signed URL of it.
//
//   - name.go: what a file may be called.
//   - theme.go: pictures of which there is one for light pages and one for dark ones.
//   - store.go: what is needed of a directory or a bucket.
//   - url.go: how URLs are signed, and known again.
//   - handler.go: how a file is served, as kind.go says what it is.
//   - upload.go and strip*.go: what is taken of what somebody sends.
//   - tenant.go: how files go with their tenant.
package media
