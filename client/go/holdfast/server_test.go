package holdfast_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/client/go/holdfast"
)

func connected(t *testing.T) *holdfast.Client {
	t.Helper()
	logger := holdfast.WithLogger(slog.New(slog.DiscardHandler))
	client, err := holdfast.Connect(context.Background(), sharedURI(t), logger)
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newRun(t *testing.T, client *holdfast.Client) *holdfast.Run {
	t.Helper()
	experiment, err := client.Experiment(context.Background(), "ocr")
	if err != nil {
		t.Fatal(err)
	}
	run, err := experiment.CreateRun(context.Background(), holdfast.WithRunName("first"),
		holdfast.WithRunTags(map[string]string{"team": "go"}))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestARunKeepsWhatItLogs(t *testing.T) {
	ctx, client := context.Background(), connected(t)
	run := newRun(t, client)
	must(t, run.LogParam(ctx, "rate", "0.1"))
	must(t, run.LogParam(ctx, "rate", "0.1"))
	if err := run.LogParam(ctx, "rate", "0.2"); !errors.Is(err, holdfast.ErrInvalidArgument) {
		t.Errorf("of another value the error is %v", err)
	}
	must(t, run.SetTag(ctx, "state", "trying"))
	at := time.UnixMilli(1_700_000_000_000).UTC()
	points := []holdfast.Metric{
		{Key: "loss", Value: math.Inf(1), Step: -1, Time: at}, {Key: "loss", Value: math.NaN(), Step: 1, Time: at},
	}
	must(t, run.LogMetrics(ctx, points))
	must(t, run.LogMetric(ctx, "loss", 0.5, 2))
	must(t, run.Finish(ctx, holdfast.Finished))

	info, err := run.Info(ctx)
	must(t, err)
	if info.Name != "first" || info.Status != holdfast.Finished || info.Params["rate"] != "0.1" ||
		info.Tags["team"] != "go" || info.Tags["state"] != "trying" || info.Metrics["loss"] != 0.5 || info.EndTime.IsZero() {
		t.Errorf("%+v", info)
	}
	var history []holdfast.Metric
	for point, err := range run.MetricHistory(ctx, "loss") {
		must(t, err)
		history = append(history, point)
	}
	if len(history) != 3 || !math.IsInf(history[0].Value, 1) || !math.IsNaN(history[1].Value) || !history[0].Time.Equal(at) {
		t.Errorf("%+v", history)
	}
}

func TestMoreThanOneRequestTakesIsSentInSeveral(t *testing.T) {
	ctx, client := context.Background(), connected(t)
	run := newRun(t, client)
	params, metrics := map[string]string{}, make([]holdfast.Metric, 2_500)
	for i := range 250 {
		params["param-"+string(rune('a'+i%26))+strings.Repeat("x", i/26)] = strings.Repeat("value", 1_000)
	}
	for i := range metrics {
		metrics[i] = holdfast.Metric{Key: "loss", Value: float64(i), Step: int64(i)}
	}
	must(t, run.LogParams(ctx, params))
	must(t, run.LogMetrics(ctx, metrics))
	info, err := run.Info(ctx)
	must(t, err)
	if len(info.Params) != 250 || info.Metrics["loss"] != 2_499 {
		t.Errorf("%d params, loss %v", len(info.Params), info.Metrics["loss"])
	}
}

// makeTree makes a directory with a large file, small ones, an executable one, an empty one and an empty directory.
func makeTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	large := make([]byte, 2*holdfast.BlockSize+77)
	for i := range large {
		large[i] = byte(i >> 14)
	}
	for name, content := range map[string][]byte{
		"large.bin": large, "empty.txt": nil, "notes/größe.txt": []byte("hello"), "notes/second.txt": []byte("hello"),
		"medium.bin": large[:100_000],
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700))
		must(t, os.WriteFile(filepath.Join(root, name), content, 0o600))
	}
	must(t, os.WriteFile(filepath.Join(root, "run.sh"), []byte("#!/bin/sh\n"), 0o700))
	must(t, os.Mkdir(filepath.Join(root, "nothing"), 0o700))
	return root
}

