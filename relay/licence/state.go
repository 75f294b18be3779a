package licence

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// state is what a Meter keeps over a restart. It is written as a whole, before it is in force.
type state struct {
	Version      int               `json:"version"`
	Installation string            `json:"installation"` // drawn once
	Day          calendar          `json:"day"`
	Month        calendar          `json:"month"`
	Evaluation   map[string]uint64 `json:"evaluation,omitempty"` // the base of the evaluation, for ""
	Serials      []serial          `json:"serials,omitempty"`    // the latest last
	Warned       map[string]int    `json:"warned,omitempty"`     // by bound.mark: the largest level that was told, in percent
	Slice        []byte            `json:"slice,omitempty"`      // the text of the last slice of a licence server
}

// serial has the bases at which a licence was first in force.
type serial struct {
	Key   string            `json:"key"`
	Bases map[string]uint64 `json:"bases"`
}

// keptSerials is how many licences are remembered. One that is installed again does not begin again.
const keptSerials = 32

const stateVersion = 1

// begin is the state of an installation of which nothing is known.
func begin() *state {
	id := make([]byte, 12)
	rand.Read(id) // it ends the program rather than fail
	return &state{Version: stateVersion, Installation: hex.EncodeToString(id), Evaluation: make(map[string]uint64), Warned: make(map[string]int)}
}

// decodeState reads what encode has written.
func decodeState(data []byte) (*state, error) {
	s := begin()
	if err := json.Unmarshal(data, s); err != nil {
		return nil, err
	}
	switch {
	case s.Version != stateVersion:
		return nil, fmt.Errorf("version %d is not %d, which this program reads", s.Version, stateVersion)
	case s.Installation == "":
		return nil, errors.New("it names no installation")
	}
	return s, nil
}

func (s *state) encode() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // maps and numbers can always be written
	}
	return data
}

// clone is a copy that shares nothing that turn changes.
func (s *state) clone() *state {
	out := *s
	out.Day, out.Month = s.Day.clone(), s.Month.clone()
	out.Evaluation, out.Warned = cloned(s.Evaluation), cloned(s.Warned)
	out.Serials = nil
	for _, x := range s.Serials {
		out.Serials = append(out.Serials, serial{x.Key, cloned(x.Bases)})
	}
	return &out
}

// cloned is a copy of m to which something can be added.
func cloned[V any](m map[string]V) map[string]V {
	out := make(map[string]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// lost reports that the counter has begun anew. A counter a little below a base is not lost: the base was durable a moment before the last
// outcomes were.
func (s *state) lost(sent uint64) bool { return sent < s.Day.base("")/2 }

// turn brings the state to a time: it begins what begins now. It reports whether there is anything new to be made durable.
func (s *state) turn(now time.Time, tenants []string, licence string, sent func(string) uint64) bool {
	changed := s.Day.turn(now.Format(dayName), tenants, sent, keptDays)
	changed = s.Month.turn(now.Format(monthName), tenants, sent, keptMonths) || changed
	if at := sent(""); s.Evaluation[""] > at {
		s.Evaluation[""], changed = at, true
	} else if _, known := s.Evaluation[""]; !known {
		s.Evaluation[""], changed = at, true
	}
	return licence != "" && s.beginLicence(licence, tenants, sent) || changed
}

// beginLicence notes the bases of a licence that is in force, where there are none.
func (s *state) beginLicence(key string, tenants []string, sent func(string) uint64) (changed bool) {
	i := slices.IndexFunc(s.Serials, func(x serial) bool { return x.Key == key })
	if i < 0 {
		if len(s.Serials) == keptSerials {
			s.Serials = slices.Delete(s.Serials, 0, 1)
		}
		i, changed = len(s.Serials), true
		s.Serials = append(s.Serials, serial{key, make(map[string]uint64)})
	}
	for _, t := range tenants {
		if base, known := s.Serials[i].Bases[t]; !known || base > sent(t) {
			s.Serials[i].Bases[t], changed = sent(t), true
		}
	}
	return changed
}

// licenceBase is the number at which a licence was first in force.
func (s *state) licenceBase(key, tenant string) uint64 {
	for _, x := range s.Serials {
		if x.Key == key {
			return x.Bases[tenant]
		}
	}
	return 0
}
