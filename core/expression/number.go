package expression

import (
	"math"
	"math/big"
	"math/bits"
	"time"

	"go.starlark.net/starlark"
)

// asInt is an int or a bool as an integer.
func asInt(v starlark.Value) (starlark.Int, bool) {
	switch v := v.(type) {
	case starlark.Int:
		return v, true
	case starlark.Bool:
		if v {
			return starlark.MakeInt(1), true
		}
		return starlark.MakeInt(0), true
	}
	return starlark.Int{}, false
}

func isNumber(v starlark.Value) bool {
	switch v.(type) {
	case starlark.Int, starlark.Bool, starlark.Float:
		return true
	}
	return false
}

// asFloat is a number as a float.
func asFloat(v starlark.Value) float64 {
	if f, ok := v.(starlark.Float); ok {
		return float64(f)
	}
	i, _ := asInt(v)
	if n, ok := i.Int64(); ok {
		return float64(n)
	}
	f := float64(i.Float())
	if math.IsInf(f, 0) {
		fail("OverflowError: the integer is too large for a float")
	}
	return f
}

// intCost is what an integer beyond 32 bits takes.
const intCost = 64

// arithmetic is x op y for numbers. Integers are capped at 8192 bits, so that every
// operation on them is cheap.
func (r *run) arithmetic(op string, x, y starlark.Value) starlark.Value {
	a, aInt := asInt(x)
	b, bInt := asInt(y)
	if !aInt || !bInt {
		return floatArithmetic(op, asFloat(x), asFloat(y))
	}
	m, mOK := a.Int64()
	n, nOK := b.Int64()
	if mOK && nOK {
		if v, ok := smallArithmetic(op, m, n); ok {
			r.alloc(intCost)
			return v
		}
	}
	r.charge(300)
	r.alloc(3 * maxIntBits / 8)
	return bigArithmetic(op, a.BigInt(), b.BigInt())
}

// smallArithmetic is for results that surely fit into 64 bits.
func smallArithmetic(op string, m, n int64) (starlark.Value, bool) {
	const half = 1 << 62
	switch op {
	case "+":
		if m > -half && m < half && n > -half && n < half {
			return starlark.MakeInt64(m + n), true
		}
	case "-":
		if m > -half && m < half && n > -half && n < half {
			return starlark.MakeInt64(m - n), true
		}
	case "*":
		if high, low := bits.Mul64(magnitude(m), magnitude(n)); high == 0 && low < half {
			return starlark.MakeInt64(m * n), true
		}
	case "//", "%":
		if n == 0 {
			fail("ZeroDivisionError: division by zero")
		}
		if n == -1 {
			return nil, false
		}
		q, rest := m/n, m%n
		if rest != 0 && (rest < 0) != (n < 0) {
			q, rest = q-1, rest+n
		}
		if op == "%" {
			return starlark.MakeInt64(rest), true
		}
		return starlark.MakeInt64(q), true
	case "&":
		return starlark.MakeInt64(m & n), true
	case "|":
		return starlark.MakeInt64(m | n), true
	case "^":
		return starlark.MakeInt64(m ^ n), true
	}
	return nil, false
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return uint64(-n) // two's complement: right for the smallest too
	}
	return uint64(n)
}

func bigArithmetic(op string, a, b *big.Int) starlark.Value {
	out := new(big.Int)
	switch op {
	case "+":
		out.Add(a, b)
	case "-":
		out.Sub(a, b)
	case "*":
		out.Mul(a, b)
	case "/":
		if b.Sign() == 0 {
			fail("ZeroDivisionError: division by zero")
		}
		f, _ := new(big.Rat).SetFrac(a, b).Float64()
		if math.IsInf(f, 0) {
			fail("OverflowError: the result is too large for a float")
		}
		return starlark.Float(f)
	case "//", "%":
		if b.Sign() == 0 {
			fail("ZeroDivisionError: division by zero")
		}
		q, rest := new(big.Int).QuoRem(a, b, new(big.Int))
		if rest.Sign() != 0 && rest.Sign() != b.Sign() {
			q.Sub(q, big.NewInt(1))
			rest.Add(rest, b)
		}
		if out = q; op == "%" {
			out = rest
		}
	case "&":
		out.And(a, b)
	case "|":
		out.Or(a, b)
	case "^":
		out.Xor(a, b)
	case "<<", ">>":
		if b.Sign() < 0 {
			fail("ValueError: negative shift count")
		}
		n := maxIntBits + 1
		if b.IsInt64() && b.Int64() < maxIntBits {
			n = int(b.Int64())
		}
		if op == ">>" {
			out.Rsh(a, uint(n))
		} else if a.Sign() != 0 {
			if a.BitLen()+n > maxIntBits {
				overflow()
			}
			out.Lsh(a, uint(n))
		}
	case "**":
		return bigPower(a, b)
	}
	return integer(out)
}

