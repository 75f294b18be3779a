package letters

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// author is whose words a campaign has.
func author(name string, words []string) prose {
	return prose{rand.New(rand.NewPCG(seedOf(name), 0)), words}
}

// listmonk: quoted-printable as Go writes it, a boundary of sixty random hex digits, the fields of the header in any order (they
// are a Go map there), the subscriber's UUID in each link, opendkim's signature.
func listmonk(links int) Shape {
	p := author("listmonk", english)
	text, html := compile(p.text(2600, 0)), compile(p.html(15_500, links))
	link := func(l *letter, k int) string {
		if k < 0 {
			return "https://list.shop.example/subscription/6c5f4a52-9f0e-4d13-a2c4-0f6a5d1c7b11/" + l.to.uuid
		}
		return fmt.Sprintf("https://list.shop.example/link/%08x-77aa-4c1e-9b53-5d0c2f%06d/6c5f4a52-9f0e-4d13-a2c4-0f6a5d1c7b11/%s",
			0x9e3779b1*uint32(k+1), k*7919, l.to.uuid)
	}
	return Shape{"listmonk", func(l *letter) {
		boundary := hexes(l.rng, 60)
		l.received()
		l.sign("shop.example", "Date:From:To:Subject:List-Unsubscribe:List-Unsubscribe-Post:From")
		fields := []string{
			"To: " + l.to.address,
			"From: =?UTF-8?q?B=C3=BCcher?= <news@shop.example>",
			"Subject: Your books for the weekend",
			"Message-Id: <" + digits(l.rng, 19) + "." + digits(l.rng, 5) + "." + digits(l.rng, 19) + "@app.shop.example>",
			"Date: " + l.date().Format(dateForm),
			"Mime-Version: 1.0",
			"Content-Type: multipart/alternative;\r\n boundary=" + boundary,
			"List-Unsubscribe: <" + link(l, -1) + ">",
			"List-Unsubscribe-Post: List-Unsubscribe=One-Click",
			"X-Listmonk-Campaign: 6c5f4a52-9f0e-4d13-a2c4-0f6a5d1c7b11",
			"X-Listmonk-Subscriber: " + l.to.uuid,
			"Precedence: bulk",
		}
		l.rng.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		for _, f := range fields {
			l.add("%s\r\n", f)
		}
		l.add("\r\n")
		l.part(boundary, "text/plain; charset=UTF-8", "quoted-printable", "")
		l.out = append(l.out, goQuoted(text.fill(l, link))...)
		l.add("\r\n")
		l.part(boundary, "text/html; charset=UTF-8", "quoted-printable", "")
		l.out = append(l.out, goQuoted(html.fill(l, link))...)
		l.add("\r\n")
		l.close(boundary)
	}}
}

// mautic: the page is one long line, quoted-printable as PHP writes it. All links of one reader end in the same long token.
func mautic(links int) Shape {
	p := author("mautic", german)
	text, html := compile(p.text(1200, 0)), compile(oneLine(p.html(13_500, links)))
	link := func(l *letter, k int) string {
		hash := l.to.uuid[:8] + l.to.uuid[24:] // 20 digits, the same in all links
		if k < 0 {
			return "https://m.shop.example/email/unsubscribe/" + hash
		}
		token := fmt.Appendf(nil, `a:5:{s:6:"source";a:2:{i:0;s:5:"email";i:1;i:412;}s:5:"email";i:412;s:4:"stat";s:20:"%s";s:4:"lead";s:6:"%d";}`,
			hash, l.to.id)
		return fmt.Sprintf("https://m.shop.example/r/%08xb4a7ce1f?ct=%s", 0x85ebca6b*uint32(k+1), base64.RawURLEncoding.EncodeToString(token))
	}
	return Shape{"mautic", func(l *letter) {
		boundary := "=_symfony_" + digits(l.rng, 10) + "_" + hexes(l.rng, 32)
		l.received()
		l.sign("shop.example", "From:Subject:To:Date:Message-ID:MIME-Version:Content-Type:List-Unsubscribe")
		l.add("From: =?utf-8?Q?G=C3=A4rtnerei?= Shop <garten@shop.example>\r\nTo: %s <%s>\r\n", l.name(), l.to.address)
		l.add("Subject: =?utf-8?Q?Fr=C3=BChling?= im Garten, %s\r\n", l.name())
		l.add("Date: %s\r\nMessage-ID: <%s@shop.example>\r\n", l.date().Format(dateForm), hexes(l.rng, 32))
		l.add("List-Unsubscribe: <%s>,\r\n <mailto:garten+unsubscribe_%s@shop.example>\r\n", link(l, -1), hexes(l.rng, 20))
		l.add("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nPrecedence: Bulk\r\nX-EMAIL-ID: 412\r\nMIME-Version: 1.0\r\n")
		l.add("Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n", boundary)
		l.part(boundary, "text/plain; charset=utf-8", "quoted-printable", "")
		l.out = append(l.out, quoted(text.fill(l, link), 76)...)
		l.add("\r\n")
		l.part(boundary, "text/html; charset=utf-8", "quoted-printable", "")
		l.out = append(l.out, quoted(html.fill(l, link), 76)...)
		l.add("\r\n")
		l.close(boundary)
	}}
}

