package holdfast

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"

	pb "holdfast/client/go/holdfast/v1"
)

const (
	// Bytes that may be sent and not yet answered; they are kept to be sent again when the connection breaks.
	maxUnanswered = 32 << 20
	// Times that a block is sent before a mismatch is an error.
	sendAttempts = 4
)

// blockSender sends blocks, and knows when each is durable on the server. Blocks that were not answered when the
// connection broke are sent again on a new one, after asking which are missing. For one goroutine; close it.
type blockSender struct {
	conn       *connection
	unanswered map[Digest]hashedBlock
	attempts   map[Digest]int
	pauses     *patience
	size       int
	stream     *blockStream
}

func newBlockSender(c *connection) *blockSender {
	return &blockSender{
		conn: c, unanswered: map[Digest]hashedBlock{}, attempts: map[Digest]int{}, pauses: c.newPatience(),
	}
}

// send sends blocks; it waits while too much is unanswered. What came last is handed over before that, so that the server
// always has something to do.
func (s *blockSender) send(ctx context.Context, blocks []hashedBlock) error {
	var fresh []hashedBlock
	for _, block := range blocks {
		if _, isSent := s.unanswered[block.digest]; !isSent {
			s.unanswered[block.digest] = block
			s.size += len(block.data)
			fresh = append(fresh, block)
		}
	}
	if err := s.transmit(ctx, fresh); err != nil {
		return err
	}
	for s.size > maxUnanswered {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// finish waits until all blocks are answered.
func (s *blockSender) finish(ctx context.Context) error {
	for len(s.unanswered) > 0 {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *blockSender) close() {
	if s.stream != nil {
		s.stream.close()
		s.stream = nil
	}
}

// transmit hands blocks over, which are among the unanswered ones; a broken stream is replaced.
func (s *blockSender) transmit(ctx context.Context, blocks []hashedBlock) error {
	if len(blocks) == 0 {
		return nil
	}
	if s.stream == nil {
		stream, err := openBlockStream(ctx, s.conn)
		if err != nil {
			return s.recover(ctx, err)
		}
		s.stream = stream
	}
	s.stream.put(blocks)
	return nil
}

// settle takes one answer of the stream.
func (s *blockSender) settle(ctx context.Context) error {
	var answer blockAnswer
	select {
	case answer = <-s.stream.answers:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if answer.err != nil {
		return s.recover(ctx, answer.err)
	}
	var again []hashedBlock
	for _, result := range answer.results {
		block, isToSend, err := s.take(ctx, result)
		if err != nil {
			return err
		}
		if isToSend {
			again = append(again, block)
		}
	}
	if len(again) > 0 {
		return s.transmit(ctx, again)
	}
	return nil
}

// take notes an answer, and tells whether the block is to be sent again.
func (s *blockSender) take(ctx context.Context, result *pb.BlockResult) (hashedBlock, bool, error) {
	if len(result.GetDigest()) != len(Digest{}) {
		return hashedBlock{}, false, nil
	}
	block, isKnown := s.unanswered[Digest(result.GetDigest())]
	if !isKnown {
		return block, false, nil
	}
	switch result.GetStatus() {
	case pb.BlockStatus_BLOCK_STATUS_STORED:
		s.forget(block)
		return block, false, nil
	case pb.BlockStatus_BLOCK_STATUS_UNAVAILABLE:
		// A store that is full or away: the same patience as with a server that is away.
		if !s.pauses.pause(ctx, 0) {
			failure := &Error{Code: codes.Unavailable, Reason: "UNAVAILABLE", Message: result.GetMessage()}
			return block, false, orEnded(ctx, failure)
		}
		return block, true, nil
	}
	s.attempts[block.digest]++
	if result.GetStatus() != pb.BlockStatus_BLOCK_STATUS_DIGEST_MISMATCH || s.attempts[block.digest] >= sendAttempts {
		return block, false, &Error{Code: codes.DataLoss, Message: fmt.Sprintf(
			"Block %s was refused %d times on its way: %s", block.digest, s.attempts[block.digest],
			firstOf(result.GetMessage(), result.GetStatus().String()))}
	}
	return block, true, nil
}

func (s *blockSender) forget(block hashedBlock) {
	delete(s.unanswered, block.digest)
	s.size -= len(block.data)
	s.pauses = s.conn.newPatience()
}

// recover goes on after the stream broke: asks which of the unanswered blocks are missing, and sends those on another.
func (s *blockSender) recover(ctx context.Context, err error) error {
	for {
		s.close()
		if errors.Is(err, io.EOF) {
			err = &Error{Code: codes.Unavailable, Message: "The server ended the stream of blocks early."}
		}
		var failure *Error
		if !errors.As(err, &failure) || !failure.isInterruption() || !s.pauses.pause(ctx, failure.retryAfter) {
			return orEnded(ctx, err)
		}
		if err = s.resume(ctx); err == nil {
			return nil
		}
	}
}

func (s *blockSender) resume(ctx context.Context) error {
	digests := make([]Digest, 0, len(s.unanswered))
	for digest := range s.unanswered {
		digests = append(digests, digest)
	}
	missing, err := findMissing(ctx, s.conn, digests)
	if err != nil {
		return err
	}
	for _, digest := range digests {
		if !missing[digest] {
			s.forget(s.unanswered[digest])
		}
	}
	blocks := make([]hashedBlock, 0, len(s.unanswered))
	for _, block := range s.unanswered {
		blocks = append(blocks, block)
	}
	if len(blocks) == 0 {
		return nil
	}
	if s.stream, err = openBlockStream(ctx, s.conn); err != nil {
		return err
	}
	s.stream.put(blocks)
	return nil
}
