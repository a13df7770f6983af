package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/postern-sso/postern/core"
)

const (
	// MaxUpload is how large a file may be, in bytes.
	MaxUpload = 25 << 20
	// maxSmall is how large an SVG or an icon file may be, which is looked at whole.
	maxSmall = 1 << 20
	// MaxSide and MaxPixels are how large a picture may be: a browser takes four bytes for each pixel,
	// however small the file is.
	MaxSide, MaxPixels = 16384, 40_000_000
)

// Clean is a picture that somebody sends, as it may be kept: what its name promises, not too large,
// and without what it says of where and when it was taken, but for an SVG, which stays as it was sent. What may not be
// kept is a *core.FieldError of the field "file", which a Read gives. Who asks closes it, also where content is not read to its end.
func Clean(name string, content io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	go func() { in.CloseWithError(clean(in, name, &limited{content, MaxUpload})) }()
	return out
}

func clean(to io.Writer, name string, content io.Reader) error {
	from := bufio.NewReaderSize(content, 32<<10)
	begin, err := from.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	kind := TypeOf(name, begin)
	switch promised := NamedType(name); {
	case promised == octets:
		return wrongFile("A picture has a name that ends in .png, .jpg, .jpeg, .gif, .webp, .ico or .svg.")
	case kind == octets:
		return wrongFile("The file is not what its name says, %s.", promised)
	}
	switch kind {
	case "image/png":
		err = cleanPNG(to, from)
	case "image/jpeg":
		err = cleanJPEG(to, from)
	case "image/gif":
		err = cleanGIF(to, from)
	case "image/webp":
		err = cleanWebP(to, from)
	case "image/x-icon":
		err = cleanIcon(to, from)
	default:
		return cleanSVG(to, from)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return wrongFile("The picture ends too early.")
	}
	return err
}

func checkSize(width, height int) error {
	switch {
	case width < 1 || height < 1:
		return wrongFile("The picture does not say how large it is.")
	case width > MaxSide || height > MaxSide || width*height > MaxPixels:
		return wrongFile("The picture has %d times %d pixels: at most %d on a side and %d in all are shown.", width, height, MaxSide, MaxPixels)
	}
	return nil
}

func le16(b []byte) int { return int(b[0]) | int(b[1])<<8 }

func le32(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }

// cleanSVG takes an SVG, whole and as it is.
func cleanSVG(to io.Writer, from io.Reader) error {
	all, err := readSmall(from)
	switch {
	case err != nil:
		return err
	case !utf8.Valid(all) || bytes.IndexByte(all, 0) >= 0:
		return wrongFile("An SVG is text in UTF-8.")
	case bytes.Contains(all, []byte("<!ENTITY")):
		return wrongFile("An SVG with entities is not taken: they can be made to fill a browser's memory.")
	}
	_, err = to.Write(all)
	return err
}

// readSmall reads what is looked at whole.
func readSmall(from io.Reader) ([]byte, error) {
	all, err := io.ReadAll(io.LimitReader(from, maxSmall+1))
	if err == nil && len(all) > maxSmall {
		err = errSmall
	}
	return all, err
}

// limited fails where there is more than left bytes.
type limited struct {
	from io.Reader
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	if l.left -= n; l.left < 0 {
		return 0, wrongFile("The file is larger than %d MB.", MaxUpload>>20)
	}
	return n, err
}

var (
	errDamaged = wrongFile("The picture is damaged.")
	errSmall   = wrongFile("A file of this kind may have %d bytes at most.", maxSmall)
)

func wrongFile(format string, values ...any) error {
	return &core.FieldError{Field: "file", Message: fmt.Sprintf(format, values...)}
}
