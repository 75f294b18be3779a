package filter

// EndsAtMail reports whether a rule can pass mail at MAIL, before its header. Where none can, a door learns nothing by asking then.
// What no rule ever takes, mail from the null sender for instance, does not count: the end of the header is early enough for it.
// Nor does a rule that looks at the client or the listener alone: where it decides, it has done so when the client connected.
func (f *Filter) EndsAtMail() bool {
	chosen := false // by sender, login or macro, from a client whose other mail nobody wants
	for _, r := range f.rules {
		picks := len(r.mail) > 0
		switch {
		case r.take && !picks && len(r.connect) == 0: // nothing behind it is reached, or waits for the header anyway
			return false
		case !r.take && r.header == nil && (picks || chosen):
			return true
		}
		chosen = chosen || r.take && picks
	}
	return chosen
}