// describe lists what is in a local directory, as the client would of an artifact.
func describe(t *testing.T, root string) []holdfast.Entry {
	t.Helper()
	var entries []holdfast.Entry
	must(t, filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		entry := holdfast.Entry{Path: filepath.ToSlash(name), Directory: info.IsDir()}
		if !info.IsDir() && err == nil {
			entry.Size, entry.Executable = info.Size(), info.Mode()&0o100 != 0
			entry.Digest, err = holdfast.DigestFile(path)
		}
		entries = append(entries, entry)
		return err
	}))
	slices.SortFunc(entries, func(a, b holdfast.Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries
}

func TestADirectoryComesBackAsItWas(t *testing.T) {
	ctx, client := context.Background(), connected(t)
	run, root := newRun(t, client), makeTree(t)
	want := describe(t, root)
	must(t, run.LogArtifacts(ctx, root, ""))
	listed, err := client.WalkArtifacts(ctx, run.ArtifactURI(""))
	must(t, err)
	if !slices.Equal(listed, want) {
		t.Errorf("listed is %v, want %v", listed, want)
	}
	here := t.TempDir()
	path, err := client.Download(ctx, run.ArtifactURI(""), here)
	must(t, err)
	if found := describe(t, here); path != here || !slices.Equal(found, want) {
		t.Errorf("in %s there is %v", path, found)
	}
	// Again over what is there, and a part under its own name.
	_, err = client.Download(ctx, run.ArtifactURI(""), here)
	must(t, err)
	if path, err = client.Download(ctx, run.ArtifactURI("notes"), t.TempDir()); filepath.Base(path) != "notes" {
		t.Errorf("the directory is at %s, %v", path, err)
	}
	level, err := run.ListArtifacts(ctx, "notes")
	must(t, err)
	if len(level) != 2 || level[0].Path != "notes/größe.txt" {
		t.Errorf("one level is %v", level)
	}
}

func TestAFileIsReadInParts(t *testing.T) {
	ctx, client := context.Background(), connected(t)
	run, root := newRun(t, client), makeTree(t)
	must(t, run.LogArtifact(ctx, filepath.Join(root, "large.bin"), "models"))
	content, err := os.ReadFile(filepath.Join(root, "large.bin"))
	must(t, err)
	uri := run.ArtifactURI("models/large.bin")
	for _, part := range [][2]int64{{0, -1}, {1, 10}, {holdfast.BlockSize - 3, 6}, {5, int64(len(content))}, {int64(len(content)), 1}} {
		reader, err := client.ReadRange(ctx, uri, part[0], part[1])
		must(t, err)
		found, err := io.ReadAll(reader)
		must(t, err)
		must(t, reader.Close())
		want := content[part[0]:]
		if part[1] >= 0 && part[1] < int64(len(want)) {
			want = want[:part[1]]
		}
		if !bytes.Equal(found, want) {
			t.Errorf("from %d on %d bytes came, want %d", part[0], len(found), len(want))
		}
	}
	left, err := client.ReadRange(ctx, uri, 0, -1)
	must(t, err)
	must(t, left.Close()) // without reading it

	file, err := client.Open(ctx, uri)
	must(t, err)
	defer func() { must(t, file.Close()) }()
	if file.Size() != int64(len(content)) {
		t.Errorf("its size is %d", file.Size())
	}
	piece := make([]byte, 100)
	if _, err := file.ReadAt(piece, holdfast.BlockSize-50); err != nil || !bytes.Equal(piece, content[holdfast.BlockSize-50:][:100]) {
		t.Errorf("what is read across two blocks is other, %v", err)
	}
	whole := sha256.New()
	if _, err := io.Copy(whole, file); err != nil || [32]byte(whole.Sum(nil)) != sha256.Sum256(content) {
		t.Errorf("what is read from the beginning is other, %v", err)
	}
	if _, err := client.Open(ctx, run.ArtifactURI("models")); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("of a directory the error is %v", err)
	}
}

