package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

const (
	formType = "multipart/form-data"
	// maxForm bounds a form, in bytes: a file, and what is beside it.
	maxForm = media.MaxUpload + 1<<20
	// formMemory is how much of a form is in memory, in bytes. The rest is in a file meanwhile.
	formMemory = 1 << 20
	// maxForms is how many are read and stored at once, and are files meanwhile, half of them at most of one tenant:
	// a sender, or the store, may be slow. formWait is how long each may take to arrive.
	maxForms = 16
	formWait = 10 * time.Minute
	// maxFormField bounds each field beside the file, in bytes.
	maxFormField = 64 << 10
	fileField    = "file"
)

// uploads says that the body is a form with a file.
func (o operation) uploads(name string, read func(*fields)) operation {
	o = o.takes(name, read)
	for i := range o.body.members {
		m := &o.body.members[i]
		if m.name == fileField {
			m.shape = shape{kind: "string", format: "binary", text: m.shape.text}
		}
	}
	o.form = true
	return o
}

// bodyType is the media type of the body.
func (o *operation) bodyType() string {
	if o.form {
		return formType
	}
	return jsonType
}

// readForm reads a form as readBody reads JSON: c.body has its fields, and of the file the name it was
// sent with. c.upload is the file itself.
func (c *call) readForm(w http.ResponseWriter) error {
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != formType {
		return &problem{http.StatusUnsupportedMediaType, "Unsupported media type " + strconv.QuoteToASCII(cutText(c.r.Header.Get("Content-Type"), 80)) + " in request: a file is sent as " + formType + "."}
	}
	if err := c.readyForForm(); err != nil {
		return err
	}
	if err := c.take(c.forms); err != nil {
		return err
	}
	c.hasForm = true
	// Where a connection has no deadline, the server's own timeouts are all there is.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(formWait)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	c.r.Body = http.MaxBytesReader(w, c.r.Body, maxForm)
	err := c.r.ParseMultipartForm(formMemory)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) || errors.Is(err, multipart.ErrMessageTooLarge) {
		return errFileTooLarge
	}
	if here := (*fs.PathError)(nil); errors.As(err, &here) { // the directory of temporary files
		return fmt.Errorf("%w: keep a form meanwhile: %w", core.ErrUnavailable, err)
	}
	if err != nil {
		return &problem{http.StatusBadRequest, "The form cannot be read, or broke off."}
	}
	c.body = &fields{errs: invalid{}, raw: map[string]json.RawMessage{}}
	set := func(name, value string) error {
		switch {
		case len(value) > maxFormField:
			return invalid{name: {fmt.Sprintf("Ensure this field has no more than %d bytes.", maxFormField)}}
		case !utf8.ValidString(value):
			return invalid{name: {"Not a valid string."}}
		}
		raw, err := json.Marshal(value)
		c.body.raw[name] = raw
		return err
	}
	for _, m := range c.route.body.members { // what the route does not know is left out, as of JSON
		if values := c.r.MultipartForm.Value[m.name]; len(values) > 0 && m.name != fileField {
			if err := set(m.name, values[len(values)-1]); err != nil {
				return err
			}
		}
	}
	if sent := c.r.MultipartForm.File[fileField]; len(sent) > 0 {
		c.upload = sent[len(sent)-1]
		return set(fileField, path.Base(c.upload.Filename))
	}
	return nil
}

// readyForForm refuses what can be refused before a byte of it is read: who asks is known, and how much is announced.
func (c *call) readyForForm() error {
	if c.r.ContentLength > maxForm {
		return errFileTooLarge
	}
	if c.route.ready != nil {
		if err := c.route.ready(c); err != nil {
			return err
		}
	}
	store, err := c.files()
	if err != nil || c.r.ContentLength >= 0 && c.r.ContentLength <= formMemory {
		return err
	}
	return room(c.ctx(), store, c.t, max(0, c.r.ContentLength))
}

// forgetForm removes what of a form was kept meanwhile.
func (c *call) forgetForm() {
	if c.hasForm {
		defer c.forms.Leave(c.t)
	}
	if f := c.r.MultipartForm; f != nil {
		if err := f.RemoveAll(); err != nil {
			c.Log.WarnContext(c.ctx(), "a file that was sent is left behind", "error", err)
		}
	}
}

func cutText(s string, most int) string { return s[:min(len(s), most)] }
