package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	red   = "\x1b[31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"
)

// isTerminal says whether a stream is a person's terminal and no file, pipe or buffer.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// showDifference prints a file's name and how it changes; nothing if it does not. It is in colour on a
// terminal, unless NO_COLOR is set (no-color.org).
func showDifference(out io.Writer, path string, before, after []byte) (changed bool) {
	lines := difference(before, after)
	if lines == "" {
		return false
	}
	if isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		var coloured strings.Builder
		for line := range strings.Lines(lines) {
			colour := green
			if strings.HasPrefix(line, "-") {
				colour = red
			}
			coloured.WriteString(colour + strings.TrimSuffix(line, "\n") + plain + "\n")
		}
		lines = coloured.String()
	}
	fmt.Fprintf(out, "%s\n%s", path, lines)
	return true
}
