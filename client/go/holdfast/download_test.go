package holdfast

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "holdfast/client/go/holdfast/v1"
)

func directoryLocation() *pb.ArtifactLocation {
	return &pb.ArtifactLocation{Kind: pb.EntryKind_ENTRY_KIND_DIRECTORY}
}

func filePart(path string, content []byte) *pb.FilePart {
	digest := sha256.Sum256(content)
	return &pb.FilePart{
		Entry: &pb.Entry{
			Path: path, Kind: pb.EntryKind_ENTRY_KIND_FILE, Size: int64(len(content)), Digest: digest[:],
		},
		Data: content,
	}
}

func TestAServerCannotWriteOutsideOfTheDestination(t *testing.T) {
	for _, path := range []string{"../evil", "/evil", "a/../../evil", `..\evil`, "C:/evil"} {
		t.Run(path, func(t *testing.T) {
			server := &fakeServer{served: directoryLocation(), parts: []*pb.FilePart{filePart(path, []byte("x"))}}
			client := server.serve(t)
			parent := t.TempDir()
			if _, err := client.Download(context.Background(), "runs:/x", filepath.Join(parent, "here")); err == nil {
				t.Error("it was written")
			}
			if found, _ := os.ReadDir(parent); len(found) != 1 {
				t.Errorf("beside the destination there is %v", found)
			}
		})
	}
}

func TestALinkAtTheDestinationLeadsNowhere(t *testing.T) {
	server := &fakeServer{served: directoryLocation(), parts: []*pb.FilePart{filePart("link/file", []byte("x"))}}
	client := server.serve(t)
	outside, here := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(here, "link")); err != nil {
		t.Fatal(err)
	}
	var local *LocalFileError
	if _, err := client.Download(context.Background(), "runs:/x", here); !errors.As(err, &local) {
		t.Errorf("the error is %v", err)
	}
	if found, _ := os.ReadDir(outside); len(found) != 0 {
		t.Errorf("outside there is %v", found)
	}
}

func TestASmallFileThatWasChangedOnItsWayIsNotWritten(t *testing.T) {
	bad := filePart("bad", []byte("hello"))
	bad.Data = []byte("jello")
	server := &fakeServer{served: directoryLocation(), parts: []*pb.FilePart{filePart("good", []byte("x")), bad}}
	client := server.serve(t)
	here := t.TempDir()
	if _, err := client.Download(context.Background(), "runs:/x", here); !errors.Is(err, ErrDataLoss) {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(here, "bad")); err == nil {
		t.Error("it was written")
	}
}

// largeServer serves a file of three blocks, of which a stream brings so many before it breaks; 0: all.
func largeServer(bring int, change func([]byte)) (*fakeServer, []byte) {
	content := make([]byte, 2*BlockSize+5)
	for i := range content {
		content[i] = byte(i >> 12)
	}
	var blocks []Digest
	for start := 0; start < len(content); start += BlockSize {
		blocks = append(blocks, sha256.Sum256(content[start:min(start+BlockSize, len(content))]))
	}
	digest := fileDigest(blocks)
	entry := &pb.Entry{
		Path: "large", Kind: pb.EntryKind_ENTRY_KIND_FILE, Size: int64(len(content)), Digest: digest[:],
	}
	server := &fakeServer{
		served: &pb.ArtifactLocation{Path: "large", Kind: pb.EntryKind_ENTRY_KIND_FILE},
		parts:  []*pb.FilePart{{Entry: entry}},
	}
	server.readFile = func(
		n int, request *pb.ReadFileRequest, stream grpc.ServerStreamingServer[pb.ReadFileResponse],
	) error {
		header := &pb.ReadFileHeader{Entry: entry, StartOffset: request.GetOffset(), EndOffset: entry.GetSize()}
		if err := stream.Send(&pb.ReadFileResponse{Part: &pb.ReadFileResponse_Header{Header: header}}); err != nil {
			return err
		}
		for count, at := 0, int(request.GetOffset()); at < len(content); count++ {
			if n == 1 && bring > 0 && count == bring {
				return status.Error(codes.Unavailable, "the connection broke")
			}
			whole := append([]byte{}, content[at:min(at+BlockSize, len(content))]...)
			if change != nil {
				change(whole)
			}
			for start := 0; start < len(whole); start += chunkSize {
				chunk := &pb.BlockChunk{Data: whole[start:min(start+chunkSize, len(whole))]}
				if start == 0 {
					chunk.Digest, chunk.Size = blocks[at/BlockSize][:], uint32(len(whole))
				}
				if err := stream.Send(&pb.ReadFileResponse{Part: &pb.ReadFileResponse_Chunk{Chunk: chunk}}); err != nil {
					return err
				}
			}
			at += len(whole)
		}
		return nil
	}
	return server, content
}

func TestADownloadThatBreaksGoesOnAtTheBlockItReached(t *testing.T) {
	server, content := largeServer(1, nil)
	client := server.serve(t)
	path, err := client.Download(context.Background(), "runs:/x/large", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(path)
	if err != nil || sha256.Sum256(written) != sha256.Sum256(content) || server.reads != 2 {
		t.Errorf("%d bytes after %d reads, %v", len(written), server.reads, err)
	}
	// It is there now, and not fetched again.
	if _, err := client.Download(context.Background(), "runs:/x/large", filepath.Dir(path)); err != nil || server.reads != 2 {
		t.Errorf("%d reads, %v", server.reads, err)
	}
}

func TestALargeFileThatWasChangedOnItsWayLeavesNothing(t *testing.T) {
	server, _ := largeServer(0, func(block []byte) { block[3]++ })
	client := server.serve(t)
	here := t.TempDir()
	if _, err := client.Download(context.Background(), "runs:/x/large", here); !errors.Is(err, ErrDataLoss) {
		t.Errorf("the error is %v", err)
	}
	if found, _ := os.ReadDir(here); len(found) != 0 {
		t.Errorf("at the destination there is %v", found)
	}
}

func TestACanceledDownloadLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	server, _ := largeServer(0, func([]byte) { cancel() })
	client := server.serve(t)
	here := t.TempDir()
	if _, err := client.Download(ctx, "runs:/x/large", here); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if found, _ := os.ReadDir(here); len(found) != 0 {
		t.Errorf("at the destination there is %v", found)
	}
}
