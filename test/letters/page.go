package letters

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// page is the text of a campaign, with places for what differs from reader to reader.
type page []span

// span is a text, followed by what fills the place behind it.
type span struct {
	text string
	fill string // "" behind the last text
	link int    // which of the links
}

// compile reads a text with places in braces: {first}, {last}, {town}, {address}, {link}, {leave}.
func compile(text string) page {
	var p page
	links := 0
	for {
		before, rest, found := strings.Cut(text, "{")
		if !found {
			return append(p, span{text: before})
		}
		fill, after, _ := strings.Cut(rest, "}")
		s := span{text: before, fill: fill}
		if fill == "link" {
			s.link = links
			links++
		}
		p, text = append(p, s), after
	}
}

// linker makes the personal address behind link k; k < 0 is the one to unsubscribe.
type linker func(l *letter, k int) string

// fill is the page for l's reader.
func (p page) fill(l *letter, link linker) []byte {
	b := make([]byte, 0, 20<<10)
	for _, s := range p {
		b = append(b, s.text...)
		switch s.fill {
		case "first":
			b = append(b, l.to.first...)
		case "last":
			b = append(b, l.to.last...)
		case "town":
			b = append(b, l.to.town...)
		case "address":
			b = append(b, l.to.address...)
		case "link":
			b = append(b, link(l, s.link)...)
		case "leave":
			b = append(b, link(l, -1)...)
		}
	}
	return b
}

// prose makes sentences of an author's words.
type prose struct {
	rng   *rand.Rand
	words []string
}

var english = strings.Fields(`about above across after again against all along already also although always among another any around
	autumn back because become before begin behind below best better between book both bread bring build business call came carry
	change children city clear close coffee cold come common company country course cover customer cut day deal delivery discount
	discover door down during each early earth easy eight end enough even evening every example exclusive eye face family far few
	field final find first five follow food form found four free fresh friend from full garden gave general gift give glass good
	great green ground group guide half hand happy hard have head heard help here high holiday home hour house hundred idea inside
	just keep kind kitchen know land large last later leave left less letter life light like line list little live long look made
	make many market mean member men might mind minute mother mountain move much must name near need never new newsletter next night
	north note nothing now number offer often old once only open order other our out over own page paper part people perhaps piece
	place plan plant play point price product put question quick quite rain read really recipe rest right river road room round sale
	same school season second see seem selection sentence set seven shop short should show side simple since six small some something
	soon sound spring stand start state still stop story street study such summer sure table take talk tea tell ten than that their
	them then there these they thing think this those thought three through time today together too top toward town travel tree true
	try turn twelve two under until upon use very voucher walk want warm watch water way week weekend well went what when where which
	while white whole why wide winter with without woman wood word work world would write year young your`)

var german = strings.Fields(`aber alle als an auch auf aus bei bereits beste Bestellung bis Brot Bücher Büro da damit danach dann das
	denn der dieses doch dort drei durch Einführung ein eine einfach Einkauf einmal er erst es etwas für Frühling früher Frühstück
	fünf Fuß Gärten ganz gegen geöffnet Geschäft Geschenk gestern groß Größe grün gut haben Häuser heute hier hören ihr im immer in
	ist ja jeder jetzt Kaffee kann kein Küche können lange leider letzte Liebe machen mehr mit möchten Möglichkeit morgen müssen nach
	Nächte natürlich neu nicht noch nun nur oben oder öffnen ohne Öl Ort persönlich Preis prüfen Qualität Rabatt Räume Reise richtig
	ruhig schließlich schon schön sehr sein seit Seite sie sind so Sommer später Straße Stück Süden täglich Tee tun über überall und
	ungefähr uns unter Verfügung verlängert viel vielleicht von vor während Wälder wann wäre warum was Weg weil weiß weiter welche
	wenn wer wie wieder wir wird wo wohl Woche wünschen würde zahlen zehn Zeit zu Zubehör zum zurück zusammen zwei zwischen zwölf`)

