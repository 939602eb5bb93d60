//! Sends blocks over one `WriteBlocks` stream and follows what the server answers.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::asking::find_missing;
use super::hashing::HashedBlock;
use crate::connection::Connection;
use crate::digests::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::patience::Patience;
use crate::v1;

const CHUNK: usize = 1 << 20;
/// Blocks up to this size share messages.
const SMALL: usize = 64 << 10;
/// What a block of a message takes besides its data.
const BLOCK_OVERHEAD: usize = 48;
/// Bytes that may be sent and not yet answered; they are kept to be sent again when the connection breaks.
const MAX_UNANSWERED: usize = 32 << 20;
/// Bytes that may be under way before the server has said how many.
const INITIAL_WINDOW: u64 = 1 << 20;
/// Times that a block is sent before a mismatch is an error.
const ATTEMPTS: u32 = 4;

/// Sends blocks; each is durable on the server when `finish` returns.
///
/// Blocks that were not answered when the connection broke are sent again on a new one, after asking which are missing.
pub(crate) struct BlockSender<'a> {
    connection: &'a Connection,
    patience: Patience,
    unanswered: HashMap<Digest, Bytes>,
    /// Bytes of those.
    size: usize,
    mismatches: HashMap<Digest, u32>,
    /// What is to be sent on the stream that there is.
    waiting: VecDeque<v1::WriteBlocksRequest>,
    stream: Option<WriteStream>,
}

impl<'a> BlockSender<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            patience: connection.patience(),
            unanswered: HashMap::new(),
            size: 0,
            mismatches: HashMap::new(),
            waiting: VecDeque::new(),
            stream: None,
        }
    }

    /// Send blocks; waits while too much is unanswered.
    pub(crate) async fn send(&mut self, blocks: impl IntoIterator<Item = HashedBlock>) -> Result<()> {
        let mut fresh = Vec::new();
        for block in blocks {
            if self.unanswered.insert(block.digest, block.data.clone()).is_none() {
                self.size += block.data.len();
                fresh.push((block.digest, block.data));
            }
        }
        self.waiting.extend(messages(fresh));
        self.drive(MAX_UNANSWERED).await
    }

    /// Wait until all blocks are answered.
    pub(crate) async fn finish(mut self) -> Result<()> {
        self.drive(0).await?;
        if let Some(stream) = self.stream.take() {
            stream.half_close();
        }
        Ok(())
    }

    /// Send what waits, and take answers until no more than `most` bytes are unanswered.
    async fn drive(&mut self, most: usize) -> Result<()> {
        while !self.waiting.is_empty() || self.size > most {
            match self.step().await {
                Ok(results) => {
                    for result in results {
                        self.take(&result).await?;
                    }
                }
                Err(status) => {
                    self.stream = None;
                    self.patience.pause(&status).await?;
                    self.resume().await?;
                }
            }
        }
        Ok(())
    }

    /// Send a message, or else wait for an answer; returns what was answered meanwhile.
    async fn step(&mut self) -> Result<Vec<v1::BlockResult>, Status> {
        let stream = self.stream.get_or_insert_with(|| WriteStream::begin(self.connection));
        match self.waiting.front() {
            Some(message) => {
                stream.push(message).await?;
                self.waiting.pop_front();
            }
            None => stream.take_answer().await?,
        }
        Ok(std::mem::take(&mut stream.results))
    }

    async fn take(&mut self, result: &v1::BlockResult) -> Result<()> {
        let Some(digest) = Digest::from_proto(&result.digest) else { return Ok(()) };
        let Some(data) = self.unanswered.get(&digest).cloned() else { return Ok(()) };
        match result.status() {
            v1::BlockStatus::Stored => {
                self.done(&digest);
                return Ok(());
            }
            // A store that is full or away: the same patience as with a server that is away.
            v1::BlockStatus::Unavailable => {
                let failure = Error::new(ErrorKind::Unavailable, result.message.clone()).with_reason("UNAVAILABLE");
                self.patience.pause_after(failure).await?;
            }
            status => {
                let times = self.mismatches.entry(digest).or_default();
                *times += 1;
                if status != v1::BlockStatus::DigestMismatch || *times >= ATTEMPTS {
                    let what = if result.message.is_empty() { status.as_str_name() } else { &result.message };
                    let message = format!("Block {digest} was refused {times} times on its way: {what}");
                    return Err(Error::new(ErrorKind::DataLoss, message));
                }
            }
        }
        self.waiting.extend(messages([(digest, data)]));
        Ok(())
    }

    /// Ask which of the unanswered blocks are missing, and send those on a new stream.
    async fn resume(&mut self) -> Result<()> {
        self.waiting.clear();
        let digests: Vec<Digest> = self.unanswered.keys().copied().collect();
        let missing = find_missing(self.connection, &digests).await?;
        for digest in digests.iter().filter(|digest| !missing.contains(digest)) {
            self.done(digest);
        }
        let blocks: Vec<_> = self.unanswered.iter().map(|(digest, data)| (*digest, data.clone())).collect();
        self.waiting.extend(messages(blocks));
        Ok(())
    }

    fn done(&mut self, digest: &Digest) {
        if let Some(data) = self.unanswered.remove(digest) {
            self.size -= data.len();
            self.patience.restart();
        }
    }
}

/// One `WriteBlocks` call. What is under way stays within the window that the server allows, which shrinks while many
/// clients send.
struct WriteStream {
    requests: mpsc::Sender<v1::WriteBlocksRequest>,
    answers: mpsc::UnboundedReceiver<Result<v1::WriteBlocksResponse, Status>>,
    sent: u64,
    taken: u64,
    window: u64,
    results: Vec<v1::BlockResult>,
    following: Option<JoinHandle<()>>,
}

