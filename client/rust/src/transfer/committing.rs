//! Makes entries visible: one `CommitFiles` stream, which brings the contents of small files along.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::{StreamExt, TryStreamExt};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::asking::{Window, ask};
use super::hashing::{HashedBlock, hash};
use super::sources::Source;
use crate::connection::Connection;
use crate::digests::{Digest, file_digest};
use crate::error::{Error, ErrorKind, Result};
use crate::random::unique_id;
use crate::v1;
use crate::v1::commit_files_request::Part;
use crate::v1::commit_files_response::Outcome as Answer;

/// Contents up to this size go inside the commit: less to say about each than as blocks that are written before. So little
/// is sent in one round trip, without asking what is there.
pub(crate) const MAX_INLINE: u64 = 64 << 10;
const MESSAGE_ENTRIES: usize = 2_000;
const MESSAGE_BYTES: usize = 768 << 10;
const MESSAGE_DIGESTS: usize = 16_384;
/// Messages that wait to be sent.
const AHEAD: usize = 2;
/// Commits in which contents were damaged on their way, before it is an error.
const ATTEMPTS: usize = 3;
/// Digests that are remembered as sent, so that equal files of one tree are sent once.
const MAX_REMEMBERED: usize = 65_536;

/// What came of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All entries are visible.
    Committed,
    /// Blocks are gone meanwhile: send them, and commit again.
    Missing,
}

/// A set of entries that becomes visible at once, with the contents of small files.
///
/// It may be tried again: what the server has by then is named by digest and not sent again, and it happens once.
pub(crate) struct Commit<'a> {
    connection: &'a Connection,
    header: v1::CommitHeader,
    small: Arc<[Source]>,
}

impl<'a> Commit<'a> {
    pub(crate) fn new(connection: &'a Connection, owner: v1::TreeOwner, small: Arc<[Source]>) -> Self {
        let header = v1::CommitHeader { owner: Some(owner), request_id: unique_id(), return_tree_digest: false };
        Self { connection, header, small }
    }

    /// Commit `entries`, whose blocks were written, and the small files, which are read here.
    pub(crate) async fn run(&self, entries: Arc<[v1::NewEntry]>) -> Result<Outcome> {
        let mut patience = self.connection.patience();
        let (mut reached, mut damaged) = (0, 0);
        loop {
            let (failure, done) = match self.attempt(entries.clone()).await {
                Ok(outcome) => return Ok(outcome),
                Err(failed) => failed,
            };
            if failure.reason() == "CONTENT_MISMATCH" && damaged + 1 < ATTEMPTS {
                damaged += 1; // on its way, as what was read is what was hashed
                continue;
            }
            if done > reached {
                reached = done;
                patience.restart();
            }
            patience.pause_after(failure).await?;
        }
    }

    /// One call; an error comes with how many small files were handed over.
    async fn attempt(&self, entries: Arc<[v1::NewEntry]>) -> Result<Outcome, (Error, usize)> {
        let (messages, to_send) = mpsc::channel(AHEAD);
        let progress = Arc::new(Progress::default());
        let sending = Sending {
            connection: self.connection.clone(),
            header: self.header.clone(),
            entries,
            small: self.small.clone(),
            messages,
            progress: progress.clone(),
        };
        tokio::spawn(sending.run()); // ends with the call, which takes no more messages then
        let answer = self.connection.artifacts().commit_files(ReceiverStream::new(to_send)).await;
        let outcome = match answer {
            Ok(response) => {
                self.connection.note_answer();
                match response.into_inner().outcome {
                    Some(Answer::Committed(_)) => Ok(Outcome::Committed),
                    Some(Answer::Missing(_)) => Ok(Outcome::Missing),
                    None => Err(Error::new(ErrorKind::Internal, "The server did not say what came of the commit.")),
                }
            }
            Err(status) => {
                let refused = || Error::from_status(&status, self.connection.target());
                // Something of this side is why the server got no end of the messages.
                Err(progress.failure.get().cloned().unwrap_or_else(refused))
            }
        };
        outcome.map_err(|error| (error, progress.done.load(Ordering::Relaxed)))
    }
}

/// What the sending side of a call tells.
#[derive(Default)]
struct Progress {
    /// Small files that were handed over.
    done: AtomicUsize,
    /// Why there will be no end, so that the server commits nothing.
    failure: OnceLock<Error>,
}

/// Makes the messages of one call while they are sent.
struct Sending {
    connection: Connection,
    header: v1::CommitHeader,
    entries: Arc<[v1::NewEntry]>,
    small: Arc<[Source]>,
    messages: mpsc::Sender<v1::CommitFilesRequest>,
    progress: Arc<Progress>,
}

impl Sending {
    async fn run(self) {
        if let Err(error) = self.send_all().await {
            let _ = self.progress.failure.set(error);
        }
    }

    async fn send_all(&self) -> Result<()> {
        self.put(Part::Header(self.header.clone())).await;
        let mut batch = Batch::default();
        for entry in self.entries.iter() {
            let (entry, more) = cut(entry);
            batch.add(entry);
            if batch.is_full() || !more.is_empty() {
                self.put(batch.take()).await;
            }
            for block_digests in more {
                self.put(Part::MoreBlocks(v1::MoreBlocks { block_digests })).await;
            }
        }
        self.send_small(&mut batch).await?;
        if !batch.entries.is_empty() {
            self.put(batch.take()).await;
        }
        let count = self.entries.len() + self.small.len();
        self.put(Part::End(v1::CommitEnd { entry_count: i64::try_from(count).unwrap_or(i64::MAX) })).await;
        Ok(())
    }

