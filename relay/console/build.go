package console

import (
	"fmt"
	"runtime/debug"
)

// Build names the source and the compiler of this program, as the Go linker knows them. A version that a release script
// writes into the source would be wrong in every other build.
type Build struct {
	Version  string `json:"version"`            // module version, "(devel)" for a build from a work tree
	Revision string `json:"revision,omitempty"` // commit, with "+" when the tree had changes
	Go       string `json:"go"`
}

// ReadBuild returns the Build of the running program. A test binary has no module version; "(devel)" stands for it.
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

// String is the line that "millrace version" prints. Bug reports quote it, so version, commit and compiler stand in it.
func (b Build) String() string {
	if b.Revision == "" {
		return fmt.Sprintf("millrace %s (%s)", b.Version, b.Go)
	}
	return fmt.Sprintf("millrace %s (%s, %s)", b.Version, b.Revision, b.Go)
}