// bigPower is a ** b.
func bigPower(a, b *big.Int) starlark.Value {
	if b.Sign() < 0 {
		x, _ := new(big.Float).SetInt(a).Float64()
		y, _ := new(big.Float).SetInt(b).Float64()
		return power(x, y)
	}
	if a.BitLen() > 1 && (!b.IsInt64() || b.Int64() > maxIntBits || int64(a.BitLen()-1)*b.Int64() > maxIntBits) {
		overflow()
	}
	if a.BitLen() <= 1 { // -1, 0, 1: only whether b is zero or odd matters
		b = new(big.Int).SetBit(new(big.Int).SetUint64(uint64(b.Bit(0))), 1, boolBit(b.Sign() > 0))
	}
	return integer(new(big.Int).Exp(a, b, nil))
}

func boolBit(b bool) uint {
	if b {
		return 1
	}
	return 0
}

func overflow() { fail("OverflowError: the integer has more than %d bits", maxIntBits) }

func integer(x *big.Int) starlark.Value {
	if tooLarge(x) {
		overflow()
	}
	return starlark.MakeBigInt(x)
}

func floatArithmetic(op string, x, y float64) starlark.Value {
	switch op {
	case "+":
		return starlark.Float(x + y)
	case "-":
		return starlark.Float(x - y)
	case "*":
		return starlark.Float(x * y)
	case "**":
		return power(x, y)
	case "/", "//", "%":
		if y == 0 {
			fail("ZeroDivisionError: division by zero")
		}
	}
	switch op {
	case "/":
		return starlark.Float(x / y)
	case "//", "%":
		// As CPython's float_divmod does, so that both agree to the last bit.
		m := math.Mod(x, y)
		q := (x - m) / y
		switch {
		case m == 0:
			m = math.Copysign(0, y)
		case (m < 0) != (y < 0):
			m, q = m+y, q-1
		}
		if op == "%" {
			return starlark.Float(m)
		}
		if q == 0 {
			return starlark.Float(math.Copysign(0, x/y))
		}
		floor := math.Floor(q)
		if q-floor > 0.5 {
			floor++
		}
		return starlark.Float(floor)
	}
	fail("TypeError: unsupported operand types for %s: 'float'", op)
	return nil
}

func power(x, y float64) starlark.Value {
	if x == 0 && y < 0 {
		fail("ZeroDivisionError: 0 cannot be raised to a negative power")
	}
	v := math.Pow(x, y)
	if math.IsInf(v, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		fail("OverflowError: the result is too large")
	}
	if math.IsNaN(v) && !math.IsNaN(x) && !math.IsNaN(y) {
		fail("ValueError: a negative number has no fractional power here")
	}
	return starlark.Float(v)
}

// unary is -x, +x or ~x.
func (r *run) unary(op string, x starlark.Value) starlark.Value {
	if f, ok := x.(starlark.Float); ok && op != "~" {
		if op == "-" {
			return -f
		}
		return f
	}
	if o, ok := x.(*object); ok && op != "~" {
		if d, ok := o.data.(time.Duration); ok {
			if op == "-" {
				d = -d
			}
			return newTimedelta(d)
		}
	}
	i, ok := asInt(x)
	if !ok {
		fail("TypeError: bad operand type for unary %s: %s", op, quote(typeName(x)))
	}
	switch op {
	case "-":
		return r.arithmetic("-", starlark.MakeInt(0), i)
	case "~":
		return r.arithmetic("-", starlark.MakeInt(-1), i)
	}
	return i
}
