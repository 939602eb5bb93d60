package holdfast

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	pb "holdfast/client/go/holdfast/v1"
)

// resolveAttempts are how often a URI is resolved when what it named was replaced, and collected, before it was read.
const resolveAttempts = 3

// Entry is a file or directory of a run or logged model.
type Entry struct {
	// Path is '/'-separated, from the root of the run or model.
	Path       string
	Directory  bool
	Executable bool
	// Size is in bytes; 0 for directories.
	Size int64
	// Digest is as [DigestFile] computes it; zero for directories.
	Digest Digest
}

// ListArtifacts lists one level of the directory that an artifact URI names, such as runs:/<run id>/plots or
// models:/<name>/2, in order of the paths' UTF-8 bytes. A file gives itself.
func (c *Client) ListArtifacts(ctx context.Context, uri string) ([]Entry, error) {
	return c.list(ctx, uri, false)
}

// WalkArtifacts is ListArtifacts with everything below the directory.
func (c *Client) WalkArtifacts(ctx context.Context, uri string) ([]Entry, error) {
	return c.list(ctx, uri, true)
}

func (c *Client) list(ctx context.Context, uri string, recursive bool) ([]Entry, error) {
	_, inner := splitURI(uri)
	var entries []Entry
	err := c.withLocations(ctx, uri, func(locations []*pb.ArtifactLocation) error {
		entries = nil
		for _, found := range locations {
			prefix := joinPath(inner, found.GetPrefix())
			if found.GetPrefix() != "" {
				entries = append(entries, Entry{Path: prefix, Directory: true})
				if !recursive {
					continue
				}
			}
			err := c.listLocation(ctx, found, recursive, func(entry *pb.Entry) {
				listed := entryFromProto(entry)
				listed.Path = joinPath(prefix, below(entry.GetPath(), found.GetPath()))
				entries = append(entries, listed)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return entries, err
}

func (c *Client) listLocation(
	ctx context.Context, found *pb.ArtifactLocation, recursive bool, take func(*pb.Entry),
) error {
	request := &pb.ListFilesRequest{
		Owner: found.GetOwner(), Sequence: &found.Sequence, Path: found.GetPath(), Recursive: recursive, PageSize: 10_000,
	}
	for {
		page, err := call(ctx, c.conn, c.artifacts().ListFiles, request)
		if err != nil {
			return err
		}
		for _, entry := range page.GetEntries() {
			take(entry)
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return nil
		}
	}
}

// withLocations resolves a URI and reads what it names. A snapshot that was replaced and collected between the two is
// resolved again, and read from the beginning.
func (c *Client) withLocations(ctx context.Context, uri string, read func([]*pb.ArtifactLocation) error) error {
	for attempt := 1; ; attempt++ {
		resolved, err := call(ctx, c.conn, c.artifacts().ResolveArtifact, &pb.ResolveArtifactRequest{Uri: uri})
		if err != nil {
			return err
		}
		err = read(resolved.GetLocations())
		var failure *Error
		if attempt == resolveAttempts || !errors.As(err, &failure) || failure.Reason != "SNAPSHOT_EXPIRED" {
			return err
		}
	}
}

// withFile is withLocations for a URI that must name a file.
func (c *Client) withFile(ctx context.Context, uri string, read func(location) error) error {
	return c.withLocations(ctx, uri, func(locations []*pb.ArtifactLocation) error {
		if len(locations) != 1 || locations[0].GetKind() != pb.EntryKind_ENTRY_KIND_FILE {
			return &Error{Code: codes.NotFound, Reason: "FILE_NOT_FOUND", Message: uri + " is a directory, not a file."}
		}
		return read(locationFromProto(locations[0]))
	})
}

func locationFromProto(found *pb.ArtifactLocation) location {
	return location{owner: found.GetOwner(), sequence: found.GetSequence(), path: found.GetPath()}
}

func entryFromProto(entry *pb.Entry) Entry {
	converted := Entry{
		Path:       entry.GetPath(),
		Directory:  entry.GetKind() == pb.EntryKind_ENTRY_KIND_DIRECTORY,
		Executable: entry.GetExecutable(),
		Size:       entry.GetSize(),
	}
	copy(converted.Digest[:], entry.GetDigest())
	return converted
}

// below is a path relative to a directory above it; empty for that directory, or file, itself.
func below(path, folder string) string {
	if folder == "" {
		return path
	}
	return strings.TrimPrefix(strings.TrimPrefix(path, folder), "/")
}
