package holdfast_test

import (
	"context"
	"errors"
	"log"
	"os"
	"regexp"
	"strings"
	"testing"

	"holdfast/client/go/holdfast"
)

// serveAlias is the watch of the README.
func serveAlias(ctx context.Context, client *holdfast.Client, load func(version int64)) error {
	for event, err := range client.WatchModel(ctx, "churn", holdfast.OnlyAlias("prod")) {
		if err != nil {
			return err
		}
		if event.Model != nil { // how it is, first
			load(event.Model.Aliases["prod"])
		} else if event.Subject == "ALIAS" {
			load(event.Version) // 0: the alias was removed
		}
	}
	return nil
}

// tellErrors is how the README tells errors apart.
func tellErrors(ctx context.Context, client *holdfast.Client) {
	_, err := client.GetModelVersionByAlias(ctx, "churn", "prod")
	var refused *holdfast.Error
	switch {
	case errors.Is(err, holdfast.ErrNotFound):
		// there is no such model or alias
	case errors.As(err, &refused):
		log.Print(refused.Reason, refused.Metadata, refused.RequestID)
	}
}

func TestThePartsThatTheReadmeShowsAreThoseThatAreCompiledHere(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	must(t, err)
	here, err := os.ReadFile("example_test.go")
	must(t, err)
	count := 0
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if strings.HasPrefix(block[1], "package main") {
			continue // readme_test.go runs it
		}
		count++
		indented := "\t" + strings.ReplaceAll(strings.TrimSuffix(block[1], "\n"), "\n", "\n\t") + "\n"
		if !strings.Contains(string(here), indented) {
			t.Errorf("example_test.go lacks what README.md shows:\n%s", block[1])
		}
	}
	if count != 2 {
		t.Errorf("README.md shows %d parts", count)
	}
}

func TestWhatTheReadmeShowsOfAWatchEndsWithAnErrorForAModelThatIsNotThere(t *testing.T) {
	client := connected(t)
	tellErrors(context.Background(), client)
	err := serveAlias(context.Background(), client, func(int64) { t.Error("something was loaded") })
	if !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("the error is %v", err)
	}
}
