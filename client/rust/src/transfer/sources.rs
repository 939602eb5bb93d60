//! What is to be logged: local files found and checked before anything is sent.

use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::paths::{check_artifact_path, join};

/// A file or directory to put at `path` of a tree.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Artifact path.
    pub(crate) path: String,
    pub(crate) local: PathBuf,
    pub(crate) is_directory: bool,
    pub(crate) executable: bool,
    /// Bytes; 0 for directories.
    pub(crate) size: u64,
    /// Another one later means that the file changed.
    pub(crate) stamp: Stamp,
}

/// What changes when a file is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(status: &Metadata) -> Self {
        let modified = (status.mtime(), status.mtime_nsec());
        Self { device: status.dev(), inode: status.ino(), size: status.size(), modified }
    }
}

/// A file at `<artifact_path>/<its name>`, or a directory with its tree below `<artifact_path>/<its name>`.
pub(crate) fn find_path(local: &Path, artifact_path: &str) -> Result<Vec<Source>> {
    let status = status_of(local)?;
    let name = match local.file_name() {
        Some(name) => name.to_owned(),
        // `.` and `..` have the name of what they lead to.
        None => resolved(local)?.file_name().unwrap_or_default().to_owned(),
    };
    let path = join(checked_folder(artifact_path)?, utf8(&name, local)?);
    check_artifact_path(&path)?;
    if status.is_dir() { walk(local, &path) } else { Ok(vec![file(local, &status, path)?]) }
}

/// What is in a directory, below `artifact_path`.
pub(crate) fn find_contents(local: &Path, artifact_path: &str) -> Result<Vec<Source>> {
    if !status_of(local)?.is_dir() {
        let message = format!("{} is a file, not a directory; log it with log_artifact.", local.display());
        return Err(Error::new(ErrorKind::LocalFile, message));
    }
    walk(local, checked_folder(artifact_path)?)
}

fn checked_folder(artifact_path: &str) -> Result<&str> {
    if artifact_path.is_empty() { Ok("") } else { check_artifact_path(artifact_path) }
}

/// A directory that is being walked, with the real paths of those above it.
struct Folder {
    local: PathBuf,
    path: String,
    above: Vec<PathBuf>,
}

fn walk(root: &Path, base: &str) -> Result<Vec<Source>> {
    let real_root = resolved(root)?;
    let mut found = Vec::new();
    if !base.is_empty() {
        found.push(directory(root, base.to_owned()));
    }
    let mut folders = vec![Folder { local: root.to_owned(), path: base.to_owned(), above: vec![real_root.clone()] }];
    while let Some(folder) = folders.pop() {
        for entry in sorted_entries(&folder.local)? {
            let local = entry.path();
            let path = join(&folder.path, utf8(&entry.file_name(), &local)?);
            check_artifact_path(&path)?;
            let kind = entry.file_type().map_err(|error| cannot_read(&local, &error))?;
            if kind.is_symlink() {
                check_link(&local, &real_root)?;
            }
            let status = status_of(&local)?;
            if !status.is_dir() {
                found.push(file(&local, &status, path)?);
                continue;
            }
            let mut above = folder.above.clone();
            let real = if kind.is_symlink() { resolved(&local)? } else { real_of_child(&folder, &entry) };
            if above.contains(&real) {
                let message = format!("The symbolic link {} leads back to a directory above it.", local.display());
                return Err(Error::new(ErrorKind::LocalFile, message));
            }
            above.push(real);
            found.push(directory(&local, path.clone()));
            folders.push(Folder { local, path, above });
        }
    }
    Ok(found)
}

fn real_of_child(folder: &Folder, entry: &DirEntry) -> PathBuf {
    folder.above.last().map(|real| real.join(entry.file_name())).unwrap_or_default()
}

