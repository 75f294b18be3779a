//go:build race

package snapshot

// raceStep is the step of the loops that take minutes under the race detector. test/run makes all their steps without it.
const raceStep = 24
