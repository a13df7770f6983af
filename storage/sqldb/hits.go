package sqldb

import (
	"iter"
	"math/bits"
)

// hits are places of texts: a bit for each.
type hits struct {
	bits []uint64
	n    int // how many are set
}

func (h *hits) has(at int32) bool {
	return int(at/64) < len(h.bits) && h.bits[at/64]>>(at%64)&1 == 1
}

// set or clear a place.
func (h *hits) set(at int32, is bool) {
	for int(at/64) >= len(h.bits) {
		h.bits = append(h.bits, 0)
	}
	if is == h.has(at) {
		return
	}
	h.bits[at/64] ^= 1 << (at % 64)
	if is {
		h.n++
	} else {
		h.n--
	}
}

// places are those that are set, without the first ones.
func (h *hits) places(skip int) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i, word := range h.bits {
			if n := bits.OnesCount64(word); n <= skip {
				skip -= n
				continue
			}
			for ; word != 0; word &= word - 1 {
				if skip > 0 {
					skip--
				} else if !yield(int32(i*64 + bits.TrailingZeros64(word))) { //nolint:gosec // a place
					return
				}
			}
		}
	}
}
