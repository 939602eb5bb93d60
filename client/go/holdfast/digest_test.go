package holdfast

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestDigestsAreThoseOfTheProtocolsTestVectors(t *testing.T) {
	page, err := os.ReadFile("../../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	vectors := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (.+) \\| `([0-9a-f]{64})` \\|$").FindAllStringSubmatch(string(page), -1) {
		vectors[row[1]] = row[2]
	}
	hello := vectors["`hello`"]
	contents := map[string][]byte{
		"empty file":           nil,
		"`hello`":              []byte("hello"),
		"8,388,608 zero bytes": make([]byte, BlockSize),
		"8,388,609 zero bytes": make([]byte, BlockSize+1),
	}
	for name, content := range contents {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if digest, err := DigestFile(path); err != nil || digest.String() != vectors[name] {
			t.Errorf("%s: %v, %v", name, digest, err)
		}
	}
	entries := []Entry{
		{Path: "run", Executable: true, Digest: fileDigest(nil)},
		{Path: "d/hello", Size: 5, Digest: fileDigest([]Digest{digestFromHex(t, hello)})},
		{Path: "d", Directory: true},
	}
	tree := "tree: directory `d`, file `d/hello` with `hello`, executable file `run` without content"
	if digest := TreeDigest(entries).String(); digest != vectors[tree] {
		t.Errorf("%s: %s", tree, digest)
	}
	if len(vectors) != len(contents)+1 {
		t.Errorf("docs/protocol.md has vectors that are not looked at: %v", vectors)
	}
}

func digestFromHex(t *testing.T, text string) Digest {
	t.Helper()
	var digest Digest
	for i := range digest {
		for _, letter := range text[2*i : 2*i+2] {
			digit := byte(letter - '0')
			if letter >= 'a' {
				digit = byte(letter-'a') + 10
			}
			digest[i] = digest[i]<<4 | digit
		}
	}
	return digest
}
