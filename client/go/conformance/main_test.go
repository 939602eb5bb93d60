package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func answersTo(t *testing.T, requests ...any) (string, error) {
	t.Helper()
	var lines, answers bytes.Buffer
	for _, request := range requests {
		if err := json.NewEncoder(&lines).Encode(request); err != nil {
			t.Fatal(err)
		}
	}
	err := serve(context.Background(), &lines, &answers)
	return answers.String(), err
}

func TestEachLineIsAnsweredByALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	request := map[string]any{"op": "file_digest", "path": path}
	answers, err := answersTo(t, request, request)
	want := `{"ok":{"digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}` + "\n"
	if err != nil || answers != want+want {
		t.Errorf("%v, %s", err, answers)
	}
}

func TestErrorsOfTheClientAreAnswered(t *testing.T) {
	answers, err := answersTo(t,
		map[string]any{"op": "connect", "uri": "http://localhost"},
		map[string]any{"op": "file_digest", "path": "/nothing"})
	if err != nil || !strings.Contains(answers, `"code":"INVALID_ARGUMENT"`) || !strings.Contains(answers, `"code":"NOT_FOUND"`) {
		t.Errorf("%v, %s", err, answers)
	}
}

func TestAnUnknownOpEndsTheDriver(t *testing.T) {
	if answers, err := answersTo(t, map[string]any{"op": "dance"}); err == nil {
		t.Errorf("it was answered: %s", answers)
	}
}

func TestValuesThatJSONHasNoNumberForTravelByName(t *testing.T) {
	for _, number := range []float64{0.1, math.Inf(1), math.Inf(-1), math.NaN(), 5e-324, math.MaxFloat64} {
		text, err := json.Marshal(value(number))
		if err != nil {
			t.Fatal(err)
		}
		var back value
		if err := json.Unmarshal(text, &back); err != nil || math.Float64bits(float64(back)) != math.Float64bits(number) &&
			!math.IsNaN(number) {
			t.Errorf("%v became %s and %v, %v", number, text, back, err)
		}
	}
}
