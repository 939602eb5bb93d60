package holdfast

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "holdfast/client/go/holdfast/v1"
)

// fakeServer is a server in memory that misbehaves as a test wants it to; what it should do the real one does in
// server_test.go.
type fakeServer struct {
	pb.UnimplementedArtifactServiceServer
	pb.UnimplementedModelRegistryServiceServer
	pb.UnimplementedRunServiceServer

	mutex     sync.Mutex
	blocks    map[Digest][]byte
	received  []Digest // with those that came again
	requests  []string // request ids of commits
	committed []*pb.NewEntry
	// onBlock decides what becomes of the block that came as number n; an error ends the stream.
	onBlock func(n int) (pb.BlockStatus, error)
	// onCommit may answer in place of committing.
	onCommit func(n int) (*pb.CommitFilesResponse, error)
	// served is what downloads get.
	served   *pb.ArtifactLocation
	parts    []*pb.FilePart
	readFile func(n int, request *pb.ReadFileRequest, stream grpc.ServerStreamingServer[pb.ReadFileResponse]) error
	reads    int
	watch    func(n int, request *pb.WatchRegisteredModelRequest, stream grpc.ServerStreamingServer[pb.WatchRegisteredModelResponse]) error
	watches  int
}

// serve starts the server on a port of its own and connects to it.
func (f *fakeServer) serve(t *testing.T, options ...grpc.ServerOption) *Client {
	t.Helper()
	leavesNoGoroutine(t)
	client, err := Connect(context.Background(), "holdfast://"+f.listen(t, options...), quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func (f *fakeServer) listen(t *testing.T, options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.blocks = map[Digest][]byte{}
	server := grpc.NewServer(options...)
	pb.RegisterArtifactServiceServer(server, f)
	pb.RegisterModelRegistryServiceServer(server, f)
	pb.RegisterRunServiceServer(server, f)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-ended
	})
	return listener.Addr().String()
}

// quiet is a client's option: no warnings among the output of the tests.
func quiet() Option { return WithLogger(slog.New(slog.DiscardHandler)) }

func (f *fakeServer) GetCapabilities(context.Context, *pb.GetCapabilitiesRequest) (*pb.GetCapabilitiesResponse, error) {
	return &pb.GetCapabilitiesResponse{ServerVersion: "1.2.3"}, nil
}

func (f *fakeServer) FindMissingBlocks(
	_ context.Context, request *pb.FindMissingBlocksRequest,
) (*pb.FindMissingBlocksResponse, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	response := &pb.FindMissingBlocksResponse{}
	for _, digest := range request.GetDigests() {
		if _, isHere := f.blocks[Digest(digest)]; !isHere {
			response.MissingDigests = append(response.MissingDigests, digest)
		}
	}
	return response, nil
}

