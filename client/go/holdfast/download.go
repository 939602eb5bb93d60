package holdfast

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	pb "holdfast/client/go/holdfast/v1"
)

const (
	// Larger files are read one by one, in parallel, after the small ones came in one stream.
	maxBatched = 1 << 20
	// Large files at once: a second one keeps the network busy while the first is opened, or waits for the server's store.
	parallelFiles = 2
	// Goroutines that write small files, and files that may wait for them.
	smallWriters = 2
	waitingFiles = 16
)

// Download writes what an artifact URI names below a directory, which is made when it is absent, and returns where it is:
// a file or directory under its own name, a whole run or model in the directory itself.
//
// Every byte is verified, and a file appears under its name when it is whole. Files that are there are replaced, others
// stay. What a directory was replaced by meanwhile is not mixed with what came of it before.
func (c *Client) Download(ctx context.Context, uri, directory string) (string, error) {
	_, path := splitURI(uri)
	if err := checkFolder(path); err != nil {
		return "", err
	}
	into, err := openDestination(directory)
	if err != nil {
		return "", err
	}
	defer into.close()
	name := lastName(path)
	var begun error
	err = c.withLocations(ctx, uri, func(locations []*pb.ArtifactLocation) error {
		if begun != nil {
			return begun
		}
		d := &download{conn: c.conn, into: into}
		err := d.fetch(ctx, locations, name)
		if d.hasBegun {
			begun = err
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(directory, filepath.FromSlash(name)), nil
}

type download struct {
	conn     *connection
	into     *destination
	hasBegun bool // something of a directory was taken
}

// largeFile is a file of a snapshot, and where it goes.
type largeFile struct {
	location
	entry  Entry
	target string
}

func (d *download) fetch(ctx context.Context, locations []*pb.ArtifactLocation, name string) error {
	if len(locations) == 1 && locations[0].GetKind() == pb.EntryKind_ENTRY_KIND_FILE {
		return d.fetchLocation(ctx, locations[0], name)
	}
	for _, found := range locations {
		base := name
		if found.GetPrefix() != "" {
			if err := checkReceivedPath(found.GetPrefix()); err != nil {
				return err
			}
			base = joinPath(name, found.GetPrefix())
		}
		if err := d.into.makeDirectory(filepath.Clean(filepath.FromSlash(base))); err != nil {
			return err
		}
		if err := d.fetchLocation(ctx, found, base); err != nil {
			return err
		}
	}
	return nil
}

// fetchLocation writes a file to base, or what is in a directory below base.
func (d *download) fetchLocation(ctx context.Context, found *pb.ArtifactLocation, base string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var large []largeFile
	small := startWriters(d.into, cancel)
	from := locationFromProto(found)
	err := readEntries(ctx, d.conn, from, maxBatched, func(received *pb.Entry, data []byte) error {
		d.hasBegun = d.hasBegun || found.GetKind() == pb.EntryKind_ENTRY_KIND_DIRECTORY
		entry := entryFromProto(received)
		name := below(entry.Path, from.path)
		if name != "" {
			if err := checkReceivedPath(name); err != nil {
				return err
			}
		}
		target := filepath.FromSlash(joinPath(base, name))
		if entry.Directory {
			return d.into.makeDirectory(target)
		}
		if err := d.into.makeDirectory(filepath.Dir(target)); err != nil {
			return err
		}
		if entry.Size > maxBatched {
			file := location{owner: from.owner, sequence: from.sequence, path: entry.Path}
			large = append(large, largeFile{file, entry, target})
			return nil
		}
		return small.add(ctx, smallFile{target, entry, data})
	})
	if writeErr := small.finish(); writeErr != nil {
		return writeErr
	}
	if err != nil {
		return err
	}
	return d.fetchLarge(ctx, large)
}

func (d *download) fetchLarge(ctx context.Context, files []largeFile) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := make(chan largeFile)
	var group sync.WaitGroup
	for range min(parallelFiles, len(files)) {
		group.Go(func() {
			for file := range waiting {
				if ctx.Err() != nil {
					continue // one failed, and the others need not be fetched
				}
				if err := d.fetchFile(ctx, file); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, file := range files {
		waiting <- file
	}
	close(waiting)
	group.Wait()
	return context.Cause(ctx)
}

func (d *download) fetchFile(ctx context.Context, file largeFile) error {
	if d.into.holds(file.target, file.entry) {
		return nil
	}
	return d.into.write(file.target, file.entry.Executable, func(opened *os.File) error {
		wanted := blockRange{location: file.location, digest: file.entry.Digest, end: file.entry.Size}
		digests, err := readBlocks(ctx, d.conn, wanted, func(offset int64, parts [][]byte) error {
			for _, part := range parts {
				if _, err := opened.WriteAt(part, offset); err != nil {
					return err
				}
				offset += int64(len(part))
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(digests) != blockCount(file.entry.Size) || fileDigest(digests) != file.entry.Digest {
			return damaged(file.entry.Path)
		}
		return nil
	})
}

// writers write small files while more of them arrive.
type writers struct {
	files chan smallFile
	group sync.WaitGroup
	mutex sync.Mutex
	err   error
}

// startWriters begins; failed is called with the first error. Call finish.
func startWriters(into *destination, failed context.CancelCauseFunc) *writers {
	w := &writers{files: make(chan smallFile, waitingFiles)}
	for range smallWriters {
		w.group.Go(func() {
			for file := range w.files {
				if err := into.writeSmall(file); err != nil {
					w.fail(err)
					failed(err)
				}
			}
		})
	}
	return w
}

func (w *writers) fail(err error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// add hands a file over; it waits while too many are on their way.
func (w *writers) add(ctx context.Context, file smallFile) error {
	select {
	case w.files <- file:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// finish waits until all files are written, and tells the first error of these.
func (w *writers) finish() error {
	close(w.files)
	w.group.Wait()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.err
}
