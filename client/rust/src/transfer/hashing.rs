//! Reads files once, cuts them into blocks and hashes those, in threads and in bounded memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::joined;
use super::sources::{Source, Stamp, cannot_read};
use crate::digests::{BLOCK_SIZE, Digest};
use crate::error::{Error, ErrorKind, Result};

/// Tasks that read and hash ahead of the network, each of at most a block.
const AHEAD: usize = 2;
/// Small files of one task; a task each would cost more than reading them.
const BATCH_FILES: usize = 128;

/// A block in memory, and the file that it belongs to: its index among the sources.
#[derive(Debug, Clone)]
pub(crate) struct HashedBlock {
    pub(crate) source: usize,
    pub(crate) digest: Digest,
    pub(crate) data: Bytes,
}

/// A part of a file: the whole of a small one, or one block of a large one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    source: usize,
    offset: u64,
    length: usize,
}

/// Hashed blocks in batches of at most `BLOCK_SIZE` bytes, in the order of the sources, which are files. An empty file has
/// one too, without data, so that it is seen whether it can be read.
pub(crate) fn hash(sources: Arc<[Source]>) -> impl Stream<Item = Result<Vec<HashedBlock>>> + Send {
    let tasks = tasks(&sources);
    stream::iter(tasks)
        .map(move |task| {
            let sources = sources.clone();
            // Begun here, so that it goes on while nobody looks.
            tokio::task::spawn_blocking(move || task.iter().map(|piece| read(&sources, *piece)).collect())
        })
        .buffered(AHEAD)
        .map(joined)
}

fn tasks(sources: &[Source]) -> Vec<Vec<Piece>> {
    let mut tasks: Vec<Vec<Piece>> = Vec::new();
    let mut room = 0;
    for (index, source) in sources.iter().enumerate() {
        let mut offset = 0;
        loop {
            let left = source.size - offset;
            let length = usize::try_from(left).unwrap_or(BLOCK_SIZE).min(BLOCK_SIZE);
            let piece = Piece { source: index, offset, length };
            match tasks.last_mut() {
                Some(task) if length <= room && task.len() < BATCH_FILES => task.push(piece),
                _ => {
                    tasks.push(vec![piece]);
                    room = BLOCK_SIZE;
                }
            }
            room -= length;
            offset += length as u64;
            if offset >= source.size {
                break;
            }
        }
    }
    tasks
}

fn read(sources: &[Source], piece: Piece) -> Result<HashedBlock> {
    let source = &sources[piece.source];
    let read = || -> std::io::Result<(Vec<u8>, Stamp)> {
        let file = File::open(&source.local)?;
        let mut data = vec![0; piece.length];
        match file.read_exact_at(&mut data, piece.offset) {
            // It is shorter than it was, as its stamp shows.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
            outcome => outcome?,
        }
        Ok((data, Stamp::of(&file.metadata()?)))
    };
    let (data, stamp) = read().map_err(|error| cannot_read(&source.local, &error))?;
    if stamp != source.stamp {
        let message = format!(
            "{} changed while it was logged; nothing of this call is kept. Log it again when it is whole.",
            source.local.display()
        );
        return Err(Error::new(ErrorKind::LocalFile, message));
    }
    Ok(HashedBlock { source: piece.source, digest: Digest::of(&data), data: data.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TemporaryDirectory;
    use crate::transfer::sources::find_contents;

    fn source(size: u64) -> Source {
        Source {
            path: String::new(),
            local: std::path::PathBuf::new(),
            is_directory: false,
            executable: false,
            size,
            stamp: Stamp::default(),
        }
    }

    fn lengths(sizes: &[u64]) -> Vec<Vec<usize>> {
        let sources: Vec<_> = sizes.iter().map(|size| source(*size)).collect();
        tasks(&sources).iter().map(|task| task.iter().map(|piece| piece.length).collect()).collect()
    }

    #[test]
    fn large_files_are_cut_into_blocks_and_small_ones_share_a_task() {
        let block = BLOCK_SIZE as u64;
        assert_eq!(lengths(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(lengths(&[0, 1, 2]), [vec![0, 1, 2]]);
        assert_eq!(lengths(&[block]), [vec![BLOCK_SIZE]]);
        assert_eq!(lengths(&[2 * block, 5]), [vec![BLOCK_SIZE], vec![BLOCK_SIZE], vec![5]]);
        assert_eq!(lengths(&[block + 1, 5]), [vec![BLOCK_SIZE], vec![1, 5]]);
        assert_eq!(lengths(&[1; 129]).iter().map(Vec::len).collect::<Vec<_>>(), [128, 1]);
    }

    #[tokio::test]
    async fn a_file_that_changed_since_it_was_found_is_an_error() {
        let folder = TemporaryDirectory::new();
        let path = folder.path().join("a");
        std::fs::write(&path, "12345").unwrap();
        let sources: Arc<[Source]> = find_contents(folder.path(), "").unwrap().into();
        let first: Vec<_> = hash(sources.clone()).collect().await;
        assert_eq!(first[0].as_ref().unwrap()[0].digest, Digest::of(b"12345"));
        std::fs::write(&path, "123").unwrap();
        let error = hash(sources).next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalFile);
        assert!(error.message().contains("changed while it was logged"), "{error}");
    }
}
