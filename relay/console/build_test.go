package console

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestBuildString(t *testing.T) {
	vcs := func(pairs ...string) (all []debug.BuildSetting) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return all
	}
	const commit = "0123456789abcdef0123"
	for _, test := range []struct {
		version  string
		settings []debug.BuildSetting
		want     string
	}{
		{"v1.2.3", nil, "millrace v1.2.3 (go1.26)"},
		{"", nil, "millrace (devel) (go1.26)"},
		{"(devel)", vcs("vcs.revision", commit, "vcs.modified", "false"), "millrace (devel) (0123456789ab, go1.26)"},
		{"(devel)", vcs("vcs.modified", "true", "vcs.revision", commit), "millrace (devel) (0123456789ab+, go1.26)"},
		{"(devel)", vcs("vcs.revision", "01"), "millrace (devel) (01, go1.26)"},
	} {
		b := newBuild(&debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: test.version}, Settings: test.settings})
		if b.String() != test.want {
			t.Errorf("got %q, want %q", b, test.want)
		}
	}
	if b := ReadBuild(); b.Version == "" || !strings.HasPrefix(b.String(), "millrace ") {
		t.Errorf("%+v", b)
	}
}
