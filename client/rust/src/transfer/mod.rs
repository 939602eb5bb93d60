//! Moves artifacts: blocks first, then one commit that makes all of it visible at once; and back, verified.

mod asking;
mod block_reading;
mod committing;
mod downloading;
mod files_reading;
mod hashing;
mod listing;
mod local_files;
mod ranges;
mod sending;
mod sources;
mod uploading;
mod uris;
mod write_queue;

use std::path::{Path, PathBuf};

pub(crate) use listing::list;
pub(crate) use ranges::RangeReader;

use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::v1;

/// Put a file at `<artifact_path>/<its name>`, or a directory with its tree below that.
pub(crate) async fn log_path(
    connection: &Connection,
    owner: v1::TreeOwner,
    local: &Path,
    artifact_path: &str,
) -> Result<()> {
    let (local, artifact_path) = (local.to_owned(), artifact_path.to_owned());
    let found = in_thread(move || sources::find_path(&local, &artifact_path)).await?;
    uploading::upload(connection, owner, found).await
}

/// Put what is in a directory below `artifact_path`.
pub(crate) async fn log_contents(
    connection: &Connection,
    owner: v1::TreeOwner,
    local: &Path,
    artifact_path: &str,
) -> Result<()> {
    let (local, artifact_path) = (local.to_owned(), artifact_path.to_owned());
    let found = in_thread(move || sources::find_contents(&local, &artifact_path)).await?;
    uploading::upload(connection, owner, found).await
}

/// Write what a URI names into a directory; returns where it is.
pub(crate) async fn download(connection: &Connection, uri: &str, destination: &Path) -> Result<PathBuf> {
    downloading::download(connection, uri, destination).await
}

/// What takes time and waits for nothing, such as hashing and file access, in a thread that may be held up.
async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(tokio::task::spawn_blocking(work).await)
}

/// The outcome of a task of ours, which only ends without one when the runtime does, or by a defect.
fn joined<T>(outcome: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    match outcome {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Error::new(ErrorKind::Unavailable, "The program is ending, and the transfer with it.")),
    }
}
