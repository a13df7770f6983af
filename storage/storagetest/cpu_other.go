//go:build !unix

package storagetest

import "time"

// processorTime is not known here.
func processorTime() time.Duration { return 0 }
