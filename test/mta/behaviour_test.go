package mta

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// sortedRcpts are oddRcpts in the order in which Postfix sends them.
var sortedRcpts = slices.Sorted(slices.Values(oddRcpts))

// behaviour is a receiver given by its replies. An empty reply is the proper one; "close" hangs up.
type behaviour struct {
	banner, ehlo, helo, mail, data, dot, rset string
	rcpts                                     []string // replies to RCPT, by the recipient's place in sortedRcpts; the last stands for the rest
	counts                                    bool     // by its place in the transaction instead
	split                                     bool     // each byte of a reply is a write of its own
	copies                                    map[string]*atomic.Int64
}

// say writes a reply, or the proper one when text is empty, and reports whether its last line is of the proper class.
func (b *behaviour) say(nc net.Conn, text, proper string) (yes bool) {
	switch text {
	case "":
		text = proper + "\r\n"
	case "close":
		nc.Close()
		return false
	}
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	yes = lines[len(lines)-1][0] == proper[0]
	if !b.split {
		fmt.Fprint(nc, text)
		return yes
	}
	for i := range len(text) {
		fmt.Fprint(nc, text[i:i+1])
	}
	return yes
}

// rcpt is the reply to the RCPT with number n of a transaction.
func (b *behaviour) rcpt(local string, n int) string {
	if len(b.rcpts) == 0 {
		return ""
	}
	if !b.counts {
		n = slices.Index(sortedRcpts, local)
	}
	return b.rcpts[min(n, len(b.rcpts)-1)]
}

// take reads a body and counts its copies before the client can know of them.
func (b *behaviour) take(in *bufio.Reader, locals []string) error {
	for line := ""; line != ".\r\n"; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			return err
		}
	}
	if b.dot == "" || b.dot == "close" || b.dot[0] == '2' {
		for _, local := range locals {
			b.copies[local].Add(1)
		}
	}
	return nil
}

func (b *behaviour) serve(nc net.Conn) {
	defer nc.Close()
	b.say(nc, b.banner, "220 mx")
	var taken []string
	n := 0
	for in := bufio.NewReader(nc); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch word, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " "); strings.ToUpper(word) {
		case "EHLO":
			b.say(nc, b.ehlo, "250-mx\r\n250 PIPELINING")
		case "HELO":
			b.say(nc, b.helo, "250 mx")
		case "MAIL":
			taken, n = nil, 0
			b.say(nc, b.mail, "250 ok")
		case "RCPT":
			local, _, _ := strings.Cut(strings.TrimPrefix(rest, "TO:<"), "@")
			if b.say(nc, b.rcpt(local, n), "250 ok") {
				taken = append(taken, local)
			}
			n++
		case "DATA":
			if len(taken) == 0 {
				fmt.Fprint(nc, "554 no recipients\r\n")
				continue
			}
			if !b.say(nc, b.data, "354 go") {
				continue
			}
			if b.take(in, taken) != nil {
				return
			}
			b.say(nc, b.dot, "250 taken")
		case "RSET":
			b.say(nc, b.rset, "250 ok")
		case "QUIT":
			fmt.Fprint(nc, "221 bye\r\n")
			return
		default:
			fmt.Fprint(nc, "250 ok\r\n")
		}
	}
}

func (b *behaviour) listen(t *testing.T) string {
	b.copies = map[string]*atomic.Int64{}
	for _, r := range oddRcpts {
		b.copies[r] = new(atomic.Int64)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() { // ends with the listener
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go b.serve(nc) // ends with its connection
		}
	}()
	return ln.Addr().String()
}

// ehlo is a reply to EHLO with these lines in it.
func ehlo(lines ...string) string {
	return "250-mx\r\n250-" + strings.Join(lines, "\r\n250-") + "\r\n250 HELP\r\n"
}

