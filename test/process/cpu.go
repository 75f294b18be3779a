package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of proc_pid_stat(5): Linux tells every program that there are 100 a second.
const clockTick = 10 * time.Millisecond

// CPU is the processor time that the process has used since it began, without that of its children.
func (p *Process) CPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return readCPU(string(text))
}

// readCPU adds utime and stime in the text of a stat file. The name of the program, in parentheses, may hold anything.
func readCPU(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("no processor time in %q", stat)
	}
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, fmt.Errorf("no processor time in %q", stat)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// OwnCPU is the processor time that the calling program has used since it began, without that of its children.
func OwnCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// TreeCPU is the processor time of the process and of all its descendants, those that have ended included, as far as their parents
// have waited for them.
func (p *Process) TreeCPU() (time.Duration, error) {
	children, err := parents()
	if err != nil {
		return 0, err
	}
	return treeCPU(p.cmd.Process.Pid, children), nil
}

// treeCPU adds up a process and what is below it. A process that has ended meanwhile is counted with its parent.
func treeCPU(pid int, children map[int][]int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	sum := ticks(string(text), 11, 15)
	for _, child := range children[pid] {
		sum += treeCPU(child, children)
	}
	return sum
}

// parents lists the children of each process.
func parents() (map[int][]int, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	return children, nil
}

// ticks adds fields of a stat file that count clock ticks, behind the name of the program.
func ticks(stat string, from, to int) (sum time.Duration) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	for i := from; i < min(to, len(fields)); i++ {
		n, _ := strconv.Atoi(fields[i]) // a field that is no number counts nothing
		sum += time.Duration(n) * clockTick
	}
	return sum
}
