//go:build !race

package relay

// underRace: the race detector is on.
const underRace = false
