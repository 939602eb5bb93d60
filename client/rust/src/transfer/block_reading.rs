//! Reads whole blocks of one file, going on where it was when the connection breaks.

use bytes::Bytes;
use tonic::{Status, Streaming};

use crate::connection::Connection;
use crate::digests::{BLOCK_SIZE, Digest};
use crate::error::{Error, Result};
use crate::patience::Patience;
use crate::v1;
use crate::v1::read_file_response::Part;

/// A block as it came; nothing is verified yet.
pub(crate) struct Block {
    /// Where it begins in the file.
    pub(crate) offset: u64,
    pub(crate) digest: Digest,
    pub(crate) parts: Vec<Bytes>,
}

impl Block {
    /// Whether it is what its digest says. Takes time: call it in a thread for such.
    pub(crate) fn is_whole(&self) -> bool {
        Digest::of_parts(self.parts.iter().map(AsRef::as_ref)) == self.digest
    }

    fn size(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}

/// Blocks of a range of a file, in order.
pub(crate) struct BlockReading {
    connection: Connection,
    patience: Patience,
    request: v1::ReadFileRequest,
    /// The range's end; 0: that of the file.
    end: u64,
    /// Offset after the last block that came, and that after the last one to come, once it is known.
    position: u64,
    last: Option<u64>,
    entry: v1::Entry,
    stream: Option<Streaming<v1::ReadFileResponse>>,
}

impl BlockReading {
    /// Read `length` bytes from `offset` on, widened to whole blocks; 0: to the end.
    pub(crate) fn new(connection: &Connection, location: &v1::ArtifactLocation, offset: u64, length: u64) -> Self {
        let request = v1::ReadFileRequest {
            owner: location.owner.clone(),
            sequence: Some(location.sequence),
            path: location.path.clone(),
            ..Default::default()
        };
        Self {
            connection: connection.clone(),
            patience: connection.patience(),
            request,
            end: if length == 0 { 0 } else { offset + length },
            position: offset,
            last: None,
            entry: v1::Entry::default(),
            stream: None,
        }
    }

    /// The next block, or `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Block>> {
        loop {
            match self.try_next().await {
                Ok(Ok(block)) => {
                    if let Some(block) = &block {
                        self.position += block.size();
                        self.patience.restart();
                    }
                    return Ok(block);
                }
                Ok(Err(status)) => {
                    self.stream = None;
                    self.patience.pause(&status).await?;
                }
                Err(damaged) => return Err(damaged),
            }
        }
    }

    /// The same on one call; the inner error is that of a call that failed.
    async fn try_next(&mut self) -> Result<Result<Option<Block>, Status>> {
        if self.stream.is_none()
            && !self.is_done()
            && let Err(status) = self.begin().await
        {
            return Ok(Err(status));
        }
        if self.is_done() {
            return Ok(Ok(None));
        }
        let Some(stream) = &mut self.stream else { return Err(Error::ended_early()) };
        let (mut digest, mut missing, mut parts) = (None, 0, Vec::new());
        loop {
            let chunk = match stream.message().await {
                Ok(Some(v1::ReadFileResponse { part: Some(Part::Chunk(chunk)) })) => chunk,
                Ok(Some(_)) => return Err(Error::damaged(&self.request.path)),
                Ok(None) => return Ok(Err(Status::unavailable("the server ended the stream early"))),
                Err(status) => return Ok(Err(status)),
            };
            if digest.is_none() {
                digest = Digest::from_proto(&chunk.digest);
                missing = chunk.size as usize;
            }
            let Some(digest) = digest.filter(|_| (1..=missing).contains(&chunk.data.len()) && missing <= BLOCK_SIZE)
            else {
                return Err(Error::damaged(&self.request.path));
            };
            missing -= chunk.data.len();
            parts.push(chunk.data);
            if missing == 0 {
                return Ok(Ok(Some(Block { offset: self.position, digest, parts })));
            }
        }
    }

    fn is_done(&self) -> bool {
        self.last.is_some_and(|last| self.position >= last)
    }

    /// Begin a call at the position; an interrupted one must go on with the same file.
    async fn begin(&mut self) -> Result<(), Status> {
        self.request.offset = i64::try_from(self.position).unwrap_or(i64::MAX);
        self.request.limit = i64::try_from(self.end.saturating_sub(self.position)).unwrap_or(i64::MAX);
        self.request.expected_digest = self.entry.digest.clone();
        let mut stream = self.connection.artifacts().read_file(self.request.clone()).await?.into_inner();
        let Some(v1::ReadFileResponse { part: Some(Part::Header(header)) }) = stream.message().await? else {
            return Err(Status::unavailable("the server ended the stream early"));
        };
        self.connection.note_answer();
        self.position = u64::try_from(header.start_offset).unwrap_or_default();
        self.last = Some(u64::try_from(header.end_offset).unwrap_or_default());
        self.entry = header.entry.unwrap_or_default();
        self.stream = Some(stream);
        Ok(())
    }
}
