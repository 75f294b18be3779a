package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
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
