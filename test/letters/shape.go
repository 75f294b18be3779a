package letters

import (
	"math/rand/v2"
	"slices"
)

// Shape is one campaign as one mailer sends it.
type Shape struct {
	Name  string
	write func(*letter)
}

// Message is the message to reader i.
func (s Shape) Message(i int) []byte {
	l := &letter{n: i, rng: rand.New(rand.NewPCG(seedOf(s.Name), uint64(i))), out: make([]byte, 0, 28<<10)}
	l.to = readerAt(i, l.rng)
	s.write(l)
	return l.out
}

// Shapes are six mailers, one campaign each, with personal links in the text.
func Shapes(links int) []Shape {
	return []Shape{listmonk(links), mautic(links), phplist(links), mailman(links), odoo(links), inhouse(links)}
}

// Variants are campaigns whose messages come in several forms, mixed: one reference does not fit all of them.
func Variants(links int) []Shape {
	return []Shape{halves(links), encoders(links), charsets(links), tenParts(links), invitation(), languages(links)}
}

// Named is the shape with this name among Shapes and Variants.
func Named(name string, links int) (s Shape, ok bool) {
	all := append(Shapes(links), Variants(links)...)
	i := slices.IndexFunc(all, func(s Shape) bool { return s.Name == name })
	if i < 0 {
		return Shape{}, false
	}
	return all[i], true
}

// seedOf turns a name into a seed, so that two campaigns have different words.
func seedOf(name string) uint64 {
	seed := uint64(14695981039346656037)
	for i := range len(name) {
		seed = (seed ^ uint64(name[i])) * 1099511628211
	}
	return seed
}
