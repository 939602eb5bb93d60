package holdfast

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "holdfast/client/go/holdfast/v1"
)

func TestAnUploadThatBreaksSendsOnlyWhatWasNotAnswered(t *testing.T) {
	server := &fakeServer{}
	server.onBlock = func(n int) (pb.BlockStatus, error) {
		if n == 3 {
			return 0, status.Error(codes.Unavailable, "the connection broke")
		}
		return pb.BlockStatus_BLOCK_STATUS_STORED, nil
	}
	client := server.serve(t)
	if err := client.Run("run").LogArtifact(context.Background(), makeFile(t, 5*BlockSize), ""); err != nil {
		t.Fatal(err)
	}
	if len(server.received) != 6 {
		t.Errorf("5 blocks, of which one came in vain, and the server received %d", len(server.received))
	}
	if len(server.committed) != 1 || len(server.committed[0].GetBlockDigests()) != 5 {
		t.Errorf("committed is %v", server.committed)
	}
}

func TestABlockThatWasChangedOnItsWayIsSentAgain(t *testing.T) {
	server := &fakeServer{}
	server.onBlock = func(n int) (pb.BlockStatus, error) {
		if n == 1 {
			return pb.BlockStatus_BLOCK_STATUS_DIGEST_MISMATCH, nil
		}
		return pb.BlockStatus_BLOCK_STATUS_STORED, nil
	}
	client := server.serve(t)
	if err := client.Run("run").LogArtifact(context.Background(), makeFile(t, 2*BlockSize), ""); err != nil {
		t.Fatal(err)
	}
	if len(server.received) != 3 {
		t.Errorf("the server received %d blocks", len(server.received))
	}
}

func TestABlockThatIsAlwaysChangedOnItsWayIsDataLoss(t *testing.T) {
	server := &fakeServer{}
	server.onBlock = func(int) (pb.BlockStatus, error) { return pb.BlockStatus_BLOCK_STATUS_DIGEST_MISMATCH, nil }
	client := server.serve(t)
	err := client.Run("run").LogArtifact(context.Background(), makeFile(t, BlockSize), "")
	if !errors.Is(err, ErrDataLoss) || len(server.received) != sendAttempts {
		t.Errorf("%v after %d attempts", err, len(server.received))
	}
	if server.committed != nil {
		t.Error("something was committed")
	}
}

// mismatch is how a server refuses a content that does not have its digest.
func mismatch(t *testing.T) error {
	t.Helper()
	refused, err := status.New(codes.InvalidArgument, "its digest is not that of its blocks").
		WithDetails(&errdetails.ErrorInfo{Domain: errorDomain, Reason: "CONTENT_MISMATCH"})
	if err != nil {
		t.Fatal(err)
	}
	return refused.Err()
}

func TestASmallFileThatWasChangedOnItsWayIsSentAgain(t *testing.T) {
	refused := mismatch(t)
	server := &fakeServer{}
	server.onCommit = func(n int) (*pb.CommitFilesResponse, error) {
		if n < maxDamaged {
			return nil, refused
		}
		return nil, nil
	}
	client := server.serve(t)
	if err := client.Run("run").LogArtifact(context.Background(), makeFile(t, 10), ""); err != nil {
		t.Fatal(err)
	}
	if len(server.requests) != maxDamaged || server.requests[0] != server.requests[maxDamaged-1] {
		t.Errorf("the request ids are %q", server.requests)
	}
}

func TestASmallFileThatIsAlwaysChangedOnItsWayIsAnError(t *testing.T) {
	refused := mismatch(t)
	server := &fakeServer{}
	server.onCommit = func(int) (*pb.CommitFilesResponse, error) { return nil, refused }
	client := server.serve(t)
	err := client.Run("run").LogArtifact(context.Background(), makeFile(t, 10), "")
	var failure *Error
	if !errors.As(err, &failure) || failure.Reason != "CONTENT_MISMATCH" || len(server.requests) != maxDamaged {
		t.Errorf("%v after %d attempts", err, len(server.requests))
	}
}

func TestACommitThatFindsBlocksMissingIsRepeatedWithItsRequestID(t *testing.T) {
	server := &fakeServer{}
	server.onCommit = func(n int) (*pb.CommitFilesResponse, error) {
		if n > 1 {
			return nil, nil
		}
		clear(server.blocks) // as gc does
		return &pb.CommitFilesResponse{Outcome: &pb.CommitFilesResponse_Missing{Missing: &pb.MissingBlocks{}}}, nil
	}
	client := server.serve(t)
	if err := client.Run("run").LogArtifact(context.Background(), makeFile(t, BlockSize+1), ""); err != nil {
		t.Fatal(err)
	}
	if len(server.received) != 4 {
		t.Errorf("two blocks were to be sent twice, and %d were", len(server.received))
	}
	if len(server.requests) != 2 || server.requests[0] != server.requests[1] || server.requests[0] == "" {
		t.Errorf("the request ids are %q", server.requests)
	}
}

