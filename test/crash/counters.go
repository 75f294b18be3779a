package main

// balanced compares what the daemon has counted with the mail log. Each line about a recipient who has got his mail counts as sent. A kill
// may cost the count of a delivery that is then made again and has two lines, or that an admin has taken the message of.
func (all *sums) balanced(r *Result) {
	t, lines, doubtful := &all.counted, count(all.lines), 0
	for rcpt, n := range all.lines {
		if all.doubt[rcpt] || n > 1 {
			doubtful += n
		}
	}
	if sent := int(t.Sent); sent > lines || sent < lines-doubtful {
		r.violate("counted: %d recipients sent, and the mail log has %d lines, %d of them in doubt", sent, lines, doubtful)
	}
	if ended := t.Sent + t.Bounced + t.Expired + t.HandedBack + t.Suppressed + t.Deleted; ended < t.Recipients {
		r.violate("counted: %d recipients taken, and only %d ended", t.Recipients, ended)
	}
	r.note("counted: %d messages, %d recipients, %d sent, %d bounced, %d expired, %d handed back, %d deleted", t.Messages, t.Recipients, t.Sent, t.Bounced,
		t.Expired, t.HandedBack, t.Deleted)
}
