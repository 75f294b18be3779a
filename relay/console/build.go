package console

import (
	"fmt"
	"runtime/debug"
)

// Build is what this program was built from, as the Go linker knows it.
type Build struct {
	Version  string `json:"version"`            // module version, "(devel)" for a build from a work tree
	Revision string `json:"revision,omitempty"` // commit, with "+" when the tree had changes
	Go       string `json:"go"`
}

// ReadBuild returns the Build of the running program.
func ReadBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{Version: "(devel)"}
	}
	return newBuild(info)
}

func newBuild(info *debug.BuildInfo) Build {
	b := Build{Version: info.Main.Version, Go: info.GoVersion}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+"
			}
		}
	}
	if b.Revision != "" {
		b.Revision += dirty
	}
	return b
}

// String is the line "millrace version" prints.
func (b Build) String() string {
	if b.Revision == "" {
		return fmt.Sprintf("millrace %s (%s)", b.Version, b.Go)
	}
	return fmt.Sprintf("millrace %s (%s, %s)", b.Version, b.Revision, b.Go)
}