func TestACommitThatBreaksIsRepeatedWithItsRequestID(t *testing.T) {
	server := &fakeServer{}
	server.onCommit = func(n int) (*pb.CommitFilesResponse, error) {
		if n == 1 {
			return nil, status.Error(codes.Unavailable, "the connection broke")
		}
		return nil, nil
	}
	client := server.serve(t)
	if err := client.Run("run").LogArtifact(context.Background(), makeFile(t, 10), ""); err != nil {
		t.Fatal(err)
	}
	if len(server.requests) != 2 || server.requests[0] != server.requests[1] {
		t.Errorf("the request ids are %q", server.requests)
	}
}

func TestEqualBlocksOfAFileAreSentOnce(t *testing.T) {
	server := &fakeServer{}
	client := server.serve(t)
	path := filepath.Join(t.TempDir(), "zeros")
	if err := os.WriteFile(path, make([]byte, 3*BlockSize), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client.Run("run").LogArtifact(context.Background(), path, ""); err != nil {
		t.Fatal(err)
	}
	if len(server.received) != 1 || len(server.committed[0].GetBlockDigests()) != 3 {
		t.Errorf("%d blocks were sent", len(server.received))
	}
}

func TestACanceledUploadEndsWithTheContextsError(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	server := &fakeServer{}
	server.onBlock = func(int) (pb.BlockStatus, error) {
		cancel()
		return pb.BlockStatus_BLOCK_STATUS_STORED, nil
	}
	client := server.serve(t)
	err := client.Run("run").LogArtifact(ctx, makeFile(t, 5*BlockSize), "")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if server.committed != nil {
		t.Error("something was committed")
	}
}

func TestTheTreeOfADirectoryIsLoggedAsItIs(t *testing.T) {
	server := &fakeServer{}
	client := server.serve(t)
	directory := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"empty": 0, "tools": 0, "tools/run": 0o700, "note.txt": 0o600} {
		path := filepath.Join(directory, name)
		if mode == 0 {
			if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("note.txt", filepath.Join(directory, "link")); err != nil {
		t.Fatal(err)
	}
	if err := client.Run("run").LogArtifacts(context.Background(), directory, "data"); err != nil {
		t.Fatal(err)
	}
	logged := map[string]*pb.NewEntry{}
	for _, entry := range server.committed {
		logged[entry.GetPath()] = entry
	}
	for _, name := range []string{"data", "data/empty", "data/tools"} {
		if logged[name].GetKind() != pb.EntryKind_ENTRY_KIND_DIRECTORY {
			t.Errorf("%s is no directory", name)
		}
	}
	if !logged["data/tools/run"].GetExecutable() || logged["data/note.txt"].GetExecutable() {
		t.Error("the executable bit is not what it was")
	}
	if content := string(logged["data/link"].GetInlineData()); content != "note.txt" {
		t.Errorf("the link was logged as %q", content)
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	client := (&fakeServer{}).serve(t)
	directory := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(directory, "link")
	for name, make := range map[string]func() error{
		"a link that leaves the directory": func() error { return os.Symlink(outside, link) },
		"a broken link":                    func() error { return os.Symlink("nothing", link) },
		"a link to a directory above":      func() error { return os.Symlink(".", link) },
		"a socket": func() error {
			listener, err := net.Listen("unix", link)
			if err == nil {
				t.Cleanup(func() { _ = listener.Close() })
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := make(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.Remove(link) }()
			var local *LocalFileError
			if err := client.Run("run").LogArtifacts(context.Background(), directory, ""); !errors.As(err, &local) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if err := client.Run("run").LogArtifact(context.Background(), link, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a missing file the error is %v", err)
	}
}

func TestALinkIsFollowedOutOfTheDirectoryWhenAsked(t *testing.T) {
	server := &fakeServer{}
	client := server.serve(t)
	directory := t.TempDir()
	if err := os.Symlink(makeFile(t, 3), filepath.Join(directory, "link")); err != nil {
		t.Fatal(err)
	}
	if err := client.Run("run").LogArtifacts(context.Background(), directory, "", FollowLinks()); err != nil {
		t.Fatal(err)
	}
	if len(server.committed) != 1 || server.committed[0].GetSize() != 3 {
		t.Errorf("committed is %v", server.committed)
	}
}

func TestTheBlocksOfAHugeFileAreNamedInSeveralMessages(t *testing.T) {
	digests := make([][]byte, 3*commitDigests+5)
	for i := range digests {
		digests[i] = make([]byte, 32)
	}
	count := 0
	for message := range entryMessages([]*pb.NewEntry{{Path: "huge", BlockDigests: digests}, {Path: "next"}}) {
		for _, entry := range message.GetEntries().GetEntries() {
			count += len(entry.GetBlockDigests())
		}
		count += len(message.GetMoreBlocks().GetBlockDigests())
		if some := len(message.GetMoreBlocks().GetBlockDigests()); some > commitDigests {
			t.Errorf("a message has %d digests", some)
		}
	}
	if count != len(digests) {
		t.Errorf("%d of %d digests were named", count, len(digests))
	}
}
