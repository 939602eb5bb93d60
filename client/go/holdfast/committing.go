package holdfast

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "holdfast/client/go/holdfast/v1"
)

const (
	// Contents up to this size go inside the commit: less to say about each than as blocks that are written before.
	maxInline = 64 << 10
	// What one message of a commit holds; the protocol allows 1 MiB and 10,000 entries.
	commitBytes   = 768 << 10
	commitEntries = 2_000
	commitDigests = 16_384
	// What an entry takes besides its path and content, at most.
	entryOverhead = 120
	// Digests that are remembered as sent, so that equal files of one tree are sent once.
	maxRemembered = 65_536
	// Times that a commit is sent whose contents were damaged on their way, before it is an error.
	maxDamaged = 3
)

// errMissing says that a commit names blocks that the server lacks.
var errMissing = errors.New("the server lacks blocks of this commit")

// commit is a set of entries that becomes visible at once, with the contents of small files. It may be tried again after
// an interruption, or a bit that flipped on the way: what the server has by then is named by digest and not sent again.
type commit struct {
	conn      *connection
	owner     *pb.TreeOwner
	requestID string
	reached   int64 // small files that were handed over so far, in the attempt that came furthest
}

// run commits entries, whose blocks were written, and the files of small, which are read here.
func (c *commit) run(ctx context.Context, entries []*pb.NewEntry, small []source) error {
	var response *pb.CommitFilesResponse
	var err error
	for range maxDamaged {
		err = c.conn.persist(ctx, func() int64 { return c.reached }, func(ctx context.Context) (err error) {
			response, err = c.attempt(ctx, entries, small)
			return err
		})
		// Damaged on the way, as what was read is what was hashed.
		if failure := (*Error)(nil); !errors.As(err, &failure) || failure.Reason != "CONTENT_MISMATCH" {
			break
		}
	}
	if err == nil && response.GetMissing() != nil {
		return errMissing
	}
	return err
}

func (c *commit) attempt(
	ctx context.Context, entries []*pb.NewEntry, small []source,
) (*pb.CommitFilesResponse, error) {
	// Without the end that comes last nothing is committed, so whatever fails before it only ends the call.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewArtifactServiceClient(c.conn.grpc).CommitFiles(ctx)
	if err != nil {
		return nil, err
	}
	err = c.sendAll(ctx, stream, entries, small)
	if err != nil && !errors.Is(err, io.EOF) { // on EOF the server has answered already
		return nil, err
	}
	return stream.CloseAndRecv()
}

type commitStream = grpc.ClientStreamingClient[pb.CommitFilesRequest, pb.CommitFilesResponse]

func (c *commit) sendAll(ctx context.Context, stream commitStream, entries []*pb.NewEntry, small []source) error {
	header := &pb.CommitHeader{Owner: c.owner, RequestId: c.requestID}
	err := stream.Send(&pb.CommitFilesRequest{Part: &pb.CommitFilesRequest_Header{Header: header}})
	if err != nil {
		return err
	}
	for message := range entryMessages(entries) {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	if err := c.sendSmall(ctx, stream, small); err != nil {
		return err
	}
	end := &pb.CommitEnd{EntryCount: int64(len(entries) + len(small))}
	return stream.Send(&pb.CommitFilesRequest{Part: &pb.CommitFilesRequest_End{End: end}})
}

func (c *commit) sendSmall(ctx context.Context, stream commitStream, small []source) error {
	var entries []*pb.NewEntry
	sent := map[Digest]bool{}
	size, done := 0, int64(0)
	flush := func() error {
		if len(entries) == 0 {
			return nil
		}
		err := stream.Send(entriesMessage(entries))
		entries, size = nil, 0
		c.reached = max(c.reached, done)
		return err
	}
	for window, err := range c.smallFiles(ctx, small) {
		if err != nil {
			return err
		}
		for _, block := range window.blocks {
			entry := fileEntry(&small[block.source], nil)
			isThere := sent[block.digest] || window.missing != nil && !window.missing[block.digest]
			switch {
			case len(block.data) == 0:
			case isThere:
				entry.BlockDigests = [][]byte{block.digest[:]}
			default:
				entry.InlineData = block.data
				entry.Digest = block.digest[:] // so that a bit that flips on the way is noticed
				size += len(block.data)
				sent[block.digest] = true
			}
			entries = append(entries, entry)
			done++
			size += len(entry.GetPath()) + entryOverhead
			if size > commitBytes {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if len(sent) > maxRemembered {
			clear(sent)
		}
	}
	return flush()
}

// smallFiles are the contents of small files, with what the server lacks of them; of so little that it goes in one round
// trip that is not asked.
func (c *commit) smallFiles(ctx context.Context, small []source) iter.Seq2[window, error] {
	total := int64(0)
	for _, file := range small {
		total += file.size
	}
	batches := hashSources(small)
	if total > maxInline {
		return askMissing(ctx, c.conn, batches)
	}
	return func(yield func(window, error) bool) {
		for blocks, err := range batches {
			if !yield(window{blocks: blocks}, err) {
				return
			}
		}
	}
}

// fileEntry is the entry of a file, by the digests of its blocks.
func fileEntry(file *source, digests []Digest) *pb.NewEntry {
	return &pb.NewEntry{
		Path:         file.path,
		Kind:         pb.EntryKind_ENTRY_KIND_FILE,
		Executable:   file.executable,
		Size:         file.size,
		BlockDigests: rawDigests(digests),
	}
}

func entriesMessage(entries []*pb.NewEntry) *pb.CommitFilesRequest {
	return &pb.CommitFilesRequest{
		Part: &pb.CommitFilesRequest_Entries{Entries: &pb.CommitEntries{Entries: entries}},
	}
}

// entryMessages are messages for entries, of large files in several.
func entryMessages(entries []*pb.NewEntry) iter.Seq[*pb.CommitFilesRequest] {
	return func(yield func(*pb.CommitFilesRequest) bool) {
		var some []*pb.NewEntry
		size := 0
		for _, entry := range entries {
			more := entry.GetBlockDigests()
			if len(more) > commitDigests {
				first := proto.CloneOf(entry)
				first.BlockDigests = first.BlockDigests[:commitDigests]
				entry, more = first, more[commitDigests:]
			} else {
				more = nil
			}
			some = append(some, entry)
			size += proto.Size(entry)
			if len(more) > 0 || size > commitBytes-commitDigests || len(some) >= commitEntries {
				if !yield(entriesMessage(some)) {
					return
				}
				some, size = nil, 0
			}
			for start := 0; start < len(more); start += commitDigests {
				part := &pb.MoreBlocks{BlockDigests: more[start:min(start+commitDigests, len(more))]}
				if !yield(&pb.CommitFilesRequest{Part: &pb.CommitFilesRequest_MoreBlocks{MoreBlocks: part}}) {
					return
				}
			}
		}
		if len(some) > 0 {
			yield(entriesMessage(some))
		}
	}
}
