//! Downloads files and trees: verified, in bounded memory, and under their final names only when whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::block_reading::BlockReading;
use super::files_reading::FilesReading;
use super::in_thread;
use super::local_files::{Received, TemporaryFile, cannot_write, make_parent, write_all};
use super::uris::{Resolutions, below, resolve, split};
use super::write_queue::WriteQueue;
use crate::connection::Connection;
use crate::digests::{Digest, block_count, file_digest};
use crate::error::{Error, Result};
use crate::paths::check_received_path;
use crate::v1;

/// Larger files are read one by one, after the small ones came in one stream; so many of them at once.
const MAX_BATCHED: i64 = 1 << 20;
const LARGE_FILES: usize = 2;
/// Small files that are verified and written together, and how many such batches are on their way to the disk.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: usize = 1 << 20;
const BATCHES: usize = 4;
/// Blocks of one file that are verified and written while the next ones arrive.
const BLOCKS: usize = 2;

/// Write what `uri` names below `destination`; returns where it is.
pub(crate) async fn download(connection: &Connection, uri: &str, destination: &Path) -> Result<PathBuf> {
    let destination = std::path::absolute(destination).map_err(|error| cannot_write(destination, &error))?;
    let (_, path) = split(uri);
    let name = path.rsplit('/').next().unwrap_or_default();
    let target = if name.is_empty() { destination.clone() } else { destination.join(check_received_path(name)?) };
    let mut resolutions = Resolutions::default();
    loop {
        let mut download = TreeDownload { connection, target: &target, has_begun: false };
        match download.fetch(uri).await {
            // What a directory was replaced by is not mixed with what came of it before.
            Err(error) if !download.has_begun && resolutions.again(&error) => {}
            outcome => return outcome.map(|()| target),
        }
    }
}

struct TreeDownload<'a> {
    connection: &'a Connection,
    target: &'a Path,
    has_begun: bool,
}

/// A large file of a snapshot, and where it goes.
struct LargeFile {
    location: v1::ArtifactLocation,
    entry: v1::Entry,
    root: PathBuf,
    target: PathBuf,
}

impl TreeDownload<'_> {
    async fn fetch(&mut self, uri: &str) -> Result<()> {
        let locations = resolve(self.connection, uri).await?;
        let is_file = locations.len() == 1 && locations[0].kind() == v1::EntryKind::File;
        let folder = if is_file { self.target.parent().unwrap_or(self.target) } else { self.target };
        fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
        for location in locations {
            let root = if location.prefix.is_empty() {
                folder.to_owned()
            } else {
                folder.join(check_received_path(&location.prefix)?)
            };
            self.fetch_location(&location, folder, &root, is_file).await?;
        }
        Ok(())
    }

    /// Write a location below `root`, which is made below `folder`; a file goes to the target.
    async fn fetch_location(
        &mut self,
        location: &v1::ArtifactLocation,
        folder: &Path,
        root: &Path,
        is_file: bool,
    ) -> Result<()> {
        let mut writer = Writer::new(folder);
        let received = self.receive(location, folder, root, is_file, &mut writer).await;
        let written = writer.finish().await;
        let large = received.and_then(|large| written.map(|()| large))?;
        let fetches: Vec<_> = large.into_iter().map(|file| fetch_large(self.connection, file)).collect();
        stream::iter(fetches).buffer_unordered(LARGE_FILES).try_collect::<()>().await
    }

    /// Hand over small files; returns the large ones.
    async fn receive(
        &mut self,
        location: &v1::ArtifactLocation,
        folder: &Path,
        root: &Path,
        is_file: bool,
        writer: &mut Writer,
    ) -> Result<Vec<LargeFile>> {
        let mut reading = FilesReading::new(self.connection, location, MAX_BATCHED);
        let mut large = Vec::new();
        writer.add(Received::Directory { target: root.to_owned() }).await?;
        while let Some((entry, data)) = reading.next().await? {
            self.has_begun |= !is_file;
            let target = match below(&entry.path, location) {
                "" if is_file => self.target.to_owned(),
                path => root.join(check_received_path(path)?),
            };
            if entry.kind() == v1::EntryKind::Directory {
                writer.add(Received::Directory { target }).await?;
            } else if entry.size > MAX_BATCHED {
                let (path, kind) = (entry.path.clone(), v1::EntryKind::File.into());
                let location = v1::ArtifactLocation { path, kind, prefix: String::new(), ..location.clone() };
                large.push(LargeFile { location, entry, root: folder.to_owned(), target });
            } else {
                let (digest, executable, path) = (Digest::from_proto(&entry.digest), entry.executable, entry.path);
                writer.add(Received::File { target, path, digest, data, executable }).await?;
            }
        }
        Ok(large)
    }
}

async fn fetch_large(connection: &Connection, file: LargeFile) -> Result<()> {
    let (root, target) = (file.root, file.target);
    let temporary = in_thread(move || {
        make_parent(&root, &target)?;
        TemporaryFile::create(&target)
    });
    let temporary = Arc::new(temporary.await?);
    let mut queue = WriteQueue::new(BLOCKS);
    let received = receive_blocks(connection, &file.location, &temporary, &mut queue).await;
    let written = queue.finish().await;
    let digests = received.and_then(|digests| written.map(|()| digests))?;
    let expected = u64::try_from(file.entry.size).unwrap_or_default();
    let whole =
        digests.len() as u64 == block_count(expected) && file_digest(&digests).as_bytes()[..] == file.entry.digest;
    match Arc::into_inner(temporary) {
        Some(mut temporary) if whole => in_thread(move || temporary.finish(file.entry.executable)).await,
        _ => Err(Error::damaged(&file.entry.path)),
    }
}

/// Verify and write all blocks of a file; returns their digests.
async fn receive_blocks(
    connection: &Connection,
    location: &v1::ArtifactLocation,
    temporary: &Arc<TemporaryFile>,
    queue: &mut WriteQueue,
) -> Result<Vec<Digest>> {
    let mut reading = BlockReading::new(connection, location, 0, 0);
    let mut digests = Vec::new();
    while let Some(block) = reading.next().await? {
        digests.push(block.digest);
        let (temporary, path) = (temporary.clone(), location.path.clone());
        let write = move || {
            if block.is_whole() { temporary.write_at(block.offset, &block.parts) } else { Err(Error::damaged(&path)) }
        };
        queue.push(write).await?;
    }
    Ok(digests)
}

/// Verifies and writes small files in threads while more of them arrive.
struct Writer {
    root: PathBuf,
    batch: Vec<Received>,
    size: usize,
    queue: WriteQueue,
}

impl Writer {
    fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), batch: Vec::new(), size: 0, queue: WriteQueue::new(BATCHES) }
    }

    /// Take something; waits while too much is on its way.
    async fn add(&mut self, received: Received) -> Result<()> {
        if let Received::File { data, .. } = &received {
            self.size += data.len();
        }
        self.batch.push(received);
        if self.batch.len() >= BATCH_FILES || self.size >= BATCH_BYTES { self.hand_over().await } else { Ok(()) }
    }

    /// Wait until all is written, also what was not before an error.
    async fn finish(mut self) -> Result<()> {
        let handed_over = self.hand_over().await;
        handed_over.and(self.queue.finish().await)
    }

    async fn hand_over(&mut self) -> Result<()> {
        let (root, batch) = (self.root.clone(), std::mem::take(&mut self.batch));
        self.size = 0;
        self.queue.push(move || write_all(&root, batch)).await
    }
}
