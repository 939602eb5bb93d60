//! Reads ranges of one file of a snapshot.

use bytes::{Bytes, BytesMut};

use super::block_reading::{Block, BlockReading};
use super::in_thread;
use super::uris::{Resolutions, resolve_file};
use crate::connection::Connection;
use crate::digests::{BLOCK_SIZE, Digest, block_count, file_digest};
use crate::error::{Error, Result};
use crate::v1;

/// A file of a snapshot, and which blocks it has.
pub(crate) struct RangeReader {
    connection: Connection,
    location: v1::ArtifactLocation,
    size: u64,
    digest: Digest,
    blocks: Vec<Digest>,
}

impl RangeReader {
    /// The file that `uri` names now.
    pub(crate) async fn open(connection: &Connection, uri: &str) -> Result<Self> {
        let mut resolutions = Resolutions::default();
        loop {
            let location = resolve_file(connection, uri).await?;
            match Self::open_file(connection, location).await {
                Err(error) if resolutions.again(&error) => {}
                outcome => return outcome,
            }
        }
    }

    async fn open_file(connection: &Connection, location: v1::ArtifactLocation) -> Result<Self> {
        let mut request = v1::ListFileBlocksRequest {
            owner: location.owner.clone(),
            sequence: Some(location.sequence),
            path: location.path.clone(),
            ..Default::default()
        };
        let mut blocks = Vec::new();
        let entry = loop {
            let page = connection
                .call(connection.artifacts(), request.clone(), |mut stub, request| async move {
                    stub.list_file_blocks(request).await
                })
                .await?;
            blocks.extend(page.block_digests.iter().filter_map(|digest| Digest::from_proto(digest)));
            if page.next_page_token.is_empty() {
                break page.entry.unwrap_or_default();
            }
            request.page_token = page.next_page_token;
        };
        let size = u64::try_from(entry.size).unwrap_or_default();
        let digest = file_digest(&blocks);
        // That the blocks are the file's is checked once, and later each block is one of these.
        if blocks.len() as u64 != block_count(size) || digest.as_bytes()[..] != entry.digest {
            return Err(Error::damaged(&location.path));
        }
        Ok(Self { connection: connection.clone(), location, size, digest, blocks })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The bytes of a range, as far as the file has it.
    pub(crate) async fn read(&self, offset: u64, length: u64) -> Result<Bytes> {
        let end = self.size.min(offset.saturating_add(length));
        if offset >= end {
            return Ok(Bytes::new());
        }
        let mut data = BytesMut::with_capacity(usize::try_from(end - offset).unwrap_or_default());
        let mut reading = BlockReading::new(&self.connection, &self.location, offset, end - offset);
        while let Some(block) = reading.next().await? {
            let block = self.verified(block).await?;
            let mut position = block.offset;
            for part in &block.parts {
                let (from, to) = (offset.max(position), end.min(position + part.len() as u64));
                if from < to {
                    data.extend_from_slice(&part[index(from - position)..index(to - position)]);
                }
                position += part.len() as u64;
            }
        }
        if data.len() as u64 == end - offset { Ok(data.freeze()) } else { Err(Error::damaged(&self.location.path)) }
    }

    async fn verified(&self, block: Block) -> Result<Block> {
        let known = self.blocks.get(index(block.offset / BLOCK_SIZE as u64));
        let path = self.location.path.clone();
        if known != Some(&block.digest) {
            return Err(Error::damaged(&path));
        }
        in_thread(move || if block.is_whole() { Ok(block) } else { Err(Error::damaged(&path)) }).await
    }
}

/// A position within a part, or the number of a block.
fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