// behaviours are the kinds of partial answers, codes out of place and extensions out of form.
var behaviours = map[string]behaviour{
	"first 550":                 {rcpts: []string{"550 5.1.1 no\r\n", ""}},
	"first 450":                 {rcpts: []string{"450 4.2.0 no\r\n", ""}},
	"all 450 but one 550":       {rcpts: []string{"450 4.2.0 no\r\n", "550 5.1.1 no\r\n", "450 4.2.0 no\r\n"}},
	"all 550 but one 450":       {rcpts: []string{"550 5.1.1 no\r\n", "450 4.2.0 no\r\n", "550 5.1.1 no\r\n"}},
	"452 too many after one":    {counts: true, rcpts: []string{"", "452 4.5.3 too many\r\n"}},
	"452 bare after one":        {counts: true, rcpts: []string{"", "452 too many\r\n"}},
	"552 bare after one":        {counts: true, rcpts: []string{"", "552 too many\r\n"}},
	"552 mailbox full":          {rcpts: []string{"", "552 5.2.2 full\r\n", ""}},
	"552 mailbox full, first":   {rcpts: []string{"552 5.2.2 full\r\n", ""}},
	"452 too many at once":      {counts: true, rcpts: []string{"452 4.5.3 too many\r\n"}},
	"421 at the second":         {rcpts: []string{"", "421 4.3.2 bye\r\n", ""}},
	"503 at the second":         {rcpts: []string{"", "503 5.5.1 what\r\n", ""}},
	"251 252 299":               {rcpts: []string{"251 fwd\r\n", "252 maybe\r\n", "299 ok\r\n"}},
	"3xx at all":                {rcpts: []string{"354 go\r\n"}},
	"3xx at the first":          {rcpts: []string{"334 go\r\n", ""}},
	"1xx at the first":          {rcpts: []string{"150 hm\r\n", ""}},
	"550 at the last":           {rcpts: []string{"", "", "550 5.1.1 no\r\n"}},
	"MAIL 251":                  {mail: "251 ok\r\n"},
	"MAIL 221":                  {mail: "221 ok\r\n"},
	"MAIL 354":                  {mail: "354 ok\r\n"},
	"MAIL 150":                  {mail: "150 ok\r\n"},
	"MAIL 552":                  {mail: "552 5.3.4 large\r\n"},
	"MAIL 452":                  {mail: "452 4.3.1 full\r\n"},
	"MAIL 503":                  {mail: "503 5.5.1 seq\r\n"},
	"MAIL 530":                  {mail: "530 5.7.0 STARTTLS first\r\n"},
	"MAIL close":                {mail: "close"},
	"DATA 250":                  {data: "250 ok\r\n"},
	"DATA 221":                  {data: "221 ok\r\n"},
	"DATA 334":                  {data: "334 go\r\n"},
	"DATA 451":                  {data: "451 later\r\n"},
	"DATA 550":                  {data: "550 5.7.1 no\r\n"},
	"DATA close":                {data: "close"},
	"dot 221":                   {dot: "221 bye\r\n"},
	"dot 251":                   {dot: "251 ok\r\n"},
	"dot 200":                   {dot: "200 ok\r\n"},
	"dot 354":                   {dot: "354 ok\r\n"},
	"dot 150":                   {dot: "150 ok\r\n"},
	"dot 452":                   {dot: "452 4.3.1 full\r\n"},
	"dot 552":                   {dot: "552 5.2.2 full\r\n"},
	"dot 503":                   {dot: "503 5.5.1 seq\r\n"},
	"dot 550 4.7.1":             {dot: "550 4.7.1 grey\r\n"},
	"dot 450 5.7.1":             {dot: "450 5.7.1 grey\r\n"},
	"dot close":                 {dot: "close"},
	"banner 250":                {banner: "250 mx\r\n"},
	"banner 221":                {banner: "221 mx\r\n"},
	"banner 354":                {banner: "354 mx\r\n"},
	"banner 554":                {banner: "554 no\r\n"},
	"banner 150":                {banner: "150 no\r\n"},
	"banner many lines":         {banner: "220-mx\r\n220-no spam\r\n220 \r\n"},
	"banner close":              {banner: "close"},
	"EHLO 220":                  {ehlo: "220 mx\r\n"},
	"EHLO 354":                  {ehlo: "354 mx\r\n"},
	"EHLO 450":                  {ehlo: "450 mx\r\n"},
	"EHLO 500":                  {ehlo: "500 mx\r\n"},
	"EHLO 550":                  {ehlo: "550 mx\r\n"},
	"EHLO 421":                  {ehlo: "421 mx\r\n"},
	"EHLO 500 HELO 500":         {ehlo: "500 no\r\n", helo: "500 no\r\n"},
	"EHLO 500 HELO 550":         {ehlo: "500 no\r\n", helo: "550 5.7.1 go away\r\n"},
	"EHLO close":                {ehlo: "close"},
	"EHLO SIZE 0":               {ehlo: ehlo("SIZE 0")},
	"EHLO SIZE alone":           {ehlo: ehlo("SIZE")},
	"EHLO SIZE blank":           {ehlo: ehlo("SIZE ")},
	"EHLO SIZE garbage":         {ehlo: ehlo("SIZE lots")},
	"EHLO SIZE =":               {ehlo: ehlo("SIZE=1")},
	"EHLO SIZE tab":             {ehlo: ehlo("SIZE\t100000")},
	"EHLO SIZE 10":              {ehlo: ehlo("SIZE 10")},
	"EHLO SIZE -1":              {ehlo: ehlo("SIZE -1")},
	"EHLO SIZE huge":            {ehlo: ehlo("SIZE 99999999999999999999999")},
	"EHLO SIZE two":             {ehlo: ehlo("SIZE 10", "SIZE 1000000")},
	"EHLO SIZE two args":        {ehlo: ehlo("SIZE 1000000 10")},
	"EHLO pipelining lower":     {ehlo: ehlo("pipelining")},
	"EHLO pipelining argument":  {ehlo: ehlo("PIPELINING 10")},
	"EHLO blank lines":          {ehlo: ehlo("", " ", "PIPELINING")},
	"EHLO STARTTLS not offered": {ehlo: ehlo("STARTTLS")},
	"EHLO own name":             {ehlo: "250-client.test\r\n250 PIPELINING\r\n"},
	"EHLO no name":              {ehlo: "250-\r\n250 PIPELINING\r\n"},
	"EHLO LIMITS":               {ehlo: ehlo("LIMITS MAILMAX=1 RCPTMAX=1 RCPTDOMAINMAX=1")},
	"EHLO LIMITS zero":          {ehlo: ehlo("LIMITS MAILMAX=0 RCPTMAX=0")},
	"split":                     {split: true},
	"split with 550":            {split: true, rcpts: []string{"550-5.1.1 no\r\n550 5.1.1 really\r\n", ""}},
	"RSET refused":              {rset: "500 no\r\n", rcpts: []string{"450 4.2.0 no\r\n"}},
	"banner twice":              {banner: "220 mx\r\n220 mx\r\n"},
	"RCPT twice":                {rcpts: []string{"250 ok\r\n250 ok\r\n", ""}},
	"RCPT no and yes":           {rcpts: []string{"550 5.1.1 no\r\n250 ok\r\n", ""}},
	"DATA 354 and 250":          {data: "354 go\r\n250 ok\r\n"},
	"DATA 354 and 550":          {data: "354 go\r\n550 5.7.1 no\r\n"},
	"enhanced of other class":   {rcpts: []string{"550 4.2.0 later\r\n", "450 5.1.1 never\r\n", ""}},
	"dot two lines 250 and 550": {dot: "250-scanning\r\n550 5.7.1 virus\r\n"},
}