fn sorted_entries(folder: &Path) -> Result<Vec<DirEntry>> {
    let read = || -> std::io::Result<Vec<DirEntry>> { fs::read_dir(folder)?.collect() };
    let mut entries = read().map_err(|error| cannot_read(folder, &error))?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn check_link(link: &Path, real_root: &Path) -> Result<()> {
    let target = resolved(link)?;
    if target.starts_with(real_root) {
        return Ok(());
    }
    let shown = link.display();
    let message =
        format!("The symbolic link {shown} leaves the directory that is logged. Put its target there instead.");
    Err(Error::new(ErrorKind::LocalFile, message))
}

fn status_of(local: &Path) -> Result<Metadata> {
    fs::metadata(local).map_err(|error| {
        let what = if local.is_symlink() { "The symbolic link leads nowhere" } else { "It cannot be read" };
        Error::local(format!("{}: {what}", local.display()), &error)
    })
}

fn resolved(local: &Path) -> Result<PathBuf> {
    fs::canonicalize(local).map_err(|error| cannot_read(local, &error))
}

fn directory(local: &Path, path: String) -> Source {
    let local = local.to_owned();
    Source { path, local, is_directory: true, executable: false, size: 0, stamp: Stamp::default() }
}

fn file(local: &Path, status: &Metadata, path: String) -> Result<Source> {
    let kind = status.file_type();
    if !kind.is_file() {
        let name = if kind.is_socket() {
            "socket"
        } else if kind.is_fifo() {
            "fifo"
        } else {
            "device"
        };
        let message = format!("{} is a {name}; only files and directories can be logged.", local.display());
        return Err(Error::new(ErrorKind::LocalFile, message));
    }
    let executable = status.mode() & 0o100 != 0;
    let (local, stamp) = (local.to_owned(), Stamp::of(status));
    Ok(Source { path, local, is_directory: false, executable, size: status.size(), stamp })
}

fn utf8<'a>(name: &'a std::ffi::OsStr, local: &Path) -> Result<&'a str> {
    name.to_str().ok_or_else(|| {
        let message = format!("The name of {} is not valid UTF-8. Rename it before logging.", local.display());
        Error::new(ErrorKind::LocalFile, message)
    })
}

pub(crate) fn cannot_read(local: &Path, error: &std::io::Error) -> Error {
    Error::local(format!("{} cannot be read", local.display()), error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::testing::TemporaryDirectory;

    fn paths(found: &[Source]) -> Vec<(&str, bool)> {
        let mut paths: Vec<_> = found.iter().map(|source| (source.path.as_str(), source.is_directory)).collect();
        paths.sort_unstable();
        paths
    }

    #[test]
    fn a_directory_brings_its_tree_below_its_name_and_its_contents_without() {
        let folder = TemporaryDirectory::new();
        let root = folder.path().join("data");
        fs::create_dir_all(root.join("empty")).unwrap();
        fs::write(root.join("a.txt"), "a").unwrap();
        let below = [("up/data", true), ("up/data/a.txt", false), ("up/data/empty", true)];
        assert_eq!(paths(&find_contents(&root, "").unwrap()), [("a.txt", false), ("empty", true)]);
        assert_eq!(
            paths(&find_path(&root, "").unwrap()),
            [("data", true), ("data/a.txt", false), ("data/empty", true)]
        );
        assert_eq!(paths(&find_path(&root, "up").unwrap()), below);
    }

    #[test]
    fn links_are_followed_as_long_as_they_stay_inside() {
        let folder = TemporaryDirectory::new();
        let root = folder.path().join("data");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.txt"), "abc").unwrap();
        symlink("a.txt", root.join("link")).unwrap();
        let found = find_contents(&root, "").unwrap();
        assert_eq!(found.iter().map(|source| source.size).collect::<Vec<_>>(), [3, 3]);
        fs::write(folder.path().join("outside"), "x").unwrap();
        symlink("../outside", root.join("out")).unwrap();
        let error = find_contents(&root, "").unwrap_err();
        assert!(error.message().contains("leaves the directory"), "{error}");
    }

    #[test]
    fn a_link_to_a_directory_above_and_one_to_nothing_are_errors() {
        let folder = TemporaryDirectory::new();
        let root = folder.path().join("data");
        fs::create_dir_all(root.join("d")).unwrap();
        symlink("..", root.join("d/up")).unwrap();
        let error = find_contents(&root, "").unwrap_err();
        assert!(error.message().contains("leads back"), "{error}");
        fs::remove_file(root.join("d/up")).unwrap();
        symlink("nothing", root.join("d/up")).unwrap();
        assert_eq!(find_contents(&root, "").unwrap_err().kind(), ErrorKind::LocalFile);
    }

    #[test]
    fn a_socket_is_named_as_what_cannot_be_logged() {
        let folder = TemporaryDirectory::new();
        let socket = folder.path().join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = find_path(&socket, "").unwrap_err();
        assert!(error.message().contains("is a socket"), "{error}");
    }

    #[test]
    fn the_executable_bit_is_that_of_the_owner() {
        let folder = TemporaryDirectory::new();
        let script = folder.path().join("run.sh");
        fs::write(&script, "").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(find_path(&script, "").unwrap()[0].executable);
    }

    #[test]
    fn names_that_the_format_forbids_are_refused_before_anything_is_sent() {
        let folder = TemporaryDirectory::new();
        fs::write(folder.path().join("a\\b"), "").unwrap();
        assert_eq!(find_contents(folder.path(), "").unwrap_err().reason(), "INVALID_PATH");
        assert_eq!(find_path(folder.path(), "../up").unwrap_err().reason(), "INVALID_PATH");
    }
}
