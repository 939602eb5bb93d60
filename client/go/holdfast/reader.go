package holdfast

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc/codes"

	pb "holdfast/client/go/holdfast/v1"
)

// ReadRange streams length bytes of the file that an artifact URI names, from offset on; a negative length means to the
// end, and less comes where the file ends before. Only verified bytes are handed out. Close the reader.
func (c *Client) ReadRange(ctx context.Context, uri string, offset, length int64) (io.ReadCloser, error) {
	file, err := c.openFile(ctx, uri)
	if err != nil {
		return nil, err
	}
	if offset < 0 || offset > file.size {
		return nil, &Error{Code: codes.InvalidArgument, Reason: "INVALID_VALUE", Message: "The offset of a range is from 0 to the file's size."}
	}
	end := file.size
	if length >= 0 && length < end-offset {
		end = offset + length
	}
	return startRange(ctx, file, offset, end), nil
}

// Open opens the file that an artifact URI names, to be read at any place: only the blocks that are read are fetched, and
// each is verified. Reading a byte costs up to 8 MiB, as only whole blocks can be verified; the newest blocks stay in
// memory. The context is that of all reads. For reading from the beginning to the end ReadRange is faster.
func (c *Client) Open(ctx context.Context, uri string) (*File, error) {
	remote, err := c.openFile(ctx, uri)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	blocks := &blockCache{ctx: ctx, file: remote}
	return &File{SectionReader: io.NewSectionReader(blocks, 0, remote.size), cancel: cancel}, nil
}

// File is an artifact that is open for reading: an [io.Reader], [io.ReaderAt], [io.Seeker] and [io.Closer], with the size
// of the file as Size. ReadAt may be called by several goroutines.
type File struct {
	*io.SectionReader
	cancel context.CancelFunc
}

// Close ends reads in progress.
func (f *File) Close() error {
	f.cancel()
	return nil
}

// remoteFile is a file of a snapshot, with the digests of its blocks.
type remoteFile struct {
	location
	conn   *connection
	size   int64
	digest Digest
	blocks []Digest
}

func (c *Client) openFile(ctx context.Context, uri string) (*remoteFile, error) {
	var file *remoteFile
	err := c.withFile(ctx, uri, func(found location) (err error) {
		file, err = c.listBlocks(ctx, found)
		return err
	})
	return file, err
}

func (c *Client) listBlocks(ctx context.Context, found location) (*remoteFile, error) {
	request := &pb.ListFileBlocksRequest{Owner: found.owner, Sequence: &found.sequence, Path: found.path}
	file := &remoteFile{location: found, conn: c.conn}
	for {
		page, err := call(ctx, c.conn, c.artifacts().ListFileBlocks, request)
		if err != nil {
			return nil, err
		}
		some, isSound := digestsOf(page.GetBlockDigests())
		if !isSound {
			return nil, damaged(found.path)
		}
		entry := entryFromProto(page.GetEntry())
		file.size, file.digest, file.blocks = entry.Size, entry.Digest, append(file.blocks, some...)
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
		if len(file.blocks) > blockCount(file.size) {
			break // it would never end
		}
	}
	if len(file.blocks) != blockCount(file.size) || fileDigest(file.blocks) != file.digest {
		return nil, damaged(found.path)
	}
	return file, nil
}

// read hands the verified blocks that hold the bytes from offset to end to write.
func (f *remoteFile) read(ctx context.Context, offset, end int64, write func(int64, [][]byte) error) error {
	if offset >= end {
		return nil
	}
	wanted := blockRange{
		location: f.location, digest: f.digest, known: f.blocks, offset: offset - offset%BlockSize, end: end,
	}
	_, err := readBlocks(ctx, f.conn, wanted, write)
	return err
}

// rangeReader is the reading end of a pipe, which a goroutine writes to; closing it ends that.
type rangeReader struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startRange(ctx context.Context, file *remoteFile, offset, end int64) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	reader, writer := io.Pipe()
	r := &rangeReader{PipeReader: reader, cancel: cancel}
	r.done.Go(func() {
		err := file.read(ctx, offset, end, func(at int64, parts [][]byte) error {
			for _, part := range parts {
				first := max(offset-at, 0)
				last := min(end-at, int64(len(part)))
				if first < last {
					if _, err := writer.Write(part[first:last]); err != nil {
						return err
					}
				}
				at += int64(len(part))
			}
			return nil
		})
		_ = writer.CloseWithError(err) // nil ends it with io.EOF
	})
	return r
}

func (r *rangeReader) Close() error {
	_ = r.PipeReader.Close()
	r.cancel()
	r.done.Wait()
	return nil
}

// cachedBlocks stay in memory, the newest of those read.
const cachedBlocks = 3

// blockCache reads a file at any place, block by block; one goroutine at a time fetches.
type blockCache struct {
	ctx   context.Context // of the open file, as io.ReaderAt has none
	file  *remoteFile
	mutex sync.Mutex
	order []int // numbers of the blocks in memory, the newest last
	data  map[int][]byte
}

func (b *blockCache) ReadAt(buffer []byte, offset int64) (int, error) {
	count := 0
	for count < len(buffer) {
		if offset >= b.file.size {
			return count, io.EOF
		}
		block, err := b.block(int(offset / BlockSize))
		if err != nil {
			return count, err
		}
		copied := copy(buffer[count:], block[offset%BlockSize:])
		count, offset = count+copied, offset+int64(copied)
	}
	return count, nil
}

func (b *blockCache) block(number int) ([]byte, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if data, isHere := b.data[number]; isHere {
		return data, nil
	}
	start := int64(number) * BlockSize
	data := make([]byte, 0, blockLength(b.file.size, number))
	err := b.file.read(b.ctx, start, start+int64(cap(data)), func(_ int64, parts [][]byte) error {
		for _, part := range parts {
			data = append(data, part...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(data) != blockLength(b.file.size, number) {
		return nil, damaged(b.file.path)
	}
	if b.data == nil {
		b.data = map[int][]byte{}
	}
	if len(b.order) == cachedBlocks {
		delete(b.data, b.order[0])
		b.order = b.order[1:]
	}
	b.data[number], b.order = data, append(b.order, number)
	return data, nil
}
