//! Asks which blocks the server lacks, a window ahead of those that are sent.

use std::collections::HashSet;

use futures_util::{Stream, StreamExt, stream};

use super::hashing::HashedBlock;
use super::joined;
use crate::connection::Connection;
use crate::digests::Digest;
use crate::error::{Error, Result};
use crate::v1;

/// Blocks whose presence is asked for together, and how many such windows are asked for at a time: over a slow network the
/// answers come while earlier windows are sent.
const WINDOW_BYTES: usize = 8 << 20;
const WINDOW_BLOCKS: usize = 512;
const WINDOWS: usize = 2;
/// What one request may ask for.
const MAX_DIGESTS: usize = 16_384;

/// Blocks, and the digests of those that the server lacks.
pub(crate) struct Window {
    pub(crate) blocks: Vec<HashedBlock>,
    pub(crate) missing: HashSet<Digest>,
}

/// Those of `digests` that the server lacks.
pub(crate) async fn find_missing(connection: &Connection, digests: &[Digest]) -> Result<HashSet<Digest>> {
    let mut missing = HashSet::new();
    for part in digests.chunks(MAX_DIGESTS) {
        let request = v1::FindMissingBlocksRequest { digests: part.iter().map(|digest| digest.to_proto()).collect() };
        let response = connection
            .call(connection.artifacts(), request, |mut stub, request| async move {
                stub.find_missing_blocks(request).await
            })
            .await?;
        missing.extend(response.missing_digests.iter().filter_map(|digest| Digest::from_proto(digest)));
    }
    Ok(missing)
}

/// Windows of blocks in order. Blocks without data, of empty files, are never missing.
pub(crate) fn ask(
    connection: Connection,
    batches: impl Stream<Item = Result<Vec<HashedBlock>>> + Send,
) -> impl Stream<Item = Result<Window>> + Send {
    windows(batches)
        .map(move |blocks| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let blocks = blocks?;
                let filled = blocks.iter().filter(|block| !block.data.is_empty());
                let digests: HashSet<Digest> = filled.map(|block| block.digest).collect();
                let digests: Vec<Digest> = digests.into_iter().collect();
                let missing = find_missing(&connection, &digests).await?;
                Ok::<_, Error>(Window { blocks, missing })
            })
        })
        .buffered(WINDOWS)
        .map(joined)
}

fn windows(
    batches: impl Stream<Item = Result<Vec<HashedBlock>>> + Send,
) -> impl Stream<Item = Result<Vec<HashedBlock>>> + Send {
    stream::unfold(Box::pin(batches), |mut batches| async move {
        let (mut window, mut size) = (Vec::new(), 0);
        while size < WINDOW_BYTES && window.len() < WINDOW_BLOCKS {
            match batches.next().await {
                Some(Ok(batch)) => {
                    size += batch.iter().map(|block| block.data.len()).sum::<usize>();
                    window.extend(batch);
                }
                Some(Err(error)) => return Some((Err(error), batches)),
                None if window.is_empty() => return None,
                None => break,
            }
        }
        Some((Ok(window), batches))
    })
}
