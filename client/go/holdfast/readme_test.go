package holdfast_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// A user copies what the README shows; so does this test, into a module of its own.
func TestTheProgramOfTheReadmeLogsAnArtifact(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	must(t, err)
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(page)
	module := regexp.MustCompile("(?s)```console\n(\\$ go mod init.*?)```").FindSubmatch(page)
	if program == nil || module == nil {
		t.Fatal("the README shows no program, or not how to use the module")
	}
	uri, directory := sharedURI(t), t.TempDir()
	must(t, os.WriteFile(directory+"/main.go", program[1], 0o600))
	must(t, os.WriteFile(directory+"/model.bin", []byte("weights"), 0o600))
	here, err := os.Getwd()
	must(t, err)
	commands := ""
	for line := range strings.Lines(string(module[1])) {
		if command, isCommand := strings.CutPrefix(line, "$ "); isCommand {
			commands += command
		}
	}
	shell := exec.Command("bash", "-euo", "pipefail", "-c", commands)
	shell.Dir = directory
	shell.Env = append(os.Environ(), "HOLDFAST_URI="+uri, "HOLDFAST="+here+"/../../..", "GOFLAGS=-mod=mod")
	said, err := shell.CombinedOutput()
	if err != nil || !regexp.MustCompile(`runs:/[0-9a-f]{32}\n$`).Match(said) {
		t.Errorf("%v:\n%s", err, said)
	}
}

func TestTheReadmeShowsTheExample(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	must(t, err)
	example, err := os.ReadFile("../examples/log-artifact/main.go")
	must(t, err)
	body := string(example[strings.Index(string(example), "package main"):])
	if !strings.Contains(string(page), body) {
		t.Error("the program in README.md and examples/log-artifact/main.go differ")
	}
}
