//go:build race

package expression_test

// The race detector allocates memory of its own.
const raceDetector = true
