package media

// Options are what an answer is told by the URL it is asked with.
type Options struct {
	// Download has a browser keep the file, under the last part of its name, rather than show it.
	Download bool
}
