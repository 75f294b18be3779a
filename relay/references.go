package relay

import "slices"

// maxReferences is how many wrappers of one campaign a new message is compared with: variants, encoders and character sets make
// two to six forms of a campaign.
const maxReferences = 8

// replaceEvery is how many messages a flow with maxReferences wrappers has between two new ones, as long as one of the old ones does
// badly: the next newsletter of a list gets a wrapper of its own, and a flow of many forms does not make one for each message.
const replaceEvery = 16

// References are the wrappers with which new messages of one flow are compared, and what mail of the flow takes in memory. The zero
// References is ready. The mutex of the Wrappers guards it.
type References struct {
	name  FlowName
	list  []*Wrapper // the one used last comes first
	made  int        // wrappers, in all
	since int        // messages, since the last was made
	size  WrapperSize
}

// WrapperSize says how much of a flow's mail is held once.
type WrapperSize struct {
	Wrappers int64 `json:"wrappers"`
	Messages int64 `json:"messages"`
	Whole    int64 `json:"bytes"`    // of the messages as they were taken
	Shared   int64 `json:"shared"`   // bytes of the wrappers
	Personal int64 `json:"personal"` // bytes of the messages' own parts
}

// count adds n messages like c.
func (r *References) count(c *Content, n int64) {
	r.size.Messages += n
	r.size.Whole += n * c.Size()
	r.size.Personal += n * int64(len(c.part))
}

// countWrapper adds n wrappers like wr.
func (r *References) countWrapper(wr *Wrapper, n int64) {
	r.size.Wrappers += n
	r.size.Shared += n * int64(len(wr.view))
}

// first puts wr at the front of the list, if it is there.
func (r *References) first(wr *Wrapper) {
	if i := slices.Index(r.list, wr); i > 0 {
		copy(r.list[1:], r.list[:i])
		r.list[0] = wr
	}
}

// rest reports whether some wrapper of the list has no message.
func (r *References) rest() bool {
	return slices.ContainsFunc(r.list, func(wr *Wrapper) bool { return !wr.rests.IsZero() })
}

// drop takes wr off the list, if it is there.
func (r *References) drop(wr *Wrapper) {
	r.list = slices.DeleteFunc(r.list, func(x *Wrapper) bool { return x == wr })
}
