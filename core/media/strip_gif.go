package media

import (
	"bufio"
	"io"
)

// The blocks of a GIF (GIF89a, appendix A), and its extensions that are looked at.
const (
	gifImage       = 0x2c
	gifExtension   = 0x21
	gifEnd         = 0x3b
	gifControl     = 0xf9
	gifApplication = 0xff
)

// cleanGIF copies the blocks that a picture is made of: not comments, texts and what programs note in it,
// XMP for one, and nothing after the end.
func cleanGIF(to io.Writer, from *bufio.Reader) error {
	g := &gifCleaner{bufio.NewWriterSize(to, 32<<10), from}
	screen, err := g.part(13)
	if err != nil {
		return err
	}
	if err := checkSize(le16(screen[6:]), le16(screen[8:])); err != nil {
		return err
	}
	if err := g.colours(screen[10]); err != nil {
		return err
	}
	for images := 0; ; {
		kind, err := from.ReadByte()
		switch {
		case err != nil:
		case kind == gifImage:
			images++
			err = g.image()
		case kind == gifExtension:
			err = g.extension()
		case kind == gifEnd && images > 0:
			if err := g.out.WriteByte(gifEnd); err != nil {
				return err
			}
			return g.out.Flush()
		default:
			err = errDamaged
		}
		if err != nil {
			return err
		}
	}
}

type gifCleaner struct {
	out  *bufio.Writer
	from *bufio.Reader
}

// part copies n bytes, and shows them.
func (g *gifCleaner) part(n int) ([]byte, error) {
	all := make([]byte, n)
	if _, err := io.ReadFull(g.from, all); err != nil {
		return nil, err
	}
	_, err := g.out.Write(all)
	return all, err
}

// colours copies a table, where the flags tell of one.
func (g *gifCleaner) colours(flags byte) error {
	if flags&0x80 == 0 {
		return nil
	}
	_, err := io.CopyN(g.out, g.from, 3<<(flags&7+1))
	return err
}

// image copies one of the pictures. It may reach over what the file said that it covers, and browsers show it all.
func (g *gifCleaner) image() error {
	if err := g.out.WriteByte(gifImage); err != nil {
		return err
	}
	head, err := g.part(9)
	if err != nil {
		return err
	}
	if err := checkSize(le16(head)+le16(head[4:]), le16(head[2:])+le16(head[6:])); err != nil {
		return err
	}
	if err := g.colours(head[8]); err != nil {
		return err
	}
	if _, err := g.part(1); err != nil { // how long codes are
		return err
	}
	return g.blocks(g.out, 0)
}

// extension copies how long a picture of an animation is shown, how often they all are, and what colours mean.
func (g *gifCleaner) extension() error {
	label, err := g.from.ReadByte()
	if err != nil {
		return err
	}
	begin, length := []byte{gifExtension, label}, 0
	switch label {
	case gifControl:
		length = 4
	case gifApplication:
		head, err := g.from.Peek(12)
		if err != nil {
			return err
		}
		switch string(head) {
		case "\x0bNETSCAPE2.0", "\x0bANIMEXTS1.0":
			length = 3
		case "\x0bICCRGBG1012":
		default:
			return g.blocks(io.Discard, 0)
		}
		if _, err := g.from.Discard(len(head)); err != nil {
			return err
		}
		begin = append(begin, head...)
	default:
		return g.blocks(io.Discard, 0)
	}
	if _, err := g.out.Write(begin); err != nil {
		return err
	}
	return g.blocks(g.out, length)
}

// blocks copies the blocks up to the empty one; where a length is given, only those that have it.
func (g *gifCleaner) blocks(out io.Writer, length int) error {
	var block [256]byte
	for {
		n, err := g.from.ReadByte()
		if err != nil {
			return err
		}
		block[0] = n
		if _, err := io.ReadFull(g.from, block[1:1+int(n)]); err != nil {
			return err
		}
		if n == 0 || length == 0 || int(n) == length {
			if _, err := out.Write(block[:1+int(n)]); err != nil {
				return err
			}
		}
		if n == 0 {
			return nil
		}
	}
}
