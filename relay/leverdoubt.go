package relay

import (
	"maps"
	"sync"
)

// unsure is the questions about sites to which nobody knows the answer yet. Mail is held because of them. It has the names of domains and
// not the nodes: a question stays as long as DNS says nothing, and must keep no mail in memory meanwhile.
type unsure struct {
	mu    sync.Mutex
	asked map[siteQuestion]bool // true: the last look had an answer
}

// siteQuestion is whether the mail of a domain goes to the site of that name.
type siteQuestion struct{ domain, site string }

// add reports whether it is the first question.
func (u *unsure) add(domain, site string) (first bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if first = len(u.asked) == 0; first {
		u.asked = make(map[siteQuestion]bool)
	}
	u.asked[siteQuestion{domain, site}] = false
	return first
}

func (u *unsure) pending() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.asked) > 0
}

func (u *unsure) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = nil
}

// look asks again, and returns the domains of the questions that have an answer. A question with an answer is forgotten at the second
// look only: a node whose hold was decided before there was an answer may begin to wait after the first.
func (u *unsure) look(ask func(domain, site string) (has, known bool)) (domains map[string]bool) {
	u.mu.Lock()
	before := maps.Clone(u.asked)
	u.mu.Unlock()
	domains = make(map[string]bool)
	for q, told := range before {
		if _, known := ask(q.domain, q.site); known {
			domains[q.domain] = true
			u.answer(q, told)
		}
	}
	return domains
}

// answer notes that there is an answer to q, and forgets q if there was one at the last look too and nobody has asked in vain since.
func (u *unsure) answer(q siteQuestion, told bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now, there := u.asked[q]; told && now && there {
		delete(u.asked, q)
	} else if there {
		u.asked[q] = true
	}
}
