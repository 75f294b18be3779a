package pool

import (
	"encoding/json"
	"sync"
	"time"
)

// maxLessons is how many sites' lessons are kept. A list has far fewer sites that tell of their limits.
const maxLessons = 10_000

// lessons is what sites have taught us about their limits: kept over a restart, and over the time in which a site has no mail. It is
// small, because most sites never say a word about limits.
type lessons struct {
	mu    sync.Mutex
	sites map[siteID]*Site  // those in use that have taught something since they were made
	past  map[string]lesson // of sites that are not in use, by lessonKey
}

// lesson is what one site has taught.
type lesson struct {
	Site   string  `json:"site"`
	Source string  `json:"source,omitempty"`
	Pace   Learned `json:"pace"`
	Bounds bounds  `json:"bounds"`
}

func lessonKey(id siteID) string {
	if id.source == nil {
		return lessonName(id.key, "")
	}
	return lessonName(id.key, id.source.Name())
}

// lessonName puts a site and a source together. No host has a NUL in its name.
func lessonName(site, source string) string { return site + "\x00" + source }

// taught notes that s has something to remember.
func (l *lessons) taught(s *Site) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sites == nil {
		l.sites = make(map[siteID]*Site)
	}
	if len(l.sites) < maxLessons {
		l.sites[s.id()] = s
	}
}

// recall gives s, which is new, what it taught before.
func (l *lessons) recall(s *Site, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := lessonKey(s.id())
	old, ok := l.past[key]
	if !ok {
		return
	}
	delete(l.past, key)
	s.pace.Recall(now, old.Pace)
	s.bounds = old.Bounds
	if l.sites == nil {
		l.sites = make(map[siteID]*Site)
	}
	l.sites[s.id()] = s
}

// shelve keeps what s has taught, because s is about to be forgotten.
func (l *lessons) shelve(s *Site, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sites[s.id()] != s {
		return
	}
	delete(l.sites, s.id())
	if old, ok := s.lesson(now); ok {
		l.put(lessonKey(s.id()), old)
	}
}

// put is one lesson more on the shelf. The mutex is held.
func (l *lessons) put(key string, old lesson) {
	if l.past == nil {
		l.past = make(map[string]lesson)
	}
	if len(l.past) < maxLessons {
		l.past[key] = old
	}
}

// tend drops lessons that are too old to be true.
func (l *lessons) tend(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, old := range l.past {
		if now.Sub(time.Unix(old.Pace.At, 0)) > boundsFor {
			delete(l.past, key)
		}
	}
}

// all is every lesson there is.
func (l *lessons) all(now time.Time) []lesson {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]lesson, 0, len(l.past)+len(l.sites))
	for _, old := range l.past {
		list = append(list, old)
	}
	for _, s := range l.sites {
		if now, ok := s.lesson(now); ok {
			list = append(list, now)
		}
	}
	return list
}

// lesson is what s has taught; false: nothing that still holds.
func (s *Site) lesson(now time.Time) (lesson, bool) {
	pace, ok := s.pace.Learned(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := lesson{Site: s.Key, Pace: pace, Bounds: s.bounds.inForce(now)}
	if s.source != nil {
		l.Source = s.source.Name()
	}
	l.Pace.At = now.Unix()
	return l, ok || l.Bounds != bounds{}
}

// Learned is what sites have taught, for Recall after a restart.
func (m *Manager) Learned() []byte {
	data, err := json.Marshal(m.lessons.all(time.Now()))
	if err != nil {
		return nil // cannot be: lessons are text and numbers
	}
	return data
}

// Recall takes back what Learned returned before the restart. It comes before Run.
func (m *Manager) Recall(kept []byte) error {
	if len(kept) == 0 {
		return nil
	}
	var list []lesson
	if err := json.Unmarshal(kept, &list); err != nil {
		return err
	}
	m.lessons.mu.Lock()
	defer m.lessons.mu.Unlock()
	for _, old := range list {
		m.lessons.put(lessonName(old.Site, old.Source), old)
	}
	return nil
}
