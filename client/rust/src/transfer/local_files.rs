//! Writes files under temporary names, which become the final ones when all is there.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::digests::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::random::unique_id;

/// What came whole, and where it goes.
pub(crate) enum Received {
    Directory { target: PathBuf },
    File { target: PathBuf, path: String, digest: Option<Digest>, data: Bytes, executable: bool },
}

/// Verify and write what came, below `root`, which is there.
pub(crate) fn write_all(root: &Path, received: Vec<Received>) -> Result<()> {
    let mut made = HashSet::from([root.to_owned()]);
    for item in received {
        match item {
            Received::Directory { target } => make_directory(&target, &mut made)?,
            Received::File { target, path, digest, data, executable } => {
                if digest != Some(Digest::of(&data)) {
                    return Err(Error::damaged(&path));
                }
                if let Some(folder) = target.parent() {
                    make_directory(folder, &mut made)?;
                }
                let mut temporary = TemporaryFile::create(&target)?;
                temporary.file.write_all(&data).map_err(|error| cannot_write(&target, &error))?;
                temporary.finish(executable)?;
            }
        }
    }
    Ok(())
}

/// Make the directory that a large file goes to.
pub(crate) fn make_parent(root: &Path, target: &Path) -> Result<()> {
    target.parent().map_or(Ok(()), |folder| make_directory(folder, &mut HashSet::from([root.to_owned()])))
}

/// Make a directory and those above it, up to one of `made`. One that is a symbolic link could lead anywhere.
fn make_directory(path: &Path, made: &mut HashSet<PathBuf>) -> Result<()> {
    if made.contains(path) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directory(parent, made)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let kind = fs::symlink_metadata(path).map_err(|error| cannot_write(path, &error))?.file_type();
            if kind.is_symlink() {
                let shown = path.display();
                let message = format!(
                    "{shown} is a symbolic link, and downloads do not follow it. Remove it, or download elsewhere."
                );
                return Err(Error::new(ErrorKind::LocalFile, message));
            }
            if !kind.is_dir() {
                return Err(cannot_write(path, &error));
            }
        }
        outcome => outcome.map_err(|error| cannot_write(path, &error))?,
    }
    made.insert(path.to_owned());
    Ok(())
}

/// A file beside its target that takes the target's place when it is finished, and is removed otherwise.
pub(crate) struct TemporaryFile {
    target: PathBuf,
    path: PathBuf,
    file: File,
    finished: bool,
}

impl TemporaryFile {
    /// Begin one; a directory at the target is an error.
    pub(crate) fn create(target: &Path) -> Result<Self> {
        if target.is_dir() && !target.is_symlink() {
            let shown = target.display();
            let message =
                format!("{shown} is a directory here and a file in the artifacts. Download to another directory.");
            return Err(Error::new(ErrorKind::LocalFile, message));
        }
        let path = target.with_file_name(format!(".holdfast-{}.tmp", unique_id()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| cannot_write(target, &error))?;
        Ok(Self { target: target.to_owned(), path, file, finished: false })
    }

    /// Write the parts of a block at its offset.
    pub(crate) fn write_at(&self, mut offset: u64, parts: &[Bytes]) -> Result<()> {
        for part in parts {
            self.file.write_all_at(part, offset).map_err(|error| cannot_write(&self.target, &error))?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    /// Give it its name.
    pub(crate) fn finish(&mut self, executable: bool) -> Result<()> {
        let finish = || {
            if executable {
                let mode = self.file.metadata()?.permissions().mode();
                // Those who may read it may execute it.
                self.file.set_permissions(Permissions::from_mode(mode | (mode & 0o444) >> 2))?;
            }
            fs::rename(&self.path, &self.target)
        };
        finish().map_err(|error| cannot_write(&self.target, &error))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The error for a path that cannot be written.
pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> Error {
    Error::local(format!("{} cannot be written; download to another directory", path.display()), error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TemporaryDirectory;

    fn file(target: PathBuf, data: &'static [u8]) -> Received {
        let digest = Some(Digest::of(data));
        Received::File { target, path: "a".to_owned(), digest, data: Bytes::from_static(data), executable: true }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_replaces_what_was_there_and_can_be_executed_by_those_who_read_it() {
        let folder = TemporaryDirectory::new();
        let target = folder.path().join("d/a");
        write_all(folder.path(), vec![file(target.clone(), b"old")]).unwrap();
        write_all(folder.path(), vec![file(target.clone(), b"new")]).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        let mode = fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!((mode & 0o444) >> 2, mode & 0o111);
        assert_eq!(names(&folder.path().join("d")), ["a"]);
    }

    #[test]
    fn bytes_that_do_not_have_their_digest_leave_nothing() {
        let folder = TemporaryDirectory::new();
        let bad = Received::File {
            target: folder.path().join("a"),
            path: "a".to_owned(),
            digest: Some(Digest::of(b"y")),
            data: Bytes::from_static(b"x"),
            executable: false,
        };
        let error = write_all(folder.path(), vec![bad]).unwrap_err();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::DataLoss, "DATA_LOSS"));
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_file_that_is_not_finished_is_removed() {
        let folder = TemporaryDirectory::new();
        let temporary = TemporaryFile::create(&folder.path().join("a")).unwrap();
        temporary.write_at(0, &[Bytes::from_static(b"x")]).unwrap();
        drop(temporary);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn links_and_directories_that_stand_in_the_way_are_not_written_through() {
        let folder = TemporaryDirectory::new();
        let outside = TemporaryDirectory::new();
        symlink(outside.path(), folder.path().join("d")).unwrap();
        let error = write_all(folder.path(), vec![file(folder.path().join("d/a"), b"x")]).unwrap_err();
        assert!(error.message().contains("symbolic link"), "{error}");
        assert!(names(outside.path()).is_empty());
        fs::create_dir(folder.path().join("e")).unwrap();
        let error = write_all(folder.path(), vec![file(folder.path().join("e"), b"x")]).unwrap_err();
        assert!(error.message().contains("is a directory here"), "{error}");
    }
}
