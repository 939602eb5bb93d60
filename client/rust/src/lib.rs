#![doc = include_str!("../README.md")]

pub mod digests;
pub mod v1;

mod artifacts;
mod client;
mod connection;
mod error;
mod models;
mod paths;
mod patience;
mod random;
mod run;
mod target;
#[cfg(test)]
mod testing;
mod times;
mod tls;
mod transfer;
mod watch;

pub use artifacts::{ArtifactEntry, ArtifactReader};
pub use client::{Client, ConnectOptions};
pub use connection::{Authorization, Channel};
pub use error::{Error, ErrorKind, Result};
pub use run::{Metric, NewRun, Run, RunEnd};
pub use times::millis_of;
/// The gRPC library that the stubs of [`v1`] are made with.
pub use tonic;
pub use watch::{ModelEvent, ModelWatch};
