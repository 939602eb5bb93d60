package holdfast

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"google.golang.org/grpc"

	pb "holdfast/client/go/holdfast/v1"
)

// waitingBlocks is how many blocks of a file may wait to be verified and written while the next one arrives.
const waitingBlocks = 1

// location names a file or directory of a snapshot.
type location struct {
	owner    *pb.TreeOwner
	sequence int64
	path     string
}

// blockRange is a part of a file to read, in whole blocks.
type blockRange struct {
	location
	digest Digest   // of the whole file
	known  []Digest // of all of its blocks, where they are known
	offset int64    // of the first block
	end    int64    // after the last byte wanted
}

// receivedBlock is a block that came, and was not looked at yet.
type receivedBlock struct {
	offset int64
	digest Digest
	parts  [][]byte
}

// readBlocks hands each verified block of a range to write, in order, with its offset in the file, and returns the
// blocks' digests. When the connection breaks it goes on from the block that it reached.
func readBlocks(
	ctx context.Context, c *connection, wanted blockRange, write func(int64, [][]byte) error,
) ([]Digest, error) {
	var digests []Digest
	first := wanted.offset
	position := func() int64 { return first + int64(len(digests))*BlockSize }
	err := c.persist(ctx, position, func(ctx context.Context) error {
		wanted.offset = position()
		if wanted.offset >= wanted.end {
			return nil
		}
		return readOnce(ctx, c, wanted, func(block receivedBlock) error {
			if err := verify(block, wanted); err != nil {
				return err
			}
			if err := write(block.offset, block.parts); err != nil {
				return err
			}
			digests = append(digests, block.digest)
			return nil
		})
	})
	return digests, err
}

// readOnce is one ReadFile call. Blocks are taken in a goroutine of its own, which has ended when this returns.
func readOnce(ctx context.Context, c *connection, wanted blockRange, take func(receivedBlock) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	blocks := make(chan receivedBlock, waitingBlocks)
	taken := make(chan error, 1)
	go func() {
		var err error
		for block := range blocks {
			if err == nil {
				if err = take(block); err != nil {
					cancel(err) // so that nothing more comes
				}
			}
		}
		taken <- err
	}()
	err := receiveBlocks(ctx, c, wanted, blocks)
	close(blocks)
	takeErr := <-taken
	cancel(nil)
	if takeErr != nil {
		return takeErr
	}
	return err
}

func receiveBlocks(ctx context.Context, c *connection, wanted blockRange, blocks chan<- receivedBlock) error {
	stream, err := pb.NewArtifactServiceClient(c.grpc).ReadFile(ctx, &pb.ReadFileRequest{
		Owner: wanted.owner, Sequence: &wanted.sequence, Path: wanted.path, ExpectedDigest: wanted.digest[:],
		Offset: wanted.offset, Limit: wanted.end - wanted.offset,
	})
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return endedEarly(err, wanted.path)
	}
	header := first.GetHeader()
	offset := header.GetStartOffset()
	if offset != wanted.offset || !bytes.Equal(header.GetEntry().GetDigest(), wanted.digest[:]) {
		return damaged(wanted.path)
	}
	for offset < header.GetEndOffset() {
		block, err := receiveBlock(stream, offset, wanted.path)
		if err != nil {
			return err
		}
		select {
		case blocks <- block:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for _, part := range block.parts {
			offset += int64(len(part))
		}
	}
	// Read to the end, so that the call is over.
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return endedEarly(err, wanted.path)
	}
	return nil
}

func receiveBlock(
	stream grpc.ServerStreamingClient[pb.ReadFileResponse], offset int64, path string,
) (receivedBlock, error) {
	block := receivedBlock{offset: offset}
	missing := 0
	for {
		message, err := stream.Recv()
		if err != nil {
			return block, endedEarly(err, path)
		}
		chunk := message.GetChunk()
		if len(block.parts) == 0 {
			missing = int(chunk.GetSize())
			if len(chunk.GetDigest()) != sha256.Size || missing == 0 || missing > BlockSize {
				return block, damaged(path)
			}
			block.digest = Digest(chunk.GetDigest())
		}
		missing -= len(chunk.GetData())
		if len(chunk.GetData()) == 0 || missing < 0 {
			return block, damaged(path)
		}
		block.parts = append(block.parts, chunk.GetData())
		if missing == 0 {
			return block, nil
		}
	}
}

// endedEarly is the error of a stream that broke; one that ended in good order before all was there is damage.
func endedEarly(err error, path string) error {
	if err == nil || errors.Is(err, io.EOF) {
		return damaged(path)
	}
	return err
}

func verify(block receivedBlock, wanted blockRange) error {
	hash := sha256.New()
	for _, part := range block.parts {
		hash.Write(part)
	}
	number := int(block.offset / BlockSize)
	isKnown := wanted.known == nil || number < len(wanted.known) && wanted.known[number] == block.digest
	if Digest(hash.Sum(nil)) != block.digest || !isKnown {
		return damaged(wanted.path)
	}
	return nil
}

// readEntries hands all entries at or below a location to take, in order, with the contents of those that are no larger
// than maxData. When the connection breaks it goes on after the last entry that came whole.
func readEntries(
	ctx context.Context, c *connection, from location, maxData int64, take func(*pb.Entry, []byte) error,
) error {
	after, count := "", int64(0)
	return c.persist(ctx, func() int64 { return count }, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := pb.NewArtifactServiceClient(c.grpc).ReadFiles(ctx, &pb.ReadFilesRequest{
			Owner: from.owner, Sequence: &from.sequence, Path: from.path, MaxDataSize: maxData, StartAfter: after,
		})
		if err != nil {
			return err
		}
		return joinParts(stream, maxData, func(entry *pb.Entry, data []byte) error {
			if err := take(entry, data); err != nil {
				return err
			}
			after = entry.GetPath()
			count++
			return nil
		})
	})
}

// joinParts puts the pieces of a ReadFiles stream together.
func joinParts(
	stream grpc.ServerStreamingClient[pb.ReadFilesResponse], maxData int64, take func(*pb.Entry, []byte) error,
) error {
	var entry *pb.Entry
	var data []byte
	missing := int64(0)
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) && missing == 0 {
			return nil
		}
		if err != nil {
			return endedEarly(err, entry.GetPath())
		}
		for _, part := range message.GetParts() {
			if part.GetEntry() != nil {
				if missing != 0 {
					return damaged(entry.GetPath())
				}
				entry, data, missing = part.GetEntry(), nil, part.GetEntry().GetSize()
				if missing > maxData {
					missing = 0 // it comes without data
				}
			}
			missing -= int64(len(part.GetData()))
			if entry == nil || missing < 0 {
				return damaged(entry.GetPath())
			}
			if data == nil {
				data = part.GetData()
			} else {
				data = append(data, part.GetData()...)
			}
			if missing == 0 {
				if err := take(entry, data); err != nil {
					return err
				}
			}
		}
	}
}
