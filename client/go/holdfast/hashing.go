package holdfast

import (
	"crypto/sha256"
	"io"
	"iter"
	"os"
)

const (
	// Bytes that are read ahead of the network, in batches of at most BlockSize, and batches when they are of small files.
	readAhead  = 2 * BlockSize
	maxBatches = 4
	// Small files of one batch; a goroutine each would cost more than reading them.
	batchFiles = 128
)

// hashedBlock is a block in memory, and the file that it belongs to, by its index among the sources.
type hashedBlock struct {
	source int
	digest Digest
	data   []byte
}

// piece is a part of a file: the whole of a small one, or one block of a large one.
type piece struct {
	index  int
	source *source
	offset int64
	length int
}

type batch struct {
	blocks []hashedBlock
	err    error
}

// hashSources reads files once, cuts them into blocks and hashes those, in goroutines ahead of who takes them. Batches
// have at most BlockSize bytes and come in the order of the sources; an empty file has a block too, without data. No
// goroutine is left when the iteration ends.
func hashSources(sources []source) iter.Seq2[[]hashedBlock, error] {
	return func(yield func([]hashedBlock, error) bool) {
		next, stop := iter.Pull(tasks(sources))
		defer stop()
		var ahead []pendingBatch
		size, isMore := 0, true
		defer func() {
			for _, pending := range ahead {
				<-pending.done
			}
		}()
		for {
			for isMore && len(ahead) < maxBatches && size+BlockSize <= readAhead {
				var task []piece
				if task, isMore = next(); isMore {
					pending := startBatch(task)
					ahead, size = append(ahead, pending), size+pending.size
				}
			}
			if len(ahead) == 0 {
				return
			}
			first := ahead[0]
			ahead, size = ahead[1:], size-first.size
			done := <-first.done
			if !yield(done.blocks, done.err) || done.err != nil {
				return
			}
		}
	}
}

type pendingBatch struct {
	size int
	done chan batch
}

func startBatch(task []piece) pendingBatch {
	pending := pendingBatch{done: make(chan batch, 1)}
	for _, part := range task {
		pending.size += part.length
	}
	go func() {
		blocks, err := hashPieces(task, pending.size)
		pending.done <- batch{blocks, err}
	}()
	return pending
}

// tasks are the pieces of all files, as many together as one batch has.
func tasks(sources []source) iter.Seq[[]piece] {
	return func(yield func([]piece) bool) {
		var task []piece
		size := 0
		for index := range sources {
			file := &sources[index]
			if file.directory {
				continue
			}
			// At least one piece, also of an empty file: whether it changed is seen when it is opened.
			for number := range max(blockCount(file.size), 1) {
				length := blockLength(file.size, number)
				if len(task) > 0 && (size+length > BlockSize || len(task) >= batchFiles) {
					if !yield(task) {
						return
					}
					task, size = nil, 0
				}
				task = append(task, piece{index, file, int64(number) * BlockSize, length})
				size += length
			}
		}
		if len(task) > 0 {
			yield(task)
		}
	}
}

func hashPieces(task []piece, size int) ([]hashedBlock, error) {
	memory := make([]byte, size) // one for all, as small files are many
	blocks := make([]hashedBlock, len(task))
	for i, part := range task {
		data := memory[:part.length:part.length]
		memory = memory[part.length:]
		if err := part.read(data); err != nil {
			return nil, err
		}
		blocks[i] = hashedBlock{part.index, sha256.Sum256(data), data}
	}
	return blocks, nil
}

func (p *piece) read(data []byte) error {
	file, err := os.Open(p.source.local)
	if err != nil {
		return &LocalFileError{Path: p.source.local, Problem: "cannot be read", Err: err}
	}
	defer func() { _ = file.Close() }()
	_, err = io.ReadFull(io.NewSectionReader(file, p.offset, int64(p.length)), data)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return &LocalFileError{Path: p.source.local, Problem: "cannot be read", Err: err}
	}
	now, statErr := file.Stat()
	if err != nil || statErr != nil || !p.source.isUnchanged(now) {
		return &LocalFileError{
			Path:    p.source.local,
			Problem: "changed while it was logged, and nothing of this call is kept; log it again when it is whole",
		}
	}
	return nil
}
