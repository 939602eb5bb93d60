package holdfast

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
)

// BlockSize is how long all blocks of a file are but the last, in bytes; a constant of the format.
const BlockSize = 8 << 20

// Digest is a SHA-256, as docs/protocol.md defines it for blocks, files and trees.
type Digest [sha256.Size]byte

// String is the digest in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero tells whether there is none, as of a directory.
func (d Digest) IsZero() bool { return d == Digest{} }

// DigestFile is the digest that a local file has as an artifact. Of a file of one block it equals that of sha256sum.
func DigestFile(path string) (Digest, error) {
	file, err := os.Open(path)
	if err != nil {
		return Digest{}, err
	}
	defer func() { _ = file.Close() }()
	return digestOf(file)
}

// digestOf is the digest of a file with the content of a reader.
func digestOf(content io.Reader) (Digest, error) {
	var blocks []Digest
	for {
		hash := sha256.New()
		size, err := io.CopyN(hash, content, BlockSize)
		if size > 0 {
			blocks = append(blocks, Digest(hash.Sum(nil)))
		}
		if errors.Is(err, io.EOF) {
			return fileDigest(blocks), nil
		}
		if err != nil {
			return Digest{}, err
		}
	}
}

// fileDigest is the digest of a file that consists of some blocks.
func fileDigest(blocks []Digest) Digest {
	if len(blocks) == 1 {
		return blocks[0]
	}
	hash := sha256.New()
	if len(blocks) > 0 {
		hash.Write([]byte("holdfast-blocks-v1\x00"))
	}
	for _, block := range blocks {
		hash.Write(block[:])
	}
	return Digest(hash.Sum(nil))
}

// TreeDigest is the digest of a tree that holds entries, in whatever order. Every directory above an entry must be among
// them.
func TreeDigest(entries []Entry) Digest {
	const directory, executable = 1, 2
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	hash := sha256.New()
	hash.Write([]byte("holdfast-tree-v1\x00"))
	var head []byte
	for _, entry := range sorted {
		flags := byte(0)
		if entry.Directory {
			flags |= directory
		}
		if entry.Executable {
			flags |= executable
		}
		head = binary.BigEndian.AppendUint32(head[:0], uint32(len(entry.Path)))
		head = append(head, entry.Path...)
		head = append(head, flags)
		head = binary.BigEndian.AppendUint64(head, uint64(entry.Size))
		hash.Write(head)
		if !entry.Directory {
			hash.Write(entry.Digest[:])
		}
	}
	return Digest(hash.Sum(nil))
}

// blockCount is how many blocks a file of some size has.
func blockCount(size int64) int { return int((size + BlockSize - 1) / BlockSize) }

// blockLength is how long block number of a file of some size is.
func blockLength(size int64, number int) int {
	return int(min(BlockSize, size-int64(number)*BlockSize))
}

// digestsOf takes digests as they come from a server; false when one of them is none.
func digestsOf(raw [][]byte) ([]Digest, bool) {
	digests := make([]Digest, len(raw))
	for i, digest := range raw {
		if len(digest) != sha256.Size {
			return nil, false
		}
		digests[i] = Digest(digest)
	}
	return digests, true
}

// rawDigests are digests as they are sent.
func rawDigests(digests []Digest) [][]byte {
	raw := make([][]byte, len(digests))
	for i := range digests {
		raw[i] = digests[i][:]
	}
	return raw
}
