package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// The acts in force as one block of JSON. Its version changes with its meaning: an older daemon must not guess what a newer one held.

const blockVersion = 1

// block is what is stored.
type block struct {
	Version int        `json:"version"`
	Drain   *blockAct  `json:"drain,omitempty"`
	Acts    []blockAct `json:"acts,omitempty"` // holds, releases and pauses, in the order in which they were given
}

// blockAct is one act of it.
type blockAct struct {
	Act
	At  time.Time `json:"at"`
	IDs []ID      `json:"ids,omitempty"` // of the messages that the selector's id stood for
}

// store makes decrees and a drain durable.
func (l *Lever) store(all []*decree, dr *drain) error {
	if l.deps.Store == nil {
		return nil
	}
	text, err := encodeBlock(all, dr)
	if err == nil {
		err = l.deps.Store(text)
	}
	if err != nil {
		return fmt.Errorf("nothing was done, because it cannot be made to outlast a restart: %w", err)
	}
	return nil
}

func encodeBlock(all []*decree, dr *drain) ([]byte, error) {
	b := block{Version: blockVersion}
	for _, d := range all {
		b.Acts = append(b.Acts, blockAct{d.act, d.at, d.ids})
	}
	if dr != nil {
		b.Drain = &blockAct{Act: dr.act, At: dr.at}
	}
	return json.Marshal(b)
}

// Recall puts in force again what was stored, before mail is restored. unread is why it could not be read. Nobody knows then what an
// admin wants to be held, so that all mail of before is held until its release, and the error says so.
func (l *Lever) Recall(text []byte, unread error) error {
	all, dr, err := l.decodeBlock(text)
	if err = errors.Join(unread, err); err != nil {
		why := Act{Verb: VerbHold, Reason: "what was held and paused before this start cannot be read"}
		all, dr = []*decree{l.newDecree(why, nil, time.Now())}, nil
		err = fmt.Errorf("%s; all mail of before waits for its release: %w", why.Reason, err)
	}
	l.impose(all)
	l.queues.drain.Store(dr)
	return err
}

// decodeBlock reads what encodeBlock wrote; nothing at all is no acts.
func (l *Lever) decodeBlock(text []byte) (all []*decree, dr *drain, err error) {
	if len(text) == 0 {
		return nil, nil, nil
	}
	var b block
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	switch err := d.Decode(&b); {
	case err != nil:
		return nil, nil, err
	case b.Version != blockVersion:
		return nil, nil, fmt.Errorf("version %d is not %d", b.Version, blockVersion)
	case len(b.Acts) > maxDecrees:
		return nil, nil, fmt.Errorf("%d acts are more than %d", len(b.Acts), maxDecrees)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("something stands behind its end")
	}
	for _, a := range b.Acts {
		if err := a.valid(VerbHold, VerbRelease, VerbPause); err != nil {
			return nil, nil, err
		}
		all = append(all, l.newDecree(a.Act, a.IDs, a.At))
	}
	if b.Drain == nil {
		return all, nil, nil
	}
	if err := b.Drain.valid(VerbDrain); err != nil {
		return nil, nil, err
	}
	return all, l.newDrain(b.Drain.Act, b.Drain.At), nil
}

// valid returns what is wrong with a stored act. Its end may be over by now.
func (a blockAct) valid(verbs ...Verb) error {
	for _, v := range verbs {
		if a.Verb == v && !a.DryRun {
			return a.Validate(time.Time{})
		}
	}
	return &ActError{"verb", fmt.Sprintf("%q cannot be in force", a.Verb)}
}