// phplist: 8bit, no signature, PHPMailer's boundaries; the reader's number stands at the end of each link's masked token.
func phplist(links int) Shape {
	p := author("phplist", german)
	text, html := compile(p.text(3000, 0)), compile(p.html(15_500, links))
	link := func(l *letter, k int) string {
		if k < 0 {
			return "https://lists.shop.example/?p=unsubscribe&uid=" + l.to.uuid[:8] + l.to.uuid[24:] + "f01dab1e0c0a"
		}
		masked := fmt.Sprintf("H|%08x%08x|88|%d", 0xc2b2ae35*uint32(k+1), 0x27d4eb2f*uint32(k+5), l.to.id)
		return "https://lists.shop.example/lt.php?tid=" + base64.RawStdEncoding.EncodeToString([]byte(masked))
	}
	return Shape{"phplist", func(l *letter) {
		id := hexes(l.rng, 32)
		l.received()
		l.add("Date: %s\r\nTo: %s\r\nFrom: Shop <news@shop.example>\r\n", l.date().Format(dateForm), l.to.address)
		l.add("Subject: =?UTF-8?Q?Sommer_ist_zur=C3=BCck?=\r\nMessage-ID: <%s@lists.shop.example>\r\n", id)
		l.add("X-Mailer: phplist v3.6.15\r\nX-MessageID: 88\r\nX-ListMember: %s\r\nPrecedence: bulk\r\n", l.to.address)
		l.add("List-Help: <https://lists.shop.example/?p=preferences>\r\nList-Unsubscribe: <%s&jo=1>\r\n", link(l, -1))
		l.add("MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary=\"b1_%s\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", id)
		l.add("This is a multi-part message in MIME format.\r\n\r\n")
		l.part("b1_"+id, "text/plain; charset=utf-8", "8bit", "")
		l.out = append(l.out, text.fill(l, link)...)
		l.add("\r\n")
		l.part("b1_"+id, "text/html; charset=utf-8", "8bit", "")
		l.out = append(l.out, html.fill(l, link)...)
		l.add("\r\n")
		l.close("b1_" + id)
	}}
}

// mailman: plain text, personal in its envelope and its footer.
func mailman(links int) Shape {
	p := author("mailman", english)
	text := compile(strings.Replace(p.text(18_500, links), "{first} {last}", "reader", 1)) // a name may not be in ASCII
	link := func(l *letter, k int) string {
		if k < 0 {
			return fmt.Sprintf("https://lists.shop.example/options/readers/%s", l.to.address)
		}
		return fmt.Sprintf("https://lists.shop.example/archive/%d?m=%d", 4000+13*k, l.to.id)
	}
	return Shape{"mailman", func(l *letter) {
		l.received()
		l.add("Received: from lists.shop.example (localhost [127.0.0.1])\r\n\tby lists.shop.example (Postfix) with ESMTP id %s;\r\n\t%s\r\n",
			l.queueID(), l.date().Format(dateForm))
		l.add("X-Original-To: readers@lists.shop.example\r\nDelivered-To: readers@lists.shop.example\r\n")
		l.add("From: Editor <editor@shop.example>\r\nTo: readers@lists.shop.example\r\nDate: Tue, 4 Mar 2025 05:00:01 +0100\r\n")
		l.add("Message-ID: <20250304050001.GA4711@shop.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n")
		l.add("Content-Transfer-Encoding: 7bit\r\nSubject: [Readers] What we read in March\r\nX-BeenThere: readers@lists.shop.example\r\n")
		l.add("X-Mailman-Version: 2.1.39\r\nPrecedence: list\r\nList-Id: Readers of the shop <readers.lists.shop.example>\r\n")
		l.add("List-Unsubscribe: <%s>,\r\n <mailto:readers-request@lists.shop.example?subject=unsubscribe>\r\n", link(l, -1))
		l.add("Errors-To: readers-bounces+%s@lists.shop.example\r\nSender: \"Readers\" <readers-bounces+%s@lists.shop.example>\r\n\r\n",
			verp(l.to.address), verp(l.to.address))
		l.out = append(l.out, text.fill(l, link)...)
	}}
}

