package holdfast

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	maxPathBytes      = 1_024
	maxComponents     = 32
	maxComponentBytes = 255
)

var (
	drivePattern   = regexp.MustCompile(`^[A-Za-z]:`)
	uriPattern     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:/`)
	encodedPattern = regexp.MustCompile(`(?i)%(2e|2f|5c)`)
)

// Characters that reorder text on screen, or look like '.', '/' or '\' and are folded to them by some file systems.
const (
	directionOverrides = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
	lookAlikes         = "\uff0e\uff0f\uff3c"
)

// checkPath refuses an artifact path that breaks a rule of docs/protocol.md.
func checkPath(path string) error {
	if rule := brokenRule(path); rule != "" {
		return invalid("INVALID_PATH", "The artifact path %.200q is refused: %s.", path, rule)
	}
	return nil
}

// checkFolder is checkPath for a directory, of which the empty one is the root.
func checkFolder(path string) error {
	if path == "" {
		return nil
	}
	return checkPath(path)
}

// checkReceivedPath refuses what a server sends and must not be written: a client that believed every server would be at
// the mercy of whoever it connects to.
func checkReceivedPath(path string) error {
	if rule := brokenRule(path); rule != "" {
		return &LocalFileError{
			Path:    fmt.Sprintf("%.200q", path),
			Problem: "was sent by the server, and nothing is written there: " + rule,
		}
	}
	return nil
}

// brokenRule is the first rule of artifact paths that a path breaks, in words; empty when it breaks none.
func brokenRule(path string) string {
	switch {
	case path == "":
		return "it is empty"
	case !utf8.ValidString(path):
		return "it is not valid UTF-8"
	case len(path) > maxPathBytes:
		return fmt.Sprintf("it is longer than %d bytes of UTF-8", maxPathBytes)
	case path[0] == '/':
		return "it must be relative"
	case strings.Contains(path, `\`):
		return `it must not contain a backslash; separate components by '/'`
	case uriPattern.MatchString(path):
		return "it looks like a URI"
	case drivePattern.MatchString(path):
		return "it must not begin with a drive letter"
	case strings.Contains(path, "%") && encodedPattern.MatchString(path):
		return "it must not contain %2e, %2f or %5c"
	case strings.ContainsFunc(path, isControl):
		return "it must not contain control characters"
	case strings.ContainsAny(path, directionOverrides+lookAlikes):
		return `it must not contain direction overrides or look-alikes of '.', '/' and '\'`
	case strings.Count(path, "/") >= maxComponents:
		return fmt.Sprintf("it has more than %d components", maxComponents)
	}
	for component := range strings.SplitSeq(path, "/") {
		if rule := brokenComponentRule(component); rule != "" {
			return rule
		}
	}
	return ""
}

func brokenComponentRule(component string) string {
	switch {
	case component == "":
		return "it has an empty component"
	case component == "." || component == "..":
		return "it has a component '.' or '..'"
	case component[0] == ' ' || strings.HasSuffix(component, " ") || strings.HasSuffix(component, "."):
		return "a component must not begin with a space, nor end with a space or a dot"
	case len(component) > maxComponentBytes:
		return fmt.Sprintf("a component is longer than %d bytes of UTF-8", maxComponentBytes)
	}
	return ""
}

func isControl(letter rune) bool { return letter < ' ' || letter >= 0x7f && letter <= 0x9f }

// joinPath is a name below a directory, of which the empty one is the root.
func joinPath(folder, name string) string {
	if folder == "" || name == "" {
		return folder + name
	}
	return folder + "/" + name
}

var modelIDPattern = regexp.MustCompile(`^m-[0-9a-f]{32}$`)

// splitURI divides an artifact URI into the run or model that it begins with and the path below it: runs:/x/a/b into
// runs:/x and a/b.
func splitURI(uri string) (root, path string) {
	scheme, rest, found := strings.Cut(uri, ":/")
	if !found {
		return uri, ""
	}
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	heads := 2
	if scheme == "runs" || strings.Contains(parts[0], "@") || modelIDPattern.MatchString(parts[0]) {
		heads = 1
	}
	heads = min(heads, len(parts))
	return scheme + ":/" + strings.Join(parts[:heads], "/"), strings.Join(parts[heads:], "/")
}

// lastName is the last component of a path.
func lastName(path string) string { return path[strings.LastIndex(path, "/")+1:] }
