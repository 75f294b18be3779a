package relay

import (
	"math"
	"sync/atomic"
)

// Account says what memory is used for.
type Account uint8

// Accounts.
const (
	AccountDoors   Account = iota // messages that a door receives, and what its connections hold
	AccountMail                   // messages in the queue map, their shared parts, and the failures that wait for a notification
	AccountNotices                // notifications that wait for our MTA
	AccountSites                  // sites, connections to them, and what else the number of domains decides
	numAccounts
)

// noticeShare is the part of the limit that is kept for notifications. Each lets a failed message leave, so that they must
// find room when mail has used up its own.
const noticeShare = 8

// Budget is the one ledger of memory: everything whose amount a peer decides is charged to it. What can be refused reserves
// before it is made; what must go on, such as the reason of a deferral, is charged afterwards, and then the doors take less.
// The bytes are those that the objects take on the heap, the collector's own room apart. All methods may be called from any
// goroutine. They take no lock, so that two that reserve at the same moment may both be refused where one would have fitted.
type Budget struct {
	limit atomic.Int64 // bytes, all accounts together
	total atomic.Int64
	used  [numAccounts]atomic.Int64
}

// NewBudget returns a budget of limit bytes; 0 is no limit.
func NewBudget(limit int64) *Budget {
	b := &Budget{}
	b.SetLimit(limit)
	return b
}

// SetLimit replaces the limit. What is above a smaller one stays, and nothing more is granted until there is room.
func (b *Budget) SetLimit(limit int64) {
	if limit == 0 {
		limit = math.MaxInt64
	}
	b.limit.Store(limit)
}

// Limit is the limit in bytes.
func (b *Budget) Limit() int64 { return b.limit.Load() }

// Reserve asks for n bytes before they are used, and reports whether there is room for them.
func (b *Budget) Reserve(a Account, n int64) bool {
	b.Charge(a, n)
	if b.fits(a, n) {
		return true
	}
	b.Refund(a, n)
	return false
}

// fits reports whether a may keep the n bytes that were just charged. One notification always finds room: without it the
// message that it is about would never leave.
func (b *Budget) fits(a Account, n int64) bool {
	limit, notices := b.limit.Load(), b.used[AccountNotices].Load()
	if a == AccountNotices {
		return notices <= limit/noticeShare || notices == n
	}
	return b.total.Load()-notices <= limit-limit/noticeShare
}

// Redeem turns the bytes that a door has reserved into n bytes of account a. When it is refused, the door keeps what it has
// reserved.
func (b *Budget) Redeem(reserved int64, a Account, n int64) bool {
	b.Refund(AccountDoors, reserved)
	granted := b.Reserve(a, n)
	if !granted {
		b.Charge(AccountDoors, reserved)
	}
	return granted
}

// Room reports whether an account could reserve anything now.
func (b *Budget) Room(a Account) bool { return b.fits(a, 0) }

// Fill is the part of what mail may use that is used, 0 to 1; above 1 when Charge has gone beyond it.
func (b *Budget) Fill() float64 { return b.Part(b.total.Load() - b.used[AccountNotices].Load()) }

// Part is the part that n bytes are of what mail may use.
func (b *Budget) Part(n int64) float64 {
	limit := b.limit.Load()
	return float64(n) / float64(limit-limit/noticeShare)
}

// Over reports that more is used than the limit allows, which only Charge can bring about. Whoever charges then keeps as
// little as will do.
func (b *Budget) Over() bool { return b.total.Load() > b.limit.Load() }

// Charge notes n bytes that are used already, and Refund that they are free again.
func (b *Budget) Charge(a Account, n int64) {
	b.used[a].Add(n)
	b.total.Add(n)
}

// Refund gives n bytes back.
func (b *Budget) Refund(a Account, n int64) { b.Charge(a, -n) }

// Used is what is charged to an account, in bytes.
func (b *Budget) Used(a Account) int64 { return b.used[a].Load() }