// TestBehaviourAsPostfix sends to receivers of each behaviour, by Postfix and by our wire, and compares what becomes of each
// recipient, as TestRepliesAsPostfix does.
func TestBehaviourAsPostfix(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for timeouts")
	}
	var cases []*oddCase
	theirReceivers := map[string]*behaviour{}
	for i, name := range slices.Sorted(maps.Keys(behaviours)) {
		b := behaviours[name]
		c := &oddCase{name: name, domain: fmt.Sprintf("c%d.test", i)}
		c.addr = b.listen(t)
		theirReceivers[name] = &b
		cases = append(cases, c)
	}
	theirs := throughPostfix(t, cases)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := behaviours[c.name]
			ours := overOurWire(t, b.listen(t), c.domain, sortedRcpts)
			for _, rcpt := range sortedRcpts {
				their, our := theirs[rcpt+"@"+c.domain], ours[rcpt]
				t.Logf("%-4s Postfix: %s (%d copies); we: %s (%d copies)", rcpt, their, theirReceivers[c.name].copies[rcpt].Load(), our, b.copies[rcpt].Load())
				switch taken := b.copies[rcpt].Load() > 0; {
				case our == isUnknown && theirReceivers[c.name].copies[rcpt].Load() == 0:
					// Postfix says sent for a reply that came before the body; the receiver has nothing.
				case their == isSent && our != isSent:
					t.Errorf("%s: Postfix delivers, we say %s", rcpt, our)
				case our == isBounced && their != isBounced:
					t.Errorf("%s: we bounce, Postfix says %s", rcpt, their)
				case our == isSent && !taken:
					t.Errorf("%s: we say sent, the receiver has taken nothing", rcpt)
				}
			}
		})
	}
}
