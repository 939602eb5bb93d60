//! Artifacts as a client lists and reads them.

use bytes::Bytes;

use crate::client::Client;
use crate::digests::Digest;
use crate::error::Result;
use crate::transfer;
use crate::v1;

/// A file or directory of a tree of artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactEntry {
    /// From the root of the run or model, `/`-separated.
    pub path: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Whether its owner may execute the file.
    pub executable: bool,
    /// Bytes; 0 for directories.
    pub size: u64,
    /// Of the file, as [`file_digest`](crate::digests::file_digest) makes it; `None` for directories.
    pub digest: Option<Digest>,
}

impl ArtifactEntry {
    /// A file that nobody may execute.
    #[must_use]
    pub fn file(path: impl Into<String>, size: u64, digest: Digest) -> Self {
        Self { path: path.into(), is_directory: false, executable: false, size, digest: Some(digest) }
    }

    /// A directory.
    #[must_use]
    pub fn directory(path: impl Into<String>) -> Self {
        Self { path: path.into(), is_directory: true, executable: false, size: 0, digest: None }
    }

    /// What a server says, standing at `path` of a view.
    pub(crate) fn from_proto(path: String, entry: &v1::Entry) -> Self {
        if entry.kind() == v1::EntryKind::Directory {
            return Self::directory(path);
        }
        Self {
            path,
            is_directory: false,
            executable: entry.executable,
            size: u64::try_from(entry.size).unwrap_or_default(),
            digest: Digest::from_proto(&entry.digest),
        }
    }
}

/// A file of a snapshot, which nothing changes, read in pieces. Made by [`Client::open`].
pub struct ArtifactReader {
    inner: transfer::RangeReader,
}

impl ArtifactReader {
    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.size()
    }

    /// The digest of the file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.inner.digest()
    }

    /// The bytes from `offset` on, `length` of them or up to the end of the file, verified. They are fetched in whole
    /// blocks of 8 MiB, as only those can be verified.
    pub async fn read_range(&self, offset: u64, length: u64) -> Result<Bytes> {
        self.inner.read(offset, length).await
    }
}

impl Client {
    /// One level of the directory that `uri` names, or all below it, sorted by the paths' UTF-8 bytes. Paths are those of
    /// the run or model. A file has nothing below it.
    pub async fn list_artifacts(&self, uri: &str, recursive: bool) -> Result<Vec<ArtifactEntry>> {
        transfer::list(&self.connection, uri, recursive).await
    }

    /// Open the file that `uri` names, as it is now, to read pieces of it.
    pub async fn open(&self, uri: &str) -> Result<ArtifactReader> {
        Ok(ArtifactReader { inner: transfer::RangeReader::open(&self.connection, uri).await? })
    }

    /// A piece of the file that `uri` names; see [`ArtifactReader::read_range`].
    pub async fn read_range(&self, uri: &str, offset: u64, length: u64) -> Result<Bytes> {
        self.open(uri).await?.read_range(offset, length).await
    }
}
