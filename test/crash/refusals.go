package main

import (
	"sync"
	"time"
)

// refusals remembers when recipients were refused.
type refusals struct {
	mu    sync.Mutex
	first map[string]time.Time
}

func newRefusals() *refusals { return &refusals{first: make(map[string]time.Time)} }

// refuse is the receivers' answer to a recipient.
func (r *refusals) refuse(rcpt string) bool {
	if !isRefused(rcpt) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.first[rcpt]; !ok {
		r.first[rcpt] = time.Now()
	}
	return true
}

// since is when rcpt was refused for the first time.
func (r *refusals) since(rcpt string) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.first[rcpt]
	return t, ok
}
