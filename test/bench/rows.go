package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/scenario"
)

// rowBench measures the rows of the table of goals.
type rowBench struct {
	bin, dir string
	messages int // 0: as many as the row needs
	rounds   int // likewise
	size     int // bytes of a message
	quick    bool
	profile  string // folder for profiles; "": none are made
	only     string // row 6: the form of sending; rows 8 and 9: shapes with this in their name
}

// contest is what is measured in one run: one row, or two that are about the same mail.
type contest struct {
	rows []int
	name string // of its folder
	run  func(*rowBench) ([]figure, error)
}

// contests are all rows, in the order of the table.
func contests() []contest {
	return []contest{
		{[]int{1, 2}, "postfix", (*rowBench).postfix},
		{[]int{3}, "proxy", (*rowBench).proxy},
		{[]int{4}, "milter", (*rowBench).milter},
		{[]int{5}, "smtp", (*rowBench).smtp},
		{[]int{6}, "drain", (*rowBench).drain},
		{[]int{7}, "pass", (*rowBench).pass},
		{[]int{8}, "memory", (*rowBench).memory},
		{[]int{9}, "journal", (*rowBench).journal},
		{[]int{10}, "split", (*rowBench).split},
		{[]int{11}, "waiting", (*rowBench).waitingMail},
		{[]int{12}, "recovered", (*rowBench).recovered},
		{[]int{13}, "crash", (*rowBench).crashes},
	}
}

// parseRows reads numbers of rows, separated by commas. None is all of them.
func parseRows(text string) (rows []int, err error) {
	for number := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		row, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("-row %s: %q is no number", text, number)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// run measures rows, or all of them if none is given.
func (b *rowBench) run(rows []int, write func(figure) error) error {
	wanted := func(row int) bool { return len(rows) == 0 || slices.Contains(rows, row) }
	found := false
	var failed error
	for _, p := range contests() {
		if !slices.ContainsFunc(p.rows, wanted) {
			continue
		}
		found = true
		one := *b
		one.dir = filepath.Join(b.dir, p.name)
		list, err := p.run(&one)
		for _, f := range list {
			if wanted(f.Row) {
				err = errors.Join(err, write(f))
			}
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("row %d: %w", p.rows[0], err))
		}
	}
	if !found {
		return fmt.Errorf("-row %v: there is no such row", rows)
	}
	return failed
}

// count is how many messages a row is measured with: what was asked for, or what the row needs.
func (b *rowBench) count(needed, quick int) int { return b.choose(b.messages, needed, quick) }

// turns is how many rounds it is measured in.
func (b *rowBench) turns(needed int) int { return b.choose(b.rounds, needed, 1) }

func (b *rowBench) choose(asked, needed, quick int) int {
	switch {
	case asked > 0:
		return asked
	case b.quick:
		return quick
	}
	return needed
}

// roomy is the configuration of a daemon that has room for any number of messages and says little.
const roomy = "queue.max_messages = 100000000\nqueue.max_bytes = 20000000000\nlog.level = \"warn\"\n"

// daemon configures a daemon in a folder of that name, and starts a sink that gets all its mail. more is appended to the
// configuration.
func (b *rowBench) daemon(name, more string) (*scenario.Millrace, *far, error) {
	dir := filepath.Join(b.dir, name)
	to, err := startSink(dir, false)
	if err != nil {
		return nil, nil, err
	}
	d, err := scenario.NewMillrace(b.bin, dir, "127.0.0.1:1", roomy+more+fmt.Sprintf("[route]\n\"*\" = %q\n", daemon.NextHop(to.addr)))
	if err != nil {
		return nil, nil, errors.Join(err, to.close())
	}
	return d, to, nil
}
