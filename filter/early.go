package filter

// EndsAtMail reports whether a rule can pass mail at MAIL, before its header. Where none can, a door learns nothing by asking then.
// What no rule ever takes, mail from the null sender for instance, does not count: the end of the header is early enough for it.
func (f *Filter) EndsAtMail() bool {
	for _, r := range f.rules {
		always := len(r.connect) == 0 && len(r.mail) == 0
		switch {
		case r.take && always: // nothing behind it is reached, or waits for the header anyway
			return false
		case !r.take && r.header == nil:
			return true
		}
	}
	return true
}
