package media

import (
	"strings"

	"github.com/postern-sso/postern/core"
)

const (
	// MaxName is how long a file's name may be, in bytes.
	MaxName = 1024
	// MaxPart is how long each part between slashes may be, in bytes: what file systems take.
	MaxPart = 255
)

// CheckName returns a *core.FieldError of the field "name" for what cannot be a file's name. One that
// can is a path of letters, digits and "._-" between single slashes: the same in
// a URL, a directory and a bucket, and it leads nowhere but down.
func CheckName(name string) error {
	switch {
	case name == "":
		return wrongName("This field may not be blank.")
	case len(name) > MaxName:
		return wrongName("File name too long (max 1024 characters).")
	case strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-/", c)
	}):
		return wrongName("File name can only contain letters (a-z, A-Z), numbers (0-9), dots (.), hyphens (-), underscores (_), and forward slashes (/).")
	case strings.Contains(name, "//"):
		return wrongName("File name cannot contain duplicate /.")
	case name[0] == '/' || name[len(name)-1] == '/':
		return wrongName("File name cannot begin or end with /.")
	case name[0] == '.':
		return wrongName("File name cannot start with a period.")
	case strings.Contains(name, ".."):
		return wrongName("File name cannot contain ..")
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case len(part) > MaxPart:
			return wrongName("Each part between slashes may have 255 characters at most.")
		case part == ".":
			return wrongName("A part between slashes cannot be a single period.")
		}
	}
	return nil
}

func wrongName(message string) error {
	return &core.FieldError{Field: "name", Message: message}
}
