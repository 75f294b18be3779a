package relay

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/millrace/millrace/relay/smtp"
)

func TestBudget(t *testing.T) {
	tests := []struct {
		name    string
		limit   int64
		used    map[Account]int64 // before
		account Account
		n       int64
		want    bool
		room    bool // for a notification, afterwards
	}{
		{name: "no limit", account: AccountMail, n: 1 << 60, want: true, room: true},
		{name: "mail up to its share", limit: 800, account: AccountMail, n: 700, want: true, room: true},
		{name: "mail beyond it", limit: 800, account: AccountMail, n: 701, room: true},
		{name: "what others use", limit: 800, used: map[Account]int64{AccountSites: 300, AccountDoors: 300}, account: AccountMail, n: 101, room: true},
		{name: "notices have a share of their own", limit: 800, used: map[Account]int64{AccountNotices: 90}, account: AccountMail, n: 700, want: true, room: true},
		{name: "notices beside full mail", limit: 800, used: map[Account]int64{AccountMail: 5000}, account: AccountNotices, n: 100, want: true, room: true},
		{name: "notices beyond their share", limit: 800, used: map[Account]int64{AccountNotices: 60}, account: AccountNotices, n: 41, room: true},
		{name: "one notice always", limit: 800, used: map[Account]int64{AccountMail: 5000}, account: AccountNotices, n: 4000, want: true},
		{name: "doors while memory is full", limit: 800, used: map[Account]int64{AccountMail: 700}, account: AccountDoors, n: 1, room: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := NewBudget(test.limit)
			for a, n := range test.used {
				b.Charge(a, n)
			}
			if got := b.Reserve(test.account, test.n); got != test.want {
				t.Errorf("Reserve: %v, want %v", got, test.want)
			}
			want := test.used[test.account]
			if test.want {
				want += test.n
			}
			if got := b.Used(test.account); got != want {
				t.Errorf("used %d, want %d", got, want)
			}
			if got := b.Room(AccountNotices); got != test.room {
				t.Errorf("Room: %v, want %v", got, test.room)
			}
		})
	}
}

// TestRedeem: memory that is full only with what the door has reserved has room for that message.
func TestRedeem(t *testing.T) {
	b := NewBudget(800)
	b.Charge(AccountMail, 600)
	if !b.Reserve(AccountDoors, 100) || b.Redeem(100, AccountMail, 101) || b.Used(AccountDoors) != 100 {
		t.Errorf("one byte too much: doors have %d", b.Used(AccountDoors))
	}
	if !b.Redeem(100, AccountMail, 100) || b.Used(AccountDoors) != 0 || b.Used(AccountMail) != 700 {
		t.Errorf("doors have %d, mail %d", b.Used(AccountDoors), b.Used(AccountMail))
	}
}

// TestAcceptRedeems: what the door has reserved becomes the message's, stays the door's when nothing was taken, and all is
// free when the message is gone.
func TestAcceptRedeems(t *testing.T) {
	b := NewBudget(1 << 20)
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: failingJournal{}, Budget: b})
	m.Open()
	offer := func() *Message {
		msg := testMessage("a@x")
		msg.Slip.Reserved = 1000
		b.Reserve(AccountDoors, msg.Slip.Reserved)
		return msg
	}
	if err := m.Accept(offer()); err == nil || b.Used(AccountDoors) != 1000 || b.Used(AccountMail) != 0 {
		t.Errorf("after a failure (%v) doors have %d, mail %d; want 1000 and 0", err, b.Used(AccountDoors), b.Used(AccountMail))
	}
	b.Refund(AccountDoors, 1000)
	m.deps.Journal = NoJournal{}
	msg := offer()
	if err := m.Accept(msg); err != nil || b.Used(AccountDoors) != 0 || b.Used(AccountMail) == 0 {
		t.Errorf("taken (%v): doors have %d, mail %d", err, b.Used(AccountDoors), b.Used(AccountMail))
	}
	h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
	v := h.Visit(m.line.Pick())
	v.FailAll(Sent, smtp.Reply{Code: 250})
	h.Settle(v)
	for a := range numAccounts {
		if n := b.Used(a); n != 0 {
			t.Errorf("account %d has %d bytes when all is gone", a, n)
		}
	}
}

// TestReasonIsBoundedAndCharged: a receiver's reply costs its message 512 bytes at most, equal ones share their text, and
// the budget knows.
func TestReasonIsBoundedAndCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}})
		m.Open()
		h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
		var nodes []*Node
		for range 2 {
			msg := testMessage("a@x")
			if err := m.Accept(msg); err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, msg.Node(0))
		}
		before := m.budget.Used(AccountMail)
		long := smtp.Reply{Code: 450, Lines: []string{strings.Repeat("é", 2000)}}
		q := m.line.Pick()
		for v := h.Visit(q); v != nil; v = h.Visit(q) {
			v.FailAll(Deferred, long)
			h.Settle(v)
		}
		for _, n := range nodes {
			if len(n.Reason()) > maxReason || len(n.Reason()) < maxReason-4 || strings.ContainsRune(n.Reason(), '\ufffd') {
				t.Errorf("reason of %d bytes: %q", len(n.Reason()), n.Reason())
			}
		}
		if a, b := nodes[0].Reason(), nodes[1].Reason(); a != b || unsafe.StringData(a) != unsafe.StringData(b) {
			t.Errorf("two copies of %q", a)
		}
		if got, want := m.budget.Used(AccountMail)-before, 2*(textSize(nodes[0].Reason())+waitCost+stateCost)-queueCost; got != want {
			t.Errorf("charged %d bytes for two reasons, want %d", got, want)
		}
	})
}

// TestFullMap: the map takes mail up to seven eighths of its memory, and a notification beyond.
func TestFullMap(t *testing.T) {
	cfg := DefaultQueueConfig()
	cfg.MaxBytes = 1 << 20
	m := NewQueueMap(cfg, Deps{Journal: NoJournal{}})
	m.Open()
	var err error
	for i := 0; err == nil; i++ {
		msg := testMessage(fmt.Sprintf("u%d@x", i))
		msg.Content = NewContent(Letter{Body: []byte(strings.Repeat(fmt.Sprint(i), 1000))})
		err = m.Accept(msg)
	}
	if used := m.budget.Used(AccountMail); !errors.Is(err, errBytes) || used > cfg.MaxBytes*7/8 || used < cfg.MaxBytes*6/8 {
		t.Errorf("%v with %d bytes", err, used)
	}
	own := testMessage("a@x")
	own.Slip.Class = ClassInject
	if err := m.Accept(own); err != nil {
		t.Errorf("notification: %v", err)
	}
	own = testMessage("a@x")
	own.Slip.Class, own.Content = ClassInject, NewContent(Letter{Body: make([]byte, cfg.MaxBytes/8)})
	if err := m.Accept(own); !errors.Is(err, errNotices) || !errors.Is(err, ErrFull) {
		t.Errorf("a notification beyond the share: %v", err)
	}
}
