package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"holdfast/client/go/holdfast"
)

// artifactArguments are those of all operations on artifacts.
type artifactArguments struct {
	RunID        string  `json:"run_id"`
	LocalPath    string  `json:"local_path"`
	LocalDir     string  `json:"local_dir"`
	ArtifactPath string  `json:"artifact_path"`
	URI          string  `json:"uri"`
	Recursive    bool    `json:"recursive"`
	Destination  string  `json:"destination"`
	Offset       int64   `json:"offset"`
	Length       int64   `json:"length"`
	Path         string  `json:"path"`
	Entries      []entry `json:"entries"`
}

type entry struct {
	Path       string `json:"path"`
	Directory  bool   `json:"directory"`
	Executable bool   `json:"executable"`
	Size       int64  `json:"size"`
	Digest     string `json:"digest"`
}

func fileDigest(_ context.Context, _ *driver, a artifactArguments) (any, error) {
	digest, err := holdfast.DigestFile(a.Path)
	return map[string]any{"digest": digest.String()}, err
}

func treeDigest(_ context.Context, _ *driver, a artifactArguments) (any, error) {
	entries := make([]holdfast.Entry, len(a.Entries))
	for i, given := range a.Entries {
		digest, err := hex.DecodeString(given.Digest)
		if err != nil {
			return nil, err
		}
		entries[i] = holdfast.Entry{
			Path: given.Path, Directory: given.Directory, Executable: given.Executable, Size: given.Size,
		}
		copy(entries[i].Digest[:], digest)
	}
	return map[string]any{"digest": holdfast.TreeDigest(entries).String()}, nil
}

func logArtifact(ctx context.Context, d *driver, a artifactArguments) (any, error) {
	return nothing, d.client.Run(a.RunID).LogArtifact(ctx, a.LocalPath, a.ArtifactPath)
}

func logArtifacts(ctx context.Context, d *driver, a artifactArguments) (any, error) {
	return nothing, d.client.Run(a.RunID).LogArtifacts(ctx, a.LocalDir, a.ArtifactPath)
}

func listArtifacts(ctx context.Context, d *driver, a artifactArguments) (any, error) {
	list := d.client.ListArtifacts
	if a.Recursive {
		list = d.client.WalkArtifacts
	}
	found, err := list(ctx, a.URI)
	entries := make([]entry, len(found))
	for i, item := range found {
		entries[i] = entry{Path: item.Path, Directory: item.Directory, Executable: item.Executable, Size: item.Size}
		if !item.Directory {
			entries[i].Digest = item.Digest.String()
		}
	}
	return map[string]any{"entries": entries}, err
}

func download(ctx context.Context, d *driver, a artifactArguments) (any, error) {
	path, err := d.client.Download(ctx, a.URI, a.Destination)
	return map[string]any{"path": path}, err
}

func readRange(ctx context.Context, d *driver, a artifactArguments) (any, error) {
	content, err := d.client.ReadRange(ctx, a.URI, a.Offset, a.Length)
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }()
	hash := sha256.New()
	size, err := io.Copy(hash, content)
	return map[string]any{"sha256": hex.EncodeToString(hash.Sum(nil)), "size": size}, err
}
