package holdfast

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// source is a file or directory to put at a path of a tree.
type source struct {
	path       string
	local      string
	size       int64
	executable bool
	directory  bool
	found      fs.FileInfo // as it was when it was found; another one later means that it changed
}

// UploadOption changes how local files are logged.
type UploadOption func(*uploadSettings)

type uploadSettings struct{ followsLinks bool }

// FollowLinks also logs what symbolic links outside of the logged directory name. Without it such a link is an error, as
// it would log what one does not expect; links within the directory are always followed.
func FollowLinks() UploadOption { return func(s *uploadSettings) { s.followsLinks = true } }

// findPath finds a file, to be put at <folder>/<its name>, or a directory with its tree below that.
func findPath(local, folder string, options []UploadOption) ([]source, error) {
	if err := checkFolder(folder); err != nil {
		return nil, err
	}
	info, err := os.Stat(local)
	if err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(local)
	if err != nil {
		return nil, err
	}
	path := joinPath(folder, filepath.Base(absolute))
	if err := checkLocalName(path, local); err != nil {
		return nil, err
	}
	if !info.IsDir() {
		file, err := fileSource(path, local, info)
		return []source{file}, err
	}
	return walk(local, path, options)
}

// findContents finds what is in a directory, to be put below folder.
func findContents(local, folder string, options []UploadOption) ([]source, error) {
	if err := checkFolder(folder); err != nil {
		return nil, err
	}
	info, err := os.Stat(local)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &LocalFileError{Path: local, Problem: "is a file, not a directory; LogArtifact logs a single file"}
	}
	return walk(local, folder, options)
}

// walker finds the sources below a directory.
type walker struct {
	settings uploadSettings
	root     string // without links
	found    []source
}

func walk(local, base string, options []UploadOption) ([]source, error) {
	w := &walker{}
	for _, option := range options {
		option(&w.settings)
	}
	var err error
	if w.root, err = filepath.EvalSymlinks(local); err != nil {
		return nil, err
	}
	if w.root, err = filepath.Abs(w.root); err != nil {
		return nil, err
	}
	if base != "" {
		w.found = append(w.found, source{path: base, directory: true})
	}
	err = w.visit(local, base, []string{w.root})
	return w.found, err
}

// visit finds what is in one directory; above are those around it, by their paths without links.
func (w *walker) visit(folder, path string, above []string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		local, inner := filepath.Join(folder, entry.Name()), joinPath(path, entry.Name())
		if err := checkLocalName(inner, local); err != nil {
			return err
		}
		info, real := fs.FileInfo(nil), ""
		if entry.Type()&fs.ModeSymlink != 0 {
			info, real, err = w.follow(local)
		} else {
			info, err = entry.Info()
			real = filepath.Join(above[len(above)-1], entry.Name())
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			file, err := fileSource(inner, local, info)
			if err != nil {
				return err
			}
			w.found = append(w.found, file)
			continue
		}
		for _, directory := range above {
			if directory == real {
				return &LocalFileError{Path: local, Problem: "is a symbolic link that leads back to a directory above it"}
			}
		}
		w.found = append(w.found, source{path: inner, directory: true})
		if err := w.visit(local, inner, append(above[:len(above):len(above)], real)); err != nil {
			return err
		}
	}
	return nil
}

// follow is what a symbolic link leads to, and where that is.
func (w *walker) follow(local string) (fs.FileInfo, string, error) {
	real, err := filepath.EvalSymlinks(local)
	if err != nil {
		return nil, "", &LocalFileError{
			Path: local, Problem: "is a broken symbolic link; remove it, or log the files beside it one by one", Err: err,
		}
	}
	if real, err = filepath.Abs(real); err != nil {
		return nil, "", err
	}
	inside := real == w.root || strings.HasPrefix(real, strings.TrimSuffix(w.root, string(filepath.Separator))+
		string(filepath.Separator))
	if !inside && !w.settings.followsLinks {
		return nil, "", &LocalFileError{
			Path: local, Problem: "is a symbolic link that leaves the directory that is logged; pass FollowLinks() to log its target",
		}
	}
	info, err := os.Stat(local)
	return info, real, err
}

func fileSource(path, local string, info fs.FileInfo) (source, error) {
	if !info.Mode().IsRegular() {
		kind := "special file"
		switch mode := info.Mode(); {
		case mode&fs.ModeSocket != 0:
			kind = "socket"
		case mode&fs.ModeNamedPipe != 0:
			kind = "fifo"
		case mode&fs.ModeDevice != 0:
			kind = "device"
		}
		return source{}, &LocalFileError{
			Path: local, Problem: "is a " + kind + "; only files and directories can be logged",
		}
	}
	return source{
		path: path, local: local, size: info.Size(), executable: info.Mode()&0o100 != 0, found: info,
	}, nil
}

// checkLocalName refuses names of local files that no artifact can have.
func checkLocalName(path, local string) error {
	if !utf8.ValidString(path) {
		return &LocalFileError{Path: local, Problem: "has a name that is not valid UTF-8; rename it before logging"}
	}
	return checkPath(path)
}

// isUnchanged tells whether a file is what was found.
func (s *source) isUnchanged(now fs.FileInfo) bool {
	return os.SameFile(s.found, now) && s.found.Size() == now.Size() && s.found.ModTime().Equal(now.ModTime())
}
