//! Uploads sources into a tree: blocks first, then one commit that makes all of it visible at once.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;

use super::asking::{Window, ask};
use super::committing::{Commit, MAX_INLINE, Outcome, directory_entry, file_entry};
use super::hashing::hash;
use super::sending::BlockSender;
use super::sources::Source;
use crate::connection::Connection;
use crate::digests::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::v1;

/// Commits that find blocks missing again, as garbage collection took them meanwhile, before it is an error.
const ATTEMPTS: usize = 3;

/// Put `sources` into the tree of `owner`; all become visible at once when this returns.
pub(crate) async fn upload(connection: &Connection, owner: v1::TreeOwner, sources: Vec<Source>) -> Result<()> {
    let (directories, files): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| source.is_directory);
    let (small, large): (Vec<_>, Vec<_>) = files.into_iter().partition(|source| source.size <= MAX_INLINE);
    let (small, large): (Arc<[Source]>, Arc<[Source]>) = (small.into(), large.into());
    let commit = Commit::new(connection, owner, small);
    for _ in 0..ATTEMPTS {
        let digests = send_blocks(connection, &large).await?;
        let mut entries: Vec<_> = directories.iter().map(|source| directory_entry(&source.path)).collect();
        entries.extend(large.iter().zip(&digests).map(|(source, blocks)| file_entry(source, blocks)));
        if commit.run(entries.into()).await? == Outcome::Committed {
            return Ok(());
        }
    }
    let message = "The server kept losing blocks of this upload; its garbage collection may be misconfigured.";
    Err(Error::new(ErrorKind::Unavailable, message))
}

/// Send what the server lacks; returns the digests of each source's blocks.
async fn send_blocks(connection: &Connection, sources: &Arc<[Source]>) -> Result<Vec<Vec<Digest>>> {
    let mut digests = vec![Vec::new(); sources.len()];
    let mut sender = BlockSender::new(connection);
    let mut windows = pin!(ask(connection.clone(), hash(sources.clone())));
    while let Some(Window { blocks, missing }) = windows.try_next().await? {
        let mut seen = HashSet::new();
        let mut to_send = Vec::new();
        for block in blocks {
            digests[block.source].push(block.digest);
            if missing.contains(&block.digest) && seen.insert(block.digest) {
                to_send.push(block);
            }
        }
        sender.send(to_send).await?;
    }
    sender.finish().await?;
    Ok(digests)
}
