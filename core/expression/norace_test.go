//go:build !race

package expression_test

const raceDetector = false