func TestAModelIsLoggedRegisteredPromotedAndWatched(t *testing.T) {
	ctx, client := context.Background(), connected(t)
	run := newRun(t, client)
	directory := t.TempDir()
	var local *holdfast.LocalFileError
	if _, err := run.LogModel(ctx, directory, "net"); !errors.As(err, &local) {
		t.Errorf("of what is no model the error is %v", err)
	}
	must(t, os.WriteFile(filepath.Join(directory, "MLmodel"), []byte("flavors: {}\n"), 0o600))
	model, err := run.LogModel(ctx, directory, "net")
	must(t, err)
	for range 2 {
		_, err := client.RegisterModel(ctx, "ocr", model.URI())
		must(t, err)
	}
	if _, err := client.GetModelVersionByAlias(ctx, "ocr", "prod"); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("of an absent alias the error is %v", err)
	}
	must(t, client.SetAlias(ctx, "ocr", "prod", 1, holdfast.IfAbsent()))
	if err := client.SetAlias(ctx, "ocr", "prod", 2, holdfast.IfAbsent()); !errors.Is(err, holdfast.ErrConflict) {
		t.Errorf("of a lost race the error is %v", err)
	}
	cursor := ""
	for event, err := range client.WatchModel(ctx, "ocr", holdfast.OnlyAlias("prod")) {
		must(t, err)
		if event.Type == "STATE" {
			if event.Model.Aliases["prod"] != 1 {
				t.Errorf("%+v", event.Model)
			}
			must(t, client.SetAlias(ctx, "ocr", "prod", 2, holdfast.IfVersion(1)))
			continue
		}
		if event.Subject != "ALIAS" || event.Version != 2 {
			t.Errorf("%+v", event)
		}
		cursor = event.Cursor
		break
	}
	must(t, client.DeleteAlias(ctx, "ocr", "prod"))
	for event, err := range client.WatchModel(ctx, "ocr", holdfast.After(cursor)) {
		must(t, err)
		if event.Subject != "ALIAS" || event.Version != 0 {
			t.Errorf("%+v", event)
		}
		break
	}
	version, err := client.GetModelVersion(ctx, "ocr", 2)
	must(t, err)
	path, err := client.Download(ctx, "models:/ocr/2", t.TempDir())
	must(t, err)
	if entries := describe(t, path); version.ModelID != model.ID || version.TreeDigest != holdfast.TreeDigest(entries) {
		t.Errorf("%+v is not %v", version, entries)
	}
}

func TestARunIsWatched(t *testing.T) {
	ctx, client := context.Background(), connected(t)
	run := newRun(t, client)
	for event, err := range client.WatchRun(ctx, run.ID) {
		must(t, err)
		if event.Run != nil {
			must(t, run.LogMetric(ctx, "loss", 0.5, 3))
			continue
		}
		if event.Type != "METRICS" || event.Metrics[0].Key != "loss" || event.Metrics[0].Step != 3 {
			t.Errorf("%+v", event)
		}
		break
	}
}

func TestRefusalsOfTheServerAreTyped(t *testing.T) {
	ctx, client := context.Background(), connected(t)
	_, err := client.Run(strings.Repeat("0", 32)).Info(ctx)
	var refused *holdfast.Error
	if !errors.As(err, &refused) || refused.Reason != "RUN_NOT_FOUND" || refused.RequestID == "" {
		t.Errorf("%+v", err)
	}
	if _, err := client.Download(ctx, "runs:/"+newRun(t, client).ID+"/nothing", t.TempDir()); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("of a missing file the error is %v", err)
	}
	if err := newRun(t, client).LogArtifact(ctx, makeTree(t), "../up"); !errors.Is(err, holdfast.ErrInvalidArgument) {
		t.Errorf("of a bad path the error is %v", err)
	}
	if _, err := client.CreateExperiment(ctx, "ocr"); !errors.Is(err, holdfast.ErrAlreadyExists) {
		t.Errorf("of a taken name the error is %v", err)
	}
	experiment, err := client.GetExperiment(ctx, "0")
	if err != nil || experiment.Name != "Default" {
		t.Errorf("%+v, %v", experiment, err)
	}
}

func TestAServerIsReachedOverItsSocket(t *testing.T) {
	directory, err := os.MkdirTemp("", "holdfast-go-") // shorter than t.TempDir
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(directory)) })
	socket := filepath.Join(directory, "holdfast.sock")
	private := server{}
	t.Cleanup(private.stop)
	private.start(t, "--unix", socket)
	client, err := holdfast.Connect(context.Background(), "unix:"+socket)
	must(t, err)
	must(t, newRun(t, client).LogArtifact(context.Background(), makeTree(t), ""))
	must(t, client.Close())
}

func TestWithoutATokenAServerThatWantsOneSaysSo(t *testing.T) {
	guarded := server{}
	t.Cleanup(guarded.stop)
	guarded.start(t, "--auth", "tokens")
	_, err := holdfast.Connect(context.Background(), guarded.uri)
	var refused *holdfast.Error
	if !errors.As(err, &refused) || refused.Reason != "TOKEN_MISSING" || !errors.Is(err, holdfast.ErrUnauthenticated) {
		t.Errorf("the error is %v", err)
	}
}
