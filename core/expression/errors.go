package expression

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
)

// Sentinels that Eval's errors wrap.
var (
	// ErrSkipObject: the expression raised SkipObject.
	ErrSkipObject = errors.New("object skipped")
	// ErrLimit: the expression used up its steps, time or memory.
	ErrLimit = errors.New("limit reached")
	// ErrBusy: too many expensive expressions run already.
	ErrBusy = errors.New("too many expensive expressions at once")
)

// SyntaxError says why a source cannot be run. Its text holds nothing but what
// the source holds.
type SyntaxError struct {
	Line    int // from 1
	Message string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// Error is a failure while an expression ran. Message names types, and names
// and keys that stand in the source, and never a value that the expression
// read: values may be secrets.
type Error struct {
	Line    int // from 1; 0 where no line is to blame
	Message string
	Err     error // a sentinel above, the context's error, or nil
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Message)
}

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.Err }

// fault is what our own functions fail with. It travels as a panic from where it
// happens to the boundary of the function that Starlark called, which turns it into
// an ordinary error: hundreds of small operations would otherwise each hand it on.
type fault struct {
	message string
	err     error
}

func (f *fault) Error() string { return f.message }
func (f *fault) Unwrap() error { return f.err }

// fail ends the evaluation. The arguments must not be values of the program: types
// and names only.
func fail(format string, args ...any) {
	panic(&fault{message: fmt.Sprintf(format, args...)})
}

// catch turns a fault into an error, and leaves every other panic alone.
func catch(err *error) {
	switch p := recover().(type) {
	case nil:
	case *fault:
		*err = p
	case *starlark.EvalError: // from a function that a function of ours called
		*err = p
	default:
		panic(p)
	}
}

// explain makes an Error of what the interpreter returned.
func explain(r *run, err error) error {
	out := &Error{Message: err.Error()}
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		out.Message = eval.Msg
		last := len(eval.CallStack) - 1
		if wrongCall(eval) {
			last-- // the caller is to blame, not the function
		}
		for i := last; i >= 0; i-- {
			if pos := eval.CallStack[i].Pos; pos.Line > 0 {
				out.Line = int(pos.Line)
				break
			}
		}
	}
	var f *fault
	switch {
	case errors.As(err, &f):
		out.Message, out.Err = f.message, f.err
	case r.stopped != nil:
		out.Message, out.Err = r.stopped.message, r.stopped.err
	default:
		out.Message = plain(out.Message)
	}
	return out
}

// wrongCall reports whether the error is that a function of the source was called with
// the wrong arguments.
func wrongCall(e *starlark.EvalError) bool {
	var f *fault
	if errors.As(e, &f) || len(e.CallStack) < 2 {
		return false
	}
	rest, ok := strings.CutPrefix(e.Msg, "function "+e.CallStack.At(0).Name+" ")
	return ok && (strings.HasPrefix(rest, "accepts ") || strings.HasPrefix(rest, "missing ") || strings.HasPrefix(rest, "got "))
}

// plain rewords the interpreter's own messages, and cuts from them the one thing
// that may be a value: the name of a keyword argument that came out of a dict.
func plain(msg string) string {
	for _, cut := range []string{" unexpected keyword argument", " multiple values for parameter"} {
		if i := strings.Index(msg, cut); i >= 0 {
			return msg[:i+len(cut)]
		}
	}
	if name, ok := strings.CutPrefix(msg, "local variable "); ok {
		if name, ok = strings.CutSuffix(name, " referenced before assignment"); ok {
			return "name " + quote(name) + " is used before it has a value"
		}
	}
	if strings.HasSuffix(msg, "called recursively") {
		return msg + ": expressions have no recursion"
	}
	if kind, ok := strings.CutPrefix(msg, "invalid call of non-function ("); ok {
		return quote(strings.TrimSuffix(kind, ")")) + " object is not callable"
	}
	return msg
}

func quote(name string) string { return "'" + name + "'" }