func (p prose) sentence() string {
	var b strings.Builder
	for i, n := 0, 5+p.rng.IntN(14); i < n; i++ {
		w := pick(p.rng, p.words)
		switch {
		case i == 0:
			_, n := utf8.DecodeRuneInString(w)
			w = strings.ToUpper(w[:n]) + w[n:]
		case p.rng.IntN(12) == 0:
			w = ", " + w
		case p.rng.IntN(40) == 0:
			w = fmt.Sprintf(" %d", 2+p.rng.IntN(400))
		default:
			w = " " + w
		}
		b.WriteString(w)
	}
	return b.String() + "."
}

func (p prose) paragraph(sentences int) string {
	s := make([]string, sentences)
	for i := range s {
		s[i] = p.sentence()
	}
	return strings.Join(s, " ")
}

// html is a page of a newsletter, about size bytes, a place for a link in each of its first blocks.
func (p prose) html(size, links int) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\r\n<html>\r\n<head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\" />\r\n" +
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1.0\" />\r\n<title>" + p.sentence() + "</title>\r\n" +
		"<style type=\"text/css\">\r\nbody { margin: 0; padding: 0; background-color: #f0f1f3; font-family: Helvetica, Arial, sans-serif; }\r\n" +
		".wrap { background-color: #fff; padding: 30px; max-width: 525px; margin: 0 auto; border-radius: 5px; }\r\n" +
		".button { background: #0055d4; border-radius: 3px; color: #fff !important; display: inline-block; padding: 10px 30px; }\r\n" +
		"</style>\r\n</head>\r\n<body>\r\n<table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\">\r\n" +
		"<tr><td class=\"wrap\">\r\n<h1>" + p.sentence() + "</h1>\r\n<p>Dear {first} {last},</p>\r\n")
	each := max(0, size-1900) / max(links, size/900) // bytes for a block
	for k := 0; b.Len() < size-500; k++ {
		p.block(&b, k, k < links, b.Len()+each)
	}
	b.WriteString("</td></tr>\r\n<tr><td style=\"font-size: 12px; color: #888;\">\r\n<p>This was sent to {address}, {town}. " +
		"<a href=\"{leave}\" style=\"color: #888;\">Unsubscribe</a></p>\r\n</td></tr>\r\n</table>\r\n</body>\r\n</html>\r\n")
	return b.String()
}

// block writes a heading, a text up to the given length of b, and a link.
func (p prose) block(b *strings.Builder, k int, personal bool, until int) {
	link := fmt.Sprintf("https://www.shop.example/p/%d", 1000+k*37)
	if personal {
		link = "{link}"
	}
	fmt.Fprintf(b, "<tr><td style=\"padding: 12px 0; line-height: 1.5em;\">\r\n<h2 style=\"color: #%06x;\">%s</h2>\r\n<p>", p.rng.IntN(1<<24), p.sentence())
	for b.Len() < until-300 {
		b.WriteString(p.sentence() + " ")
	}
	fmt.Fprintf(b, "</p>\r\n<a class=\"button\" href=\"%s\" target=\"_blank\">%s</a>\r\n</td></tr>\r\n", link, p.sentence())
}

// text is the same as a text, lines wrapped.
func (p prose) text(size, links int) string {
	var b strings.Builder
	b.WriteString("Dear {first} {last},\r\n\r\n")
	for k := 0; b.Len() < size-200 || k < links; k++ {
		b.WriteString(wrap(p.paragraph(1+p.rng.IntN(4)), 72) + "\r\n")
		if k < links {
			b.WriteString("  {link}\r\n")
		}
		b.WriteString("\r\n")
	}
	b.WriteString("-- \r\nThis was sent to {address}.\r\nUnsubscribe: {leave}\r\n")
	return b.String()
}

// wrap breaks s into lines.
func wrap(s string, width int) string {
	var b strings.Builder
	column := 0
	for _, w := range strings.Fields(s) {
		if column > 0 && column+1+len(w) > width {
			b.WriteString("\r\n")
			column = 0
		} else if column > 0 {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(w)
		column += len(w)
	}
	return b.String()
}
