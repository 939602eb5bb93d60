//! Watches of registered models.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::{Request, Status};

use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::patience::Patience;
use crate::v1;
use crate::v1::watch_registered_model_response::Part;

/// Events that may wait to be taken; the server keeps those that follow.
const AHEAD: usize = 100;

/// What a watch of a registered model tells.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// The registered model as it is, with its aliases; first, and once.
    State(v1::RegisteredModel),
    /// A change of it, of one of its versions or aliases.
    Change(v1::Event),
}

impl ModelEvent {
    /// What this tells of an alias: the version that it names since, 0 for none; `None` when it tells nothing of it.
    #[must_use]
    pub fn alias_version(&self, alias: &str) -> Option<i64> {
        match self {
            Self::State(model) => {
                Some(model.aliases.iter().find(|named| named.alias == alias).map_or(0, |named| named.version))
            }
            Self::Change(event) => {
                let concerns = event.subject() == v1::EventSubject::Alias && event.alias == alias;
                concerns.then_some(event.version)
            }
        }
    }
}

/// Events as they come; a [`Stream`], or [`next`](Self::next) by itself. Dropping it ends the watch.
///
/// It goes on where it was when the connection breaks or the server is restarted, and looks for a server that went away
/// until it is back. What came is neither missed nor repeated. After an error it has ended.
pub struct ModelWatch {
    events: mpsc::Receiver<Result<(ModelEvent, String)>>,
    task: JoinHandle<()>,
    cursor: String,
}

impl ModelWatch {
    pub(crate) fn begin(connection: &Connection, name: &str, cursor: String) -> Self {
        let (sender, events) = mpsc::channel(AHEAD);
        let request =
            v1::WatchRegisteredModelRequest { name: name.to_owned(), cursor: cursor.clone(), ..Default::default() };
        let following = Following { patience: connection.patience(), connection: connection.clone(), request, sender };
        Self { events, task: tokio::spawn(following.run()), cursor }
    }

    /// The next event; `None` after the registered model was deleted, or after an error.
    pub async fn next(&mut self) -> Option<Result<ModelEvent>> {
        let taken = self.events.recv().await?;
        Some(self.note(taken))
    }

    /// Behind the last event that was taken, to go on there later, for a week. Empty before the first.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    fn note(&mut self, taken: Result<(ModelEvent, String)>) -> Result<ModelEvent> {
        let (event, cursor) = taken?;
        self.cursor = cursor;
        Ok(event)
    }
}

impl Stream for ModelWatch {
    type Item = Result<ModelEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context).map(|taken| taken.map(|taken| self.note(taken)))
    }
}

impl Drop for ModelWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why one call of a watch came to its end.
enum End {
    /// Nothing more is to come: the model was deleted, or nobody listens.
    Last,
    /// The call broke.
    Broken(Error),
}

struct Following {
    connection: Connection,
    patience: Patience,
    request: v1::WatchRegisteredModelRequest,
    sender: mpsc::Sender<Result<(ModelEvent, String)>>,
}

impl Following {
    async fn run(mut self) {
        while let End::Broken(error) = self.read_on().await {
            if let Err(error) = self.patience.pause_after(error).await {
                let _ = self.sender.send(Err(error)).await;
                return;
            }
        }
    }

    /// What one call brings.
    async fn read_on(&mut self) -> End {
        let broken =
            |connection: &Connection, status: &Status| End::Broken(Error::from_status(status, connection.target()));
        let request = Request::new(self.request.clone());
        let mut stream = match self.connection.registry().watch_registered_model(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return broken(&self.connection, &status),
        };
        let mut is_first = true;
        loop {
            match stream.message().await {
                Ok(Some(response)) => {
                    is_first = false;
                    if self.take(response).await.is_err() {
                        return End::Last;
                    }
                }
                // A watch that has an end, and whose cursor stands behind it, is answered with nothing.
                Ok(None) if is_first && !self.request.cursor.is_empty() => return End::Last,
                Ok(None) => return End::Broken(Error::ended_early()),
                Err(status) => return broken(&self.connection, &status),
            }
        }
    }

    /// Hand an event over; an error means that it was the last one, or that nobody listens.
    async fn take(&mut self, response: v1::WatchRegisteredModelResponse) -> Result<(), ()> {
        self.connection.note_answer();
        self.patience.restart();
        self.patience.wait_for_ever();
        self.request.cursor.clone_from(&response.cursor);
        let event = match response.part {
            Some(Part::RegisteredModel(model)) => ModelEvent::State(model),
            Some(Part::Event(event)) => ModelEvent::Change(event),
            Some(Part::Heartbeat(_)) | None => return Ok(()),
        };
        let is_last = matches!(&event, ModelEvent::Change(change)
            if change.subject() == v1::EventSubject::RegisteredModel && change.r#type() == v1::EventType::Deleted);
        self.sender.send(Ok((event, response.cursor))).await.map_err(|_| ())?;
        if is_last { Err(()) } else { Ok(()) }
    }
}
