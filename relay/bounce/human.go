package bounce

import (
	"bytes"
	"fmt"
)

// human writes the part for people: each recipient, the server's own words, and an address for questions. Most senders read
// nothing else of a notification.
func (r *Report) human(s script) part {
	var b bytes.Buffer
	paragraph(&b, "", "This is the mail system of "+r.Hostname+".")
	b.WriteString("\r\n")
	paragraph(&b, "", verdicts[r.Failures[0].Action]+countNote(len(r.Failures)))
	for _, f := range r.Failures {
		b.WriteString("\r\n")
		paragraph(&b, "  ", "<"+s.shown(r.Message.Rcpt(f.Rcpt).Addr)+">")
		paragraph(&b, "      ", f.introduction())
		paragraph(&b, "      ", f.words(s))
	}
	b.WriteString("\r\n")
	paragraph(&b, "", fmt.Sprintf("Attached is your message or its header. For help write to %s and quote %s.",
		s.clean(r.Postmaster), asciiOnly.clean(r.Message.Name())))
	return part{"text/plain; charset=" + s.charset(), "Notification", b.Bytes()}
}

// verdicts open the text. Many readers stop after one sentence, so it says whether the mail must be sent again. A program
// that does not know the part for programs searches the text for sentences of other mail systems, and takes any address
// behind one for the failed one, also an address in a receiver's words: no such sentence may stand here.
var verdicts = [...]string{
	Failed:    "Your message was not delivered. It will not be tried again.",
	Expired:   "Your message was not delivered. It will not be tried again.",
	Delayed:   "Your message was not delivered yet. It will be tried again; you need not send it again.",
	Relayed:   "Your message was passed on to a server that sends no further reports.",
	Delivered: "Your message was delivered.",
}

// countNote says how many recipients the report is about.
func countNote(n int) string {
	if n == 1 {
		return " This is about one recipient:"
	}
	return fmt.Sprintf(" This is about %d recipients:", n)
}

// introduction names the author of the words that follow: the sender must not take a receiver's words for ours.
func (f Failure) introduction() string {
	before, verb := "", " said:"
	switch f.Action {
	case Expired:
		before, verb = "Repeated attempts failed until its time was up. ", " said at last:"
	case Delayed:
		before, verb = "The last attempt failed. ", " said:"
	}
	if !f.remote() {
		return before + "The reason:"
	}
	return before + "The server " + asciiOnly.clean(remoteHost(f.Relay)) + verb
}

func (s script) charset() string {
	if s == withUTF8 {
		return "utf-8"
	}
	return "us-ascii"
}
