//! Reads the files of a directory, small ones batched, going on where it was when the connection breaks.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use tonic::{Status, Streaming};

use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::patience::Patience;
use crate::v1;

/// Entries of a location in order, with the data of files of at most `max_data_size` bytes. Nothing is verified yet.
pub(crate) struct FilesReading {
    connection: Connection,
    patience: Patience,
    request: v1::ReadFilesRequest,
    parts: VecDeque<v1::FilePart>,
    stream: Option<Streaming<v1::ReadFilesResponse>>,
}

impl FilesReading {
    pub(crate) fn new(connection: &Connection, location: &v1::ArtifactLocation, max_data_size: i64) -> Self {
        let request = v1::ReadFilesRequest {
            owner: location.owner.clone(),
            sequence: Some(location.sequence),
            path: location.path.clone(),
            max_data_size,
            ..Default::default()
        };
        Self {
            connection: connection.clone(),
            patience: connection.patience(),
            request,
            parts: VecDeque::new(),
            stream: None,
        }
    }

    /// The next entry with its data, or `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<(v1::Entry, Bytes)>> {
        loop {
            match self.try_next().await {
                Ok(Ok(found)) => {
                    if let Some((entry, _)) = &found {
                        self.request.start_after.clone_from(&entry.path);
                        self.patience.restart();
                    }
                    return Ok(found);
                }
                Ok(Err(status)) => {
                    self.stream = None;
                    self.parts.clear();
                    self.patience.pause(&status).await?;
                }
                Err(damaged) => return Err(damaged),
            }
        }
    }

    /// The same on one call; the inner error is that of a call that failed.
    async fn try_next(&mut self) -> Result<Result<Option<(v1::Entry, Bytes)>, Status>> {
        let first = match self.next_part().await {
            Ok(Some(part)) => part,
            Ok(None) => return Ok(Ok(None)),
            Err(status) => return Ok(Err(status)),
        };
        let Some(entry) = first.entry else { return Err(self.damaged("")) };
        let wanted = if entry.size > self.request.max_data_size { 0 } else { usize::try_from(entry.size).unwrap_or(0) };
        if first.data.len() == wanted {
            return Ok(Ok(Some((entry, first.data)))); // as nearly all do
        }
        let mut data = BytesMut::from(first.data.as_ref());
        while data.len() < wanted {
            match self.next_part().await {
                Ok(Some(part)) if part.entry.is_none() => data.extend_from_slice(&part.data),
                Ok(_) => return Err(self.damaged(&entry.path)),
                Err(status) => return Ok(Err(status)),
            }
        }
        if data.len() > wanted { Err(self.damaged(&entry.path)) } else { Ok(Ok(Some((entry, data.freeze())))) }
    }

    async fn next_part(&mut self) -> Result<Option<v1::FilePart>, Status> {
        while self.parts.is_empty() {
            let stream = if let Some(stream) = &mut self.stream {
                stream
            } else {
                let begun = self.connection.artifacts().read_files(self.request.clone()).await?.into_inner();
                self.stream.insert(begun)
            };
            match stream.message().await? {
                Some(response) => self.parts.extend(response.parts),
                None => return Ok(None),
            }
            self.connection.note_answer();
        }
        Ok(self.parts.pop_front())
    }

    fn damaged(&self, path: &str) -> Error {
        Error::damaged(if path.is_empty() { &self.request.path } else { path })
    }
}
