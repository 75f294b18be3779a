//go:build !race

package snapshot

// raceStep is the step of the loops that take minutes under the race detector.
const raceStep = 1
