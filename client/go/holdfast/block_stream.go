package holdfast

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	pb "holdfast/client/go/holdfast/v1"
)

const (
	// Bytes that may be under way before the server has said how many.
	initialWindow = 1 << 20
	// Answers that may wait to be taken; more than blocks are unanswered as a rule, so that what the server says of its
	// window is heard all the time.
	waitingAnswers = 1_024
)

// blockStream is one WriteBlocks call: one goroutine sends, another receives. What is under way stays within the window
// that the server allows, which shrinks while many clients send.
type blockStream struct {
	// answers tells what becomes of blocks; after an error it tells no more.
	answers chan blockAnswer

	stream grpc.ClientStream
	cancel context.CancelFunc
	ended  <-chan struct{} // of the call's context
	done   sync.WaitGroup

	mutex   sync.Mutex
	changed sync.Cond
	pending []hashedBlock
	sent    int64
	taken   int64
	window  int64
	closed  bool
}

type blockAnswer struct {
	results []*pb.BlockResult
	err     error
}

// openBlockStream begins a call; close it.
func openBlockStream(ctx context.Context, c *connection) (*blockStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	desc := &grpc.StreamDesc{StreamName: "WriteBlocks", ServerStreams: true, ClientStreams: true}
	stream, err := c.grpc.NewStream(ctx, desc, pb.ArtifactService_WriteBlocks_FullMethodName,
		grpc.ForceCodecV2(newBlockCodec()))
	if err != nil {
		cancel()
		return nil, err
	}
	s := &blockStream{
		answers: make(chan blockAnswer, waitingAnswers),
		stream:  stream,
		cancel:  cancel,
		ended:   ctx.Done(),
		window:  initialWindow,
	}
	s.changed.L = &s.mutex
	stop := context.AfterFunc(ctx, s.end)
	s.done.Go(s.send)
	s.done.Go(func() {
		defer stop()
		s.receive(c)
	})
	return s, nil
}

// put hands blocks over to be sent; it does not wait.
func (s *blockStream) put(blocks []hashedBlock) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.pending = append(s.pending, blocks...)
	s.changed.Broadcast()
}

// close ends the call; blocks that are not answered may have to be sent again. No goroutine is left.
func (s *blockStream) close() {
	s.end()
	s.cancel()
	s.done.Wait()
}

func (s *blockStream) end() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.closed = true
	s.changed.Broadcast()
}

func (s *blockStream) send() {
	for {
		blocks := s.take()
		if blocks == nil {
			_ = s.stream.CloseSend()
			return
		}
		for message := range blockMessages(blocks) {
			if !s.waitForRoom(message.size) {
				return
			}
			if s.stream.SendMsg(message.message) != nil {
				return // receive is told why
			}
		}
	}
}

// take waits for what is to be sent; nil when nothing comes any more.
func (s *blockStream) take() []hashedBlock {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for len(s.pending) == 0 && !s.closed {
		s.changed.Wait()
	}
	if s.closed {
		return nil
	}
	blocks := s.pending
	s.pending = nil
	return blocks
}

// waitForRoom waits until so many more bytes may be under way; false when the stream is to end.
func (s *blockStream) waitForRoom(size int64) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for s.sent > s.taken && s.sent-s.taken+size > s.window && !s.closed {
		s.changed.Wait()
	}
	s.sent += size
	return !s.closed
}

func (s *blockStream) receive(c *connection) {
	for {
		response := &pb.WriteBlocksResponse{}
		if err := s.stream.RecvMsg(response); err != nil {
			s.end()
			s.answer(blockAnswer{err: err})
			return
		}
		c.answered.Store(true)
		s.mutex.Lock()
		s.taken, s.window = response.GetTakenBytes(), response.GetWindowBytes()
		s.changed.Broadcast()
		s.mutex.Unlock()
		if len(response.GetResults()) > 0 && !s.answer(blockAnswer{results: response.GetResults()}) {
			return
		}
	}
}

// answer hands an answer over; false when the call ended meanwhile and nobody takes it.
func (s *blockStream) answer(answer blockAnswer) bool {
	select {
	case s.answers <- answer:
		return true
	default:
	}
	select {
	case s.answers <- answer:
		return true
	case <-s.ended:
		return false
	}
}
