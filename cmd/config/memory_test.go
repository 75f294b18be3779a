package config

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func TestReadMemory(t *testing.T) {
	const meminfo = "MemTotal:        8000000 kB\nMemFree:          100000 kB\n"
	total := int64(8000000) << 10
	tests := []struct {
		name  string
		files map[string]string
		want  Memory
		fails bool
	}{
		{"no control groups", map[string]string{"proc/meminfo": meminfo}, Memory{Bytes: total}, false},
		{"version 2, own limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/millrace.service\n",
			"sys/fs/cgroup/system.slice/millrace.service/memory.max": "1073741824\n", "sys/fs/cgroup/system.slice/memory.max": "max\n",
		}, Memory{1 << 30, true}, false},
		{"version 2, the limit of a group above", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/millrace.service\n",
			"sys/fs/cgroup/system.slice/millrace.service/memory.max": "max\n", "sys/fs/cgroup/system.slice/memory.max": "2147483648\n",
		}, Memory{2 << 30, true}, false},
		{"version 1", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/box\n",
			"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "1073741824\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, Memory{1 << 30, true}, false},
		{"a container sees its own group as the top", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../../docker/abc\n", "sys/fs/cgroup/memory.max": "1073741824\n",
		}, Memory{1 << 30, true}, false},
		{"no limit is larger than the machine", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "99999999999999\n",
		}, Memory{Bytes: total}, false},
		{"garbage", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "what\n::\n0::\n", "sys/fs/cgroup/memory.max": "x"}, Memory{Bytes: total}, false},
		{"no memory", map[string]string{"proc/meminfo": "MemTotal: x kB\n"}, Memory{}, true},
		{"no file", nil, Memory{}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range test.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got, err := ReadMemory(root)
			if got != test.want || (err != nil) != test.fails {
				t.Errorf("%+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestMemoryFor(t *testing.T) {
	machine, group := Memory{Bytes: 12 << 30}, Memory{Bytes: 1 << 30, Group: true}
	tests := []struct {
		given  int64
		memory Memory
		want   int64
		says   string
	}{
		{0, machine, 4 << 30, ""},
		{0, group, 3 << 28, ""},
		{10 << 30, machine, 10 << 30, ""},
		{11 << 30, machine, 0, "this machine has; give at most 10737418240"},
		{1 << 30, group, 0, "MemoryMax"},
	}
	for _, test := range tests {
		c := &Config{}
		c.Queue.MaxBytes = test.given
		got, err := c.MemoryFor(test.memory)
		var errs Errors
		switch {
		case got != test.want, (err == nil) != (test.says == ""):
			t.Errorf("max_bytes = %d in %+v: %d, %v; want %d", test.given, test.memory, got, err, test.want)
		case err != nil && (!errors.As(err, &errs) || errs[0].Key != "queue.max_bytes" || !strings.Contains(err.Error(), test.says)):
			t.Errorf("max_bytes = %d: %v; want %q in it", test.given, err, test.says)
		}
	}
}
