package letters

import "fmt"

// halves: the same campaign with two texts, one for each half of the readers.
func halves(links int) Shape {
	p := author("halves", english)
	var pages [2]page
	for i := range pages {
		pages[i] = compile(p.html(16_000, links))
	}
	return Shape{"a-b", func(l *letter) {
		l.simple("text/html; charset=utf-8", "quoted-printable", quoted(pages[l.variant(2)].fill(l, tracked), 76))
	}}
}

// encoders: one text, sent by servers that wrap its lines differently and use other encodings.
func encoders(links int) Shape {
	html := compile(author("encoders", german).html(13_500, links))
	return Shape{"encoders", func(l *letter) {
		text := html.fill(l, tracked)
		const kind = "text/html; charset=utf-8"
		switch l.variant(6) {
		case 0:
			l.simple(kind, "quoted-printable", quoted(text, 76))
		case 1:
			l.simple(kind, "quoted-printable", quoted(text, 73))
		case 2:
			l.simple(kind, "quoted-printable", goQuoted(text))
		case 3:
			l.simple(kind, "base64", base64Lines(text, 76))
		case 4:
			l.simple(kind, "base64", base64Lines(text, 60))
		case 5:
			l.simple(kind, "8bit", text)
		}
	}}
}

// charsets: one text in several character sets.
func charsets(links int) Shape {
	html := compile(author("charsets", german).html(14_500, links))
	return Shape{"charsets", func(l *letter) {
		text := html.fill(l, tracked)
		switch l.variant(4) {
		case 0:
			l.simple("text/html; charset=utf-8", "quoted-printable", quoted(text, 76))
		case 1:
			l.simple("text/html; charset=iso-8859-1", "8bit", latin1(text))
		case 2:
			l.simple("text/html; charset=iso-8859-15", "quoted-printable", quoted(latin1(text), 76))
		case 3:
			l.simple("text/html; charset=utf-8", "base64", base64Lines(text, 76))
		}
	}}
}

// languages: five translations of one campaign.
func languages(links int) Shape {
	var pages [5]page
	for i := range pages {
		words := english
		if i%2 > 0 {
			words = german
		}
		pages[i] = compile(author(fmt.Sprint("language ", i), words).html(16_000, links))
	}
	return Shape{"languages", func(l *letter) {
		l.simple("text/html; charset=utf-8", "quoted-printable", quoted(pages[l.variant(5)].fill(l, tracked), 76))
	}}
}

// tenParts: a text, a page, six pictures, an appointment and a card of the reader.
func tenParts(links int) Shape {
	p := author("ten parts", english)
	text, html := compile(p.text(1500, 0)), compile(p.html(5500, min(links, 6)))
	var pictures [6][]byte
	for i := range pictures {
		pictures[i] = random(p.rng, 700+100*i)
	}
	return Shape{"ten-part", func(l *letter) {
		outer, inner := "outer_"+hexes(l.rng, 24), "inner_"+hexes(l.rng, 24)
		l.head(outer, "mixed", "Your ticket")
		l.add("--%s\r\nContent-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n", outer, inner)
		l.part(inner, "text/plain; charset=UTF-8", "quoted-printable", "")
		l.out = append(l.out, quoted(text.fill(l, tracked), 76)...)
		l.add("\r\n")
		l.part(inner, "text/html; charset=UTF-8", "base64", "")
		l.out = append(l.out, base64Lines(html.fill(l, tracked), 76)...)
		l.close(inner)
		for i, picture := range pictures {
			l.part(outer, "image/png", "base64", fmt.Sprintf("Content-ID: <picture%d@shop.example>\r\nContent-Disposition: inline\r\n", i))
			l.out = append(l.out, base64Lines(picture, 76)...)
		}
		l.part(outer, "text/calendar; charset=UTF-8; method=PUBLISH", "base64", "Content-Disposition: attachment; filename=date.ics\r\n")
		l.out = append(l.out, base64Lines(l.appointment("PUBLISH"), 76)...)
		card := fmt.Appendf(nil, "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:%s %s\r\nEMAIL:%s\r\nEND:VCARD\r\n", l.to.first, l.to.last, l.to.address)
		l.part(outer, "text/vcard; charset=UTF-8", "quoted-printable", "Content-Disposition: attachment; filename=card.vcf\r\n")
		l.out = append(l.out, quoted(card, 76)...)
		l.close(outer)
	}}
}

// invitation: a request of a calendar, once as a part and once as an attachment, half of it with another organiser.
func invitation() Shape {
	p := author("invitation", german)
	var pages [2]page
	for i := range pages {
		pages[i] = compile(p.html(13_000, 0))
	}
	return Shape{"calendar", func(l *letter) {
		boundary := "000000000000" + hexes(l.rng, 16)
		calendar := l.appointment("REQUEST")
		l.head(boundary, "mixed", "Einladung")
		l.part(boundary, "text/html; charset=UTF-8", "quoted-printable", "")
		l.out = append(l.out, quoted(pages[l.variant(2)].fill(l, tracked), 76)...)
		l.add("\r\n")
		l.part(boundary, "text/calendar; charset=UTF-8; method=REQUEST", "7bit", "")
		l.out = append(l.out, calendar...)
		l.part(boundary, "application/ics; name=\"invite.ics\"", "base64", "Content-Disposition: attachment; filename=\"invite.ics\"\r\n")
		l.out = append(l.out, base64Lines(calendar, 76)...)
		l.close(boundary)
	}}
}

// appointment is a calendar of one entry (RFC 5545).
func (l *letter) appointment(method string) []byte {
	return fmt.Appendf(nil, "BEGIN:VCALENDAR\r\nPRODID:-//Shop//Calendar//EN\r\nVERSION:2.0\r\nMETHOD:%s\r\nBEGIN:VEVENT\r\n"+
		"DTSTART:20250401T160000Z\r\nDTEND:20250401T173000Z\r\nDTSTAMP:%s\r\nORGANIZER;CN=Shop:mailto:service@shop.example\r\n"+
		"UID:%s@shop.example\r\nATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE\r\n ;CN=%s;X-NUM-GUESTS=0:mailto:%s\r\n"+
		"DESCRIPTION:An evening about books\\, bread and gardens.\r\nLOCATION:Shop\r\nSEQUENCE:0\r\nSTATUS:CONFIRMED\r\nSUMMARY:Evening\r\n"+
		"END:VEVENT\r\nEND:VCALENDAR\r\n", method, l.date().UTC().Format("20060102T150405Z"), l.to.uuid, l.to.first, l.to.address)
}

// simple is a message of one part.
func (l *letter) simple(kind, encoding string, body []byte) {
	l.received()
	l.sign("shop.example", "Date:From:To:Message-ID:Subject:MIME-Version:Content-Type:Content-Transfer-Encoding")
	l.add("Date: %s\r\nFrom: Shop <service@shop.example>\r\nTo: %s <%s>\r\n", l.date().Format(dateForm), l.name(), l.to.address)
	l.add("Message-ID: <%s@app7.shop.example>\r\nSubject: What is new in %s\r\nMIME-Version: 1.0\r\n", hexes(l.rng, 32), ascii(l.to.town))
	l.add("Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\nList-Unsubscribe: <%s>\r\n\r\n", kind, encoding, tracked(l, -1))
	l.out = append(l.out, body...)
	l.add("\r\n")
}

// variant is which of n forms the reader gets. Neighbours get different ones, and no order can be relied on.
func (l *letter) variant(n int) int { return l.rng.IntN(n) }
