package holdfast_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const python = "../../../.venv/bin/python"

var serving = regexp.MustCompile(` serving on (\S+?),? `)

// shared is a server that is started by the first test that wants it, and ended after the last one.
var shared server

func TestMain(m *testing.M) {
	code := m.Run()
	shared.stop()
	os.Exit(code)
}

// server is the real one, as a process.
type server struct {
	uri       string
	directory string
	process   *exec.Cmd
	ended     chan struct{}
}

func (s *server) start(t *testing.T, arguments ...string) {
	t.Helper()
	interpreter, err := filepath.Abs(python)
	if err == nil {
		_, err = os.Stat(interpreter)
	}
	if err != nil {
		if os.Getenv("HOLDFAST_REQUIRE_LANGUAGES") == "1" {
			t.Fatal("there is no server to test against; run `make venv` in the root of the repository")
		}
		t.Skip("SKIPPED: there is no server to test against; run `make venv` in the root of the repository")
	}
	s.directory, err = os.MkdirTemp("", "holdfast-go-")
	must(t, err)
	arguments = append([]string{"-m", "holdfast_server", "--port", "0", "--data-dir", s.directory}, arguments...)
	s.process = exec.Command(interpreter, arguments...)
	s.process.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "HOLDFAST_") })
	said, err := s.process.StderrPipe()
	must(t, err)
	must(t, s.process.Start())
	s.ended = make(chan struct{})
	uri := make(chan string, 1)
	go func() {
		defer close(s.ended)
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			if found := serving.FindStringSubmatch(lines.Text()); found != nil {
				uri <- found[1]
			}
		}
	}()
	select {
	case s.uri = <-uri:
		if !strings.Contains(s.uri, "://") {
			s.uri = "holdfast://" + s.uri
		}
	case <-s.ended:
		t.Fatal("the server ended before it served")
	}
}

func (s *server) stop() {
	if s.ended != nil {
		_ = s.process.Process.Kill()
		<-s.ended
		_ = s.process.Wait()
	}
	_ = os.RemoveAll(s.directory)
}

func sharedURI(t *testing.T) string {
	t.Helper()
	if shared.uri == "" {
		shared.start(t)
	}
	return shared.uri
}