func (f *fakeServer) WriteBlocks(stream grpc.BidiStreamingServer[pb.WriteBlocksRequest, pb.WriteBlocksResponse]) error {
	const window = 3 << 19 // the smallest one that a server allows
	taken := int64(0)
	if err := stream.Send(&pb.WriteBlocksResponse{WindowBytes: window}); err != nil {
		return err
	}
	var chunked []byte
	var digest []byte
	size := 0
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		taken += int64(len(request.GetChunk().GetData())) // close enough: heads are small
		response := &pb.WriteBlocksResponse{TakenBytes: taken, WindowBytes: window}
		blocks := request.GetBlocks()
		if chunk := request.GetChunk(); chunk != nil {
			if len(chunk.GetDigest()) > 0 {
				digest, size, chunked = chunk.GetDigest(), int(chunk.GetSize()), nil
			}
			if chunked = append(chunked, chunk.GetData()...); len(chunked) == size {
				blocks = append(blocks, &pb.Block{Digest: digest, Data: chunked})
			}
		}
		for _, block := range blocks {
			result, err := f.take(block)
			if err != nil {
				return err
			}
			response.Results = append(response.Results, result)
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

func (f *fakeServer) take(block *pb.Block) (*pb.BlockResult, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.received = append(f.received, Digest(block.GetDigest()))
	become := pb.BlockStatus_BLOCK_STATUS_STORED
	if Digest(block.GetDigest()) != sha256.Sum256(block.GetData()) {
		become = pb.BlockStatus_BLOCK_STATUS_DIGEST_MISMATCH
	} else if f.onBlock != nil {
		var err error
		if become, err = f.onBlock(len(f.received)); err != nil {
			return nil, err
		}
	}
	if become == pb.BlockStatus_BLOCK_STATUS_STORED {
		f.blocks[Digest(block.GetDigest())] = block.GetData()
	}
	return &pb.BlockResult{Digest: block.GetDigest(), Status: become}, nil
}

func (f *fakeServer) CommitFiles(stream grpc.ClientStreamingServer[pb.CommitFilesRequest, pb.CommitFilesResponse]) error {
	var entries []*pb.NewEntry
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return status.Error(codes.Internal, "a commit without its end")
		}
		if err != nil {
			return err
		}
		switch part := request.GetPart().(type) {
		case *pb.CommitFilesRequest_Header:
			f.requests = append(f.requests, part.Header.GetRequestId())
		case *pb.CommitFilesRequest_Entries:
			entries = append(entries, part.Entries.GetEntries()...)
		case *pb.CommitFilesRequest_MoreBlocks:
			last := entries[len(entries)-1]
			last.BlockDigests = append(last.BlockDigests, part.MoreBlocks.GetBlockDigests()...)
		case *pb.CommitFilesRequest_End:
			if int(part.End.GetEntryCount()) != len(entries) {
				return status.Errorf(codes.Internal, "%d entries came of %d", len(entries), part.End.GetEntryCount())
			}
			response, err := f.commit(entries)
			if err != nil {
				return err
			}
			return stream.SendAndClose(response)
		}
	}
}

func (f *fakeServer) commit(entries []*pb.NewEntry) (*pb.CommitFilesResponse, error) {
	if f.onCommit != nil {
		if response, err := f.onCommit(len(f.requests)); response != nil || err != nil {
			return response, err
		}
	}
	f.committed = entries
	return &pb.CommitFilesResponse{Outcome: &pb.CommitFilesResponse_Committed{Committed: &pb.Tree{Sequence: 1}}}, nil
}

func (f *fakeServer) ResolveArtifact(
	context.Context, *pb.ResolveArtifactRequest,
) (*pb.ResolveArtifactResponse, error) {
	return &pb.ResolveArtifactResponse{Locations: []*pb.ArtifactLocation{f.served}}, nil
}

func (f *fakeServer) ReadFiles(_ *pb.ReadFilesRequest, stream grpc.ServerStreamingServer[pb.ReadFilesResponse]) error {
	return stream.Send(&pb.ReadFilesResponse{Parts: f.parts})
}

func (f *fakeServer) ReadFile(request *pb.ReadFileRequest, stream grpc.ServerStreamingServer[pb.ReadFileResponse]) error {
	f.reads++
	return f.readFile(f.reads, request, stream)
}

func (f *fakeServer) WatchRegisteredModel(
	request *pb.WatchRegisteredModelRequest, stream grpc.ServerStreamingServer[pb.WatchRegisteredModelResponse],
) error {
	f.watches++
	return f.watch(f.watches, request, stream)
}

// leavesNoGoroutine fails the test when a goroutine of this package is left at its end. Call it first.
func leavesNoGoroutine(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		const patience = 10 * time.Second
		var left string
		for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
			if left = ownGoroutines(); left == "" {
				return
			}
		}
		t.Errorf("goroutines are left:\n%s", left)
	})
}

// ownGoroutines are the stacks of goroutines with code of this package, but for those of tests.
func ownGoroutines() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var own []string
	for _, stack := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(stack, "holdfast/client/go/holdfast.") && !strings.Contains(stack, "testing.tRunner") {
			own = append(own, stack)
		}
	}
	return strings.Join(own, "\n\n")
}

// makeFile writes a file of some size, whose blocks differ.
func makeFile(t *testing.T, size int) string {
	t.Helper()
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i>>16 ^ i>>8 ^ i)
	}
	for block := 0; block*BlockSize < size; block++ {
		content[block*BlockSize] = byte(block + 1)
	}
	path := filepath.Join(t.TempDir(), "model.bin")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