// odoo: Python's base64 in lines of 76, so that a byte more before shifts all that follows; signed.
func odoo(links int) Shape {
	p := author("odoo", german)
	text, html := compile(p.text(1800, 0)), compile(p.html(11_800, links))
	link := func(l *letter, k int) string {
		if k < 0 {
			return fmt.Sprintf("https://erp.shop.example/mailing/31/confirm_unsubscribe?document_id=%d&hash_token=%s%s",
				l.to.id, l.to.uuid[:8], l.to.uuid[24:])
		}
		return fmt.Sprintf("https://erp.shop.example/r/%c%c%c/m/%d", 'a'+k, 'Q'-k, 'b'+k/2, 2*l.to.id+90_001)
	}
	return Shape{"odoo", func(l *letter) {
		boundary := "===============" + digits(l.rng, 19) + "=="
		l.received()
		l.sign("shop.example", "Subject:From:Reply-To:To:Date:List-Unsubscribe:From")
		l.add("MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"%s\"\r\n", boundary)
		l.add("Message-Id: <%s.%s.%s-openerp-mailing-31@erp>\r\n", digits(l.rng, 15), digits(l.rng, 10), digits(l.rng, 16))
		l.add("Subject: =?utf-8?b?RsO8ciBTaWU6IGRpZSBLw7xjaGU=?=\r\nFrom: =?utf-8?q?K=C3=BCchen?= <kueche@shop.example>\r\n")
		l.add("Reply-To: kueche@shop.example\r\n")
		l.add("To: %s <%s>\r\nDate: %s\r\nX-Odoo-Objects: mailing.contact-%d\r\n", l.name(), l.to.address, l.date().Format(dateForm), l.to.id)
		l.add("List-Unsubscribe: <%s>\r\nPrecedence: list\r\nX-Auto-Response-Suppress: OOF\r\n\r\n", link(l, -1))
		l.part(boundary, "text/plain; charset=\"utf-8\"", "base64", "MIME-Version: 1.0\r\n")
		l.out = append(l.out, base64Lines(lf(text.fill(l, link)), 76)...)
		l.add("\r\n")
		l.part(boundary, "text/html; charset=\"utf-8\"", "base64", "MIME-Version: 1.0\r\n")
		l.out = append(l.out, base64Lines(lf(html.fill(l, link)), 76)...)
		l.add("\r\n")
		l.close(boundary)
	}}
}

// inhouse: a text in quoted-printable, a page in base64; signed.
func inhouse(links int) Shape {
	p := author("inhouse", english)
	text, html := compile(p.text(3500, 0)), compile(p.html(10_500, links))
	return Shape{"in-house", func(l *letter) {
		boundary := "----=_Part_" + digits(l.rng, 6) + "_" + digits(l.rng, 9) + "." + digits(l.rng, 13)
		l.head(boundary, "alternative", "Your order and what goes with it")
		l.part(boundary, "text/plain; charset=UTF-8", "quoted-printable", "")
		l.out = append(l.out, quoted(text.fill(l, tracked), 76)...)
		l.add("\r\n")
		l.part(boundary, "text/html; charset=UTF-8", "base64", "")
		l.out = append(l.out, base64Lines(html.fill(l, tracked), 76)...)
		l.close(boundary)
	}}
}

// head is the header of a mailer of one's own.
func (l *letter) head(boundary, kind, subject string) {
	l.received()
	l.sign("shop.example", "Date:From:To:Message-ID:Subject:MIME-Version:Content-Type")
	l.add("Date: %s\r\nFrom: Shop <service@shop.example>\r\nTo: %s <%s>\r\n", l.date().Format(dateForm), l.name(), l.to.address)
	l.add("Message-ID: <%s.%s.JavaMail.shop@app7>\r\nSubject: %s\r\nMIME-Version: 1.0\r\n", digits(l.rng, 9), digits(l.rng, 13), subject)
	l.add("Content-Type: multipart/%s;\r\n\tboundary=\"%s\"\r\nX-Campaign: 2025-03-order\r\nX-Customer: %d\r\n", kind, boundary, l.to.id)
	l.add("List-Unsubscribe: <%s>\r\n\r\n", tracked(l, -1))
}

// tracked is a link that ends in sixteen digits for the reader.
func tracked(l *letter, k int) string {
	return fmt.Sprintf("https://t.shop.example/c/%d?u=%s%s", 7000+k, l.to.uuid[:8], l.to.uuid[28:])
}

// verp is an address inside another (variable envelope return path).
func verp(address string) string {
	b := []byte(address)
	for i, c := range b {
		if c == '@' {
			b[i] = '='
		}
	}
	return string(b)
}
