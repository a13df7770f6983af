package media

import (
	"bytes"
	"net/http"
	"path"
	"strings"
)

// sniffed is how much of a file tells what it is, in bytes.
const sniffed = 512

// octets is the type of what is no picture, or not the one that its name says.
const octets = "application/octet-stream"

const typeSVG = "image/svg+xml"

// TypeOf is the media type of a file with the name that begins so: that of a picture, where the name
// and the content agree, and application/octet-stream for all else.
func TypeOf(name string, begin []byte) string {
	named := NamedType(name)
	if named != octets && named == typeByContent(begin) {
		return named
	}
	return octets
}

// NamedType is the type that a name promises: application/octet-stream where that is no picture.
func NamedType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".webp":
		return "image/webp"
	case ".ico":
		return "image/x-icon"
	case ".svg":
		return typeSVG
	}
	return octets
}

func typeByContent(begin []byte) string {
	if isSVG(begin) {
		return typeSVG
	}
	return http.DetectContentType(begin)
}

// isSVG reports whether the first element of a text is that of an SVG, as far as the text goes:
// before it are white space, comments and declarations alone.
func isSVG(text []byte) bool {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	for {
		text = bytes.TrimLeft(text, " \t\r\n")
		var end string
		switch {
		case bytes.HasPrefix(text, []byte("<?xml")):
			end = "?>"
		case bytes.HasPrefix(text, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(text, []byte("<!DOCTYPE svg")):
			end = ">"
		default:
			rest, found := bytes.CutPrefix(text, []byte("<svg"))
			return found && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n>/"), rest[0]) >= 0)
		}
		_, rest, found := bytes.Cut(text, []byte(end))
		if !found {
			return false
		}
		text = rest
	}
}
