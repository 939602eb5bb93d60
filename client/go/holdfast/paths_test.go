package holdfast

import (
	"strings"
	"testing"
)

func TestPathsThatBreakARuleAreRefused(t *testing.T) {
	for _, path := range []string{
		"", "/absolute", "../up", "a/../b", ".", "a//b", "a/", " a", "a ", "a.", `back\slash`, "C:/windows", "file:/x", "a%2Eb",
		"a%2fb", "a%5Cb", "line\nbreak", "nul\x00", "\u202egnp.exe", "a\uff0fb", "\xff", strings.Repeat("a", 256),
		strings.Repeat("a/", 32) + "a", strings.Repeat("abc/", 256) + "a",
	} {
		if brokenRule(path) == "" {
			t.Errorf("%q is not refused", path)
		}
	}
}

func TestPathsOfAnyScriptAreTaken(t *testing.T) {
	for _, path := range []string{
		"a", "a/b.txt", ".hidden", "..a", "größe/№ 1", "学習 率", "100%", "ab:c/d", "🚀", strings.Repeat("a/", 31) + "a",
	} {
		if rule := brokenRule(path); rule != "" {
			t.Errorf("%q is refused: %s", path, rule)
		}
	}
}

func TestAURIIsDividedIntoItsTreeAndAPath(t *testing.T) {
	model := "models:/m-" + strings.Repeat("a", 32)
	for uri, want := range map[string][2]string{
		"runs:/x":            {"runs:/x", ""},
		"runs:/x/":           {"runs:/x", ""},
		"runs:/x/a/b":        {"runs:/x", "a/b"},
		model:                {model, ""},
		model + "/data/v":    {model, "data/v"},
		"models:/ocr/2/a":    {"models:/ocr/2", "a"},
		"models:/ocr@prod/a": {"models:/ocr@prod", "a"},
		"models:/ocr":        {"models:/ocr", ""},
		"nonsense":           {"nonsense", ""},
	} {
		if root, path := splitURI(uri); root != want[0] || path != want[1] {
			t.Errorf("%s is divided into %q and %q", uri, root, path)
		}
	}
}
