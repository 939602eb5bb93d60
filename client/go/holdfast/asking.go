package holdfast

import (
	"context"
	"iter"
	"time"

	pb "holdfast/client/go/holdfast/v1"
)

const (
	// Blocks whose presence is asked for together, and how many such windows are asked for ahead: over a slow network the
	// answers come while earlier windows are sent.
	askBytes  = BlockSize
	askBlocks = 512
	askAhead  = 1
	// Fewer at first, so that something is sent soon.
	firstAskBlocks = 256
	// Most digests of one request.
	maxDigests = 16_384
	// Blocks that nothing refers to live for a day after they were last asked for.
	keepEvery = time.Hour
)

// findMissing tells which of some blocks the server lacks; those that it has live for another day.
func findMissing(ctx context.Context, c *connection, digests []Digest) (map[Digest]bool, error) {
	missing := map[Digest]bool{}
	artifacts := pb.NewArtifactServiceClient(c.grpc)
	for start := 0; start < len(digests); start += maxDigests {
		some := digests[start:min(start+maxDigests, len(digests))]
		request := &pb.FindMissingBlocksRequest{Digests: rawDigests(some)}
		response, err := call(ctx, c, artifacts.FindMissingBlocks, request)
		if err != nil {
			return nil, err
		}
		found, _ := digestsOf(response.GetMissingDigests())
		for _, digest := range found {
			missing[digest] = true
		}
	}
	return missing, nil
}

// window is some blocks, and which of them the server lacks.
type window struct {
	blocks  []hashedBlock
	missing map[Digest]bool
}

type answeredWindow struct {
	window
	err error
}

// askMissing asks for windows of blocks, one ahead of who takes them. Blocks without data, of empty files, are never
// missing. No goroutine is left when the iteration ends.
func askMissing(
	ctx context.Context, c *connection, batches iter.Seq2[[]hashedBlock, error],
) iter.Seq2[window, error] {
	return func(yield func(window, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var asked []chan answeredWindow
		defer func() {
			cancel()
			for _, answer := range asked {
				<-answer
			}
		}()
		take := func() bool {
			answer := <-asked[0]
			asked = asked[1:]
			return yield(answer.window, answer.err) && answer.err == nil
		}
		for blocks, err := range windows(batches) {
			if err != nil {
				yield(window{}, err)
				return
			}
			answer := make(chan answeredWindow, 1)
			asked = append(asked, answer)
			go func() {
				missing, err := findMissing(ctx, c, distinct(blocks))
				answer <- answeredWindow{window{blocks, missing}, err}
			}()
			if len(asked) > askAhead && !take() {
				return
			}
		}
		for len(asked) > 0 {
			if !take() {
				return
			}
		}
	}
}

func windows(batches iter.Seq2[[]hashedBlock, error]) iter.Seq2[[]hashedBlock, error] {
	return func(yield func([]hashedBlock, error) bool) {
		var blocks []hashedBlock
		size, limit := 0, firstAskBlocks
		for batch, err := range batches {
			if err != nil {
				yield(nil, err)
				return
			}
			blocks = append(blocks, batch...)
			for _, block := range batch {
				size += len(block.data)
			}
			if size >= askBytes || len(blocks) >= limit {
				if !yield(blocks, nil) {
					return
				}
				blocks, size, limit = nil, 0, askBlocks
			}
		}
		if len(blocks) > 0 {
			yield(blocks, nil)
		}
	}
}

// distinct are the digests of blocks with data, each once.
func distinct(blocks []hashedBlock) []Digest {
	seen := make(map[Digest]bool, len(blocks))
	digests := make([]Digest, 0, len(blocks))
	for _, block := range blocks {
		if len(block.data) > 0 && !seen[block.digest] {
			seen[block.digest] = true
			digests = append(digests, block.digest)
		}
	}
	return digests
}

// keeper asks for all blocks of a long upload once an hour, so that the server does not collect them before they are
// committed.
type keeper struct {
	conn *connection
	due  time.Time
}

func (k *keeper) keep(ctx context.Context, files [][]Digest) error {
	if time.Now().Before(k.due) {
		return nil
	}
	var all []Digest
	for _, blocks := range files {
		all = append(all, blocks...)
	}
	_, err := findMissing(ctx, k.conn, all)
	k.due = time.Now().Add(keepEvery)
	return err
}
