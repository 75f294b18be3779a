package letters

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
)

// reader is one subscriber.
type reader struct {
	first, last string
	address     string
	id          int    // row in the mailer's database
	uuid        string // of the subscriber
	town        string
}

var (
	firstNames = strings.Fields("Anna Bernhard Çelik Dörte Émile Fátima Günther Hannah Ilse Jörg Katarzyna Liv Mário Noémie Ole Petra " +
		"Quentin Rebecca Søren Thomas Ute Veronika Wolfgang Xaver Yusuf Zoë Alexander Ben Christiane Maximilian Jo Elisabeth")
	lastNames = strings.Fields("Müller Schmidt Jensen Kowalski García Dubois Rossi Nguyen Öztürk Andersson van-Dijk Novák Papadopoulos " +
		"O'Brien Fischer Weber Li Hoffmann-Schulze Ivanova Silva Becker Schäfer Koch Bauer Richter Klein Wolf Neumann Schwarz Zimmermann")
	towns   = strings.Fields("Berlin Köln Wien Zürich Århus Lyon Porto Gdańsk Utrecht Leipzig Graz Malmö Brno Bath Salzburg Tübingen")
	domains = strings.Fields("example.org mail.example posteingang.example example.net uni.example.edu a.example web.example.com")
)

func readerAt(i int, rng *rand.Rand) reader {
	r := reader{
		first: pick(rng, firstNames),
		last:  pick(rng, lastNames),
		town:  pick(rng, towns),
		id:    104_233 + 7*i,
		uuid:  uuid(rng),
	}
	r.address = fmt.Sprintf("%s.%s%d@%s", ascii(r.first), ascii(r.last), i, pick(rng, domains))
	return r
}

func pick(rng *rand.Rand, from []string) string { return from[rng.IntN(len(from))] }

// ascii is what is left of a name in an address.
func ascii(name string) string {
	return strings.ToLower(strings.Map(func(c rune) rune {
		if c > 127 || c == '\'' {
			return -1
		}
		return c
	}, name))
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func digits(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(rng.IntN(10))
	}
	return string(b)
}

func hexes(rng *rand.Rand, n int) string { return hex.EncodeToString(random(rng, (n+1)/2))[:n] }

func uuid(rng *rand.Rand) string {
	h := hexes(rng, 32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}