    async fn send_small(&self, batch: &mut Batch) -> Result<()> {
        let total: u64 = self.small.iter().map(|source| source.size).sum();
        let batches = hash(self.small.clone());
        let mut windows = if total > MAX_INLINE {
            ask(self.connection.clone(), batches).boxed()
        } else {
            let all_missing = |blocks: Vec<HashedBlock>| {
                let missing = blocks.iter().map(|block| block.digest).collect();
                Window { blocks, missing }
            };
            batches.map_ok(all_missing).boxed()
        };
        let mut sent = HashSet::new();
        while let Some(Window { blocks, missing }) = windows.try_next().await? {
            if self.messages.is_closed() {
                return Ok(()); // the call has ended
            }
            for block in blocks {
                let there = sent.contains(&block.digest) || !missing.contains(&block.digest);
                sent.insert(block.digest);
                batch.add(small_entry(&self.small[block.source], &block, there));
                if batch.is_full() {
                    self.put(batch.take()).await;
                }
                self.progress.done.fetch_add(1, Ordering::Relaxed);
            }
            if sent.len() > MAX_REMEMBERED {
                sent.clear();
            }
        }
        Ok(())
    }

    /// Send a message; when nobody takes it the call has ended, and its answer says why.
    async fn put(&self, part: Part) {
        let _ = self.messages.send(v1::CommitFilesRequest { part: Some(part) }).await;
    }
}

/// Entries that are to go into one message.
#[derive(Default)]
struct Batch {
    entries: Vec<v1::NewEntry>,
    size: usize,
}

impl Batch {
    fn add(&mut self, entry: v1::NewEntry) {
        self.size += entry.encoded_len() + 4;
        self.entries.push(entry);
    }

    fn is_full(&self) -> bool {
        self.size > MESSAGE_BYTES || self.entries.len() >= MESSAGE_ENTRIES
    }

    fn take(&mut self) -> Part {
        self.size = 0;
        Part::Entries(v1::CommitEntries { entries: std::mem::take(&mut self.entries) })
    }
}

/// The entry of a directory.
pub(crate) fn directory_entry(path: &str) -> v1::NewEntry {
    v1::NewEntry { path: path.to_owned(), kind: v1::EntryKind::Directory.into(), ..Default::default() }
}

/// The entry of a file, by the digests of its blocks.
pub(crate) fn file_entry(source: &Source, blocks: &[Digest]) -> v1::NewEntry {
    v1::NewEntry {
        path: source.path.clone(),
        kind: v1::EntryKind::File.into(),
        executable: source.executable,
        size: i64::try_from(source.size).unwrap_or(i64::MAX),
        block_digests: blocks.iter().map(|block| block.to_proto()).collect(),
        digest: file_digest(blocks).to_proto(),
        ..Default::default()
    }
}

/// The entry of a file of one block at most; with its content when that is not there.
fn small_entry(source: &Source, block: &HashedBlock, there: bool) -> v1::NewEntry {
    let empty = block.data.is_empty();
    let entry = file_entry(source, if empty || !there { &[] } else { std::slice::from_ref(&block.digest) });
    let inline_data = (!there && !empty).then(|| block.data.clone());
    v1::NewEntry { digest: block.digest.to_proto(), inline_data, ..entry }
}

/// An entry whose list of blocks fits a message, and the rest of the list.
fn cut(entry: &v1::NewEntry) -> (v1::NewEntry, Vec<Vec<bytes::Bytes>>) {
    let mut entry = entry.clone();
    let rest = entry.block_digests.split_off(entry.block_digests.len().min(MESSAGE_DIGESTS));
    (entry, rest.chunks(MESSAGE_DIGESTS).map(<[bytes::Bytes]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::sources::Stamp;

    fn source(size: u64) -> Source {
        Source {
            path: "a".to_owned(),
            local: std::path::PathBuf::new(),
            is_directory: false,
            executable: true,
            size,
            stamp: Stamp::default(),
        }
    }

    #[test]
    fn a_small_file_brings_its_content_unless_that_is_there() {
        let data = bytes::Bytes::from_static(b"hello");
        let block = HashedBlock { source: 0, digest: Digest::of(&data), data: data.clone() };
        let new = small_entry(&source(5), &block, false);
        assert_eq!((new.inline_data, new.block_digests.len(), new.executable), (Some(data), 0, true));
        let known = small_entry(&source(5), &block, true);
        assert_eq!((known.inline_data, known.block_digests), (None, vec![block.digest.to_proto()]));
        assert_eq!((new.digest, known.digest), (block.digest.to_proto(), block.digest.to_proto()));
    }

    #[test]
    fn an_empty_file_has_neither_content_nor_blocks() {
        let block = HashedBlock { source: 0, digest: Digest::of(b""), data: bytes::Bytes::new() };
        for there in [false, true] {
            let entry = small_entry(&source(0), &block, there);
            assert_eq!((entry.inline_data, entry.block_digests.len(), entry.size), (None, 0, 0));
        }
    }

    #[test]
    fn a_list_of_blocks_that_fits_no_message_goes_on_in_others() {
        let digest = Digest::of(b"x");
        let (entry, more) = cut(&file_entry(&source(5), &vec![digest; 2 * MESSAGE_DIGESTS + 1]));
        assert_eq!(entry.block_digests.len(), MESSAGE_DIGESTS);
        assert_eq!(more.iter().map(Vec::len).collect::<Vec<_>>(), [MESSAGE_DIGESTS, 1]);
    }
}
