package snapshot

import (
	"fmt"

	"github.com/hashicorp/go-hclog"
)

// healer decides what is lost when the disk fails, and goes on elsewhere. It runs on the writer goroutine only.
//
// Rules: a failed fsync is never retried, and a broken segment is never written to again. What is lost with it was refused,
// or is still in RAM and is written again into the next segment, whose header says where the broken one ends.
type healer struct {
	tape *tape
	book *ledger
	log  hclog.Logger
}

// fail gives up b, the commit that could not be written, or nil when a sync failed, and tries to go on in a new segment. It
// returns err with the place.
func (h *healer) fail(b *batch, err error) error {
	err = fmt.Errorf("journal: %w", withNameNow(h.tape.seg, err))
	h.collapse(b, err)
	h.heal()
	return err
}

// collapse undoes the failed commit b and the commit that was filling up behind it; if the segment is broken, also all
// commits written but not synced. A message not yet acknowledged is dropped and its door gets err; acknowledged messages
// and all outcomes stay in RAM for the next segment.
func (h *healer) collapse(b *batch, err error) {
	var lost []*batch
	if h.tape.seg.broken {
		lost = h.tape.letGo()
		h.tape.uncount(lost)
	}
	if b != nil {
		lost = append(lost, b)
	}
	if h.book.collapse(lost, b, err) {
		h.log.Error("journal cannot be written; no mail is taken until it can", "file", segmentName(h.tape.seg.number), "error", err)
	}
}

// heal tries to go on in a new segment. A broken segment is left at once; a full disk is tried again at each pulse. Nothing is
// healed after the journal was deleted: a new file in a deleted directory would hold nothing either.
func (h *healer) heal() {
	next, may := h.book.retry()
	if !may {
		return
	}
	if !h.tape.seg.broken {
		// What is written and not synced lies in the segment that is left. If this sync fails, it is lost with that segment,
		// and is among what the next try writes again.
		if err := h.tape.sync(); err != nil {
			h.collapse(nil, fmt.Errorf("journal: %w", err))
		}
	}
	journal := &h.tape.cfg.Journal
	sizes := journal.takingSizes()
	if h.tape.seg.broken {
		// What waits can be sent only while its outcomes are recorded, and only what is sent makes room.
		sizes = append(sizes, journal.outcomeSizes(h.book.gathered())...)
	}
	if err := h.tape.advance(next, sizes); err != nil {
		return
	}
	takes := h.tape.takesMail(next)
	again := h.book.resume(next, takes)
	h.log.Info("journal can be written again", "file", segmentName(next.number), "messages_again", again, "takes_mail", takes)
}
