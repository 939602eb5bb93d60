package holdfast

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"

	pb "holdfast/client/go/holdfast/v1"
)

// uploadAttempts are commits that find blocks missing again, as gc took them meanwhile, before that is an error.
const uploadAttempts = 3

// upload puts sources into a tree: blocks first, then one commit that makes all of it visible at once. When it fails
// nothing is visible, and the same again sends only what is still missing.
func upload(ctx context.Context, c *connection, owner *pb.TreeOwner, sources []source) error {
	var small, large []source
	var directories []*pb.NewEntry
	for _, found := range sources {
		switch {
		case found.directory:
			entry := &pb.NewEntry{Path: found.path, Kind: pb.EntryKind_ENTRY_KIND_DIRECTORY}
			directories = append(directories, entry)
		case found.size <= maxInline:
			small = append(small, found)
		default:
			large = append(large, found)
		}
	}
	commit := &commit{conn: c, owner: owner, requestID: newID()}
	for range uploadAttempts {
		digests, err := sendFiles(ctx, c, large)
		if err != nil {
			return err
		}
		entries := directories[:len(directories):len(directories)]
		for i := range large {
			entries = append(entries, fileEntry(&large[i], digests[i]))
		}
		if err = commit.run(ctx, entries, small); !errors.Is(err, errMissing) {
			return err
		}
	}
	return &Error{
		Code:    codes.Unavailable,
		Message: "The server kept losing blocks of this upload; its garbage collection may be misconfigured.",
	}
}

// sendFiles sends what the server lacks of some files, and returns the digests of each one's blocks.
func sendFiles(ctx context.Context, c *connection, files []source) ([][]Digest, error) {
	digests := make([][]Digest, len(files))
	if len(files) == 0 {
		return digests, nil
	}
	keeper := &keeper{conn: c, due: time.Now().Add(keepEvery)}
	sender := newBlockSender(c)
	defer sender.close()
	for window, err := range askMissing(ctx, c, hashSources(files)) {
		if err != nil {
			return nil, err
		}
		var lacking []hashedBlock
		for _, block := range window.blocks {
			digests[block.source] = append(digests[block.source], block.digest)
			if window.missing[block.digest] {
				lacking = append(lacking, block)
				delete(window.missing, block.digest) // once, however often it is in the window
			}
		}
		if err := sender.send(ctx, lacking); err != nil {
			return nil, err
		}
		if err := keeper.keep(ctx, digests); err != nil {
			return nil, err
		}
	}
	return digests, sender.finish(ctx)
}
