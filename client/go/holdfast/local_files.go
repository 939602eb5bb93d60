package holdfast

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// destination is a local directory that a download writes to. Nothing is written outside of it, whatever names a server
// sends and whatever symbolic links are there.
type destination struct {
	root *os.Root
	made map[string]bool // directories that are there
}

func openDestination(path string) (*destination, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, &LocalFileError{Path: path, Problem: "cannot be written", Err: err}
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, &LocalFileError{Path: path, Problem: "cannot be written", Err: err}
	}
	return &destination{root: root, made: map[string]bool{".": true}}, nil
}

func (d *destination) close() { _ = d.root.Close() }

// makeDirectory makes a directory and those above it.
func (d *destination) makeDirectory(path string) error {
	if d.made[path] {
		return nil
	}
	if err := d.root.MkdirAll(path, 0o777); err != nil {
		return d.cannotWrite(path, err)
	}
	d.made[path] = true
	return nil
}

// write puts a file at a path when write has made it whole, under a temporary name beside it until then.
func (d *destination) write(path string, executable bool, write func(*os.File) error) (err error) {
	temporary := filepath.Join(filepath.Dir(path), ".holdfast-"+newID()+".tmp")
	mode := fs.FileMode(0o666)
	if executable {
		mode = 0o777
	}
	file, err := d.root.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return d.cannotWrite(path, err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = d.root.Remove(temporary)
		}
	}()
	if err := write(file); err != nil {
		var system *fs.PathError
		if errors.As(err, &system) {
			return d.cannotWrite(path, err)
		}
		return err
	}
	if err := file.Close(); err != nil {
		return d.cannotWrite(path, err)
	}
	if err := d.root.Rename(temporary, path); err != nil {
		return d.cannotWrite(path, err)
	}
	return nil
}

// holds tells whether a large file is there already, and lets it be executable or not, as it should be.
func (d *destination) holds(path string, entry Entry) bool {
	info, err := d.root.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != entry.Size {
		return false
	}
	file, err := d.root.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	digest, err := digestOf(file)
	if err != nil || digest != entry.Digest {
		return false
	}
	mode := info.Mode().Perm()
	if isExecutable := mode&0o100 != 0; isExecutable != entry.Executable {
		if entry.Executable {
			mode |= (mode & 0o444) >> 2
		} else {
			mode &^= 0o111
		}
		return d.root.Chmod(path, mode) == nil
	}
	return true
}

func (d *destination) cannotWrite(path string, err error) error {
	return &LocalFileError{Path: filepath.Join(d.root.Name(), path), Problem: "cannot be written", Err: err}
}

// smallFile is a file that came whole, and where it goes.
type smallFile struct {
	target string
	entry  Entry
	data   []byte
}

// writeSmall verifies and writes a file of one block at most.
func (d *destination) writeSmall(file smallFile) error {
	if sha256.Sum256(file.data) != file.entry.Digest || int64(len(file.data)) != file.entry.Size {
		return damaged(file.entry.Path)
	}
	return d.write(file.target, file.entry.Executable, func(opened *os.File) error {
		_, err := opened.Write(file.data)
		return err
	})
}