impl WriteStream {
    fn begin(connection: &Connection) -> Self {
        let (requests, to_send) = mpsc::channel(1);
        let (answered, answers) = mpsc::unbounded_channel();
        let connection = connection.clone();
        let following = tokio::spawn(async move {
            let follow = async {
                let response = connection.artifacts().write_blocks(ReceiverStream::new(to_send)).await?;
                let mut responses = response.into_inner();
                while let Some(response) = responses.message().await? {
                    connection.note_answer();
                    let _ = answered.send(Ok(response));
                }
                // The server ends the stream only after us, or when it stops.
                Err::<(), Status>(Status::unavailable("the server ended the stream early"))
            };
            if let Err(status) = follow.await {
                let _ = answered.send(Err(status));
            }
        });
        Self {
            requests,
            answers,
            sent: 0,
            taken: 0,
            window: INITIAL_WINDOW,
            results: Vec::new(),
            following: Some(following),
        }
    }

    /// Send a message as soon as there is room for it.
    async fn push(&mut self, message: &v1::WriteBlocksRequest) -> Result<(), Status> {
        let length = message.encoded_len() as u64;
        while self.sent > self.taken && self.sent - self.taken + length > self.window {
            self.take_answer().await?;
        }
        loop {
            let answer = tokio::select! {
                biased;
                answer = self.answers.recv() => Some(answer),
                permit = self.requests.reserve() => match permit {
                    Ok(permit) => {
                        permit.send(message.clone());
                        break;
                    }
                    // The call has failed, as its answer tells.
                    Err(_) => None,
                },
            };
            let answer = match answer {
                Some(answer) => answer,
                None => self.answers.recv().await,
            };
            self.note(answer)?;
        }
        self.sent += length;
        Ok(())
    }

    async fn take_answer(&mut self) -> Result<(), Status> {
        let answer = self.answers.recv().await;
        self.note(answer)
    }

    fn note(&mut self, answer: Option<Result<v1::WriteBlocksResponse, Status>>) -> Result<(), Status> {
        let response = answer.unwrap_or_else(|| Err(Status::unavailable("the stream has ended")))?;
        self.taken = u64::try_from(response.taken_bytes).unwrap_or_default();
        self.window = u64::try_from(response.window_bytes).unwrap_or_default();
        self.results.extend(response.results);
        Ok(())
    }

    /// End the stream in good order; the server's end of it is not waited for.
    fn half_close(mut self) {
        self.following = None;
    }
}

impl Drop for WriteStream {
    fn drop(&mut self) {
        if let Some(following) = &self.following {
            following.abort();
        }
    }
}

/// Messages for blocks: small ones together, large ones in chunks.
fn messages(blocks: impl IntoIterator<Item = (Digest, Bytes)>) -> Vec<v1::WriteBlocksRequest> {
    let mut messages = Vec::new();
    let (mut small, mut size) = (Vec::new(), 0);
    for (digest, data) in blocks {
        if data.len() > SMALL {
            messages.extend(chunks(digest, &data));
            continue;
        }
        let length = data.len() + BLOCK_OVERHEAD;
        if size + length > CHUNK {
            messages.push(v1::WriteBlocksRequest { blocks: std::mem::take(&mut small), chunk: None });
            size = 0;
        }
        size += length;
        small.push(v1::Block { digest: digest.to_proto(), data });
    }
    if !small.is_empty() {
        messages.push(v1::WriteBlocksRequest { blocks: small, chunk: None });
    }
    messages
}

/// Only the first one says whose they are.
fn chunks(digest: Digest, data: &Bytes) -> impl Iterator<Item = v1::WriteBlocksRequest> {
    (0..data.len()).step_by(CHUNK).map(move |start| {
        let part = data.slice(start..data.len().min(start + CHUNK));
        let chunk = if start == 0 {
            let size = u32::try_from(data.len()).unwrap_or_default();
            v1::BlockChunk { digest: digest.to_proto(), size, data: part }
        } else {
            v1::BlockChunk { data: part, ..Default::default() }
        };
        v1::WriteBlocksRequest { blocks: Vec::new(), chunk: Some(chunk) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digests::BLOCK_SIZE;

    fn block(size: usize) -> (Digest, Bytes) {
        let data = vec![7; size];
        (Digest::of(&data), data.into())
    }

    #[test]
    fn a_large_block_comes_in_chunks_whose_first_says_which_it_is() {
        let (digest, data) = block(BLOCK_SIZE);
        let sent = messages([(digest, data.clone())]);
        let chunks: Vec<_> = sent.into_iter().map(|message| message.chunk.unwrap()).collect();
        assert_eq!(chunks.len(), 8);
        assert_eq!((chunks[0].size as usize, &chunks[0].digest), (BLOCK_SIZE, &digest.to_proto()));
        assert!(chunks[1..].iter().all(|chunk| chunk.digest.is_empty() && chunk.size == 0));
        let whole: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.data.to_vec()).collect();
        assert_eq!(whole, data);
    }

    #[test]
    fn small_blocks_share_messages_of_a_mebibyte() {
        let sent = messages((0..40).map(|_| block(SMALL)));
        assert!(sent.iter().all(|message| message.encoded_len() <= CHUNK), "{:?}", sent.len());
        assert_eq!(sent.iter().map(|message| message.blocks.len()).sum::<usize>(), 40);
        assert_eq!(sent.len(), 3);
    }

    #[test]
    fn a_message_of_a_chunk_fits_the_smallest_window() {
        let longest = messages([block(BLOCK_SIZE)]).iter().map(Message::encoded_len).max().unwrap();
        assert!(longest < CHUNK + 64, "{longest}");
    }
}
