//! Runs and what they log.

use std::path::Path;

use prost::Message;

use crate::artifacts::ArtifactEntry;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::random::unique_id;
use crate::times::timestamp_of;
use crate::transfer;
use crate::v1;
use crate::v1::tree_owner::Owner;

const MAX_BATCH_PARAMS: usize = 100;
const MAX_BATCH_TAGS: usize = 100;
const MAX_BATCH_METRICS: usize = 1_000;
/// A request holds at most 1 MiB; the rest is for what is around its items.
const MAX_BATCH_BYTES: usize = 1_000_000;

/// What a run is to begin with; all of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRun {
    name: String,
    user: String,
    tags: Vec<v1::Tag>,
}

impl NewRun {
    /// The server makes up a name.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A run of this name, which need not be unique.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Who starts it.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// A label; a run begins with 100 at most.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push(v1::Tag { key: key.into(), value: value.into() });
        self
    }

    pub(crate) fn into_request(self, experiment_id: String) -> v1::CreateRunRequest {
        v1::CreateRunRequest {
            experiment_id,
            run_name: self.name,
            user_id: self.user,
            tags: self.tags,
            request_id: unique_id(),
            ..Default::default()
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunEnd {
    /// Well.
    Finished,
    /// By an error.
    Failed,
    /// By a signal or by its user.
    Killed,
}

/// One measured point.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// What was measured.
    pub key: String,
    /// Any number; NaN and infinities are kept exactly.
    pub value: f64,
    /// Position in training.
    pub step: i64,
    /// When, in milliseconds since 1970; `None`: when the server gets it.
    pub timestamp_ms: Option<i64>,
}

impl Metric {
    /// A point of now.
    #[must_use]
    pub fn new(key: impl Into<String>, value: f64, step: i64) -> Self {
        Self { key: key.into(), value, step, timestamp_ms: None }
    }

    fn into_proto(self) -> v1::Metric {
        let timestamp = self.timestamp_ms.map(timestamp_of);
        v1::Metric { key: self.key, value: self.value, step: self.step, timestamp, ..Default::default() }
    }
}

/// A run of a server. What it logs is durable when a call returns; nothing is sent in the background.
#[derive(Clone)]
pub struct Run {
    client: Client,
    run_id: String,
}

impl Run {
    pub(crate) fn new(client: Client, run_id: String) -> Self {
        Self { client, run_id }
    }

    /// 32 hex digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.run_id
    }

    /// The run's artifacts as a URI, to download or to list.
    #[must_use]
    pub fn artifact_uri(&self) -> String {
        format!("runs:/{}", self.run_id)
    }

    /// Read the run whole, with the newest point of each metric.
    pub async fn get(&self) -> Result<v1::Run> {
        let connection = &self.client.connection;
        let mut request = v1::GetRunRequest { run_id: self.run_id.clone(), ..Default::default() };
        let mut whole: Option<v1::Run> = None;
        loop {
            let page = connection
                .call(
                    connection.runs(),
                    request.clone(),
                    |mut stub, request| async move { stub.get_run(request).await },
                )
                .await?;
            let part = page.run.unwrap_or_default();
            match &mut whole {
                None => whole = Some(part),
                Some(whole) => {
                    whole.params.extend(part.params);
                    whole.tags.extend(part.tags);
                    whole.metrics.extend(part.metrics);
                    whole.dataset_inputs.extend(part.dataset_inputs);
                    whole.model_inputs.extend(part.model_inputs);
                    whole.model_outputs.extend(part.model_outputs);
                }
            }
            if page.next_page_token.is_empty() {
                return Ok(whole.unwrap_or_default());
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Log an input that never changes: the same value again is fine, another one is an error.
    pub async fn log_param(&self, key: impl Into<String>, value: impl ToString) -> Result<()> {
        self.log_params([(key, value)]).await
    }

    /// Log inputs, 100 at a time; each hundred is kept whole or not at all.
    pub async fn log_params<K: Into<String>, V: ToString>(
        &self,
        params: impl IntoIterator<Item = (K, V)>,
    ) -> Result<()> {
        let params = params.into_iter().map(|(key, value)| v1::Param { key: key.into(), value: value.to_string() });
        for params in batches(params.collect(), MAX_BATCH_PARAMS) {
            self.log(v1::LogBatchRequest { params, ..Default::default() }).await?;
        }
        Ok(())
    }

    /// Set a label.
    pub async fn set_tag(&self, key: impl Into<String>, value: impl ToString) -> Result<()> {
        self.set_tags([(key, value)]).await
    }

    /// Set labels, 100 at a time.
    pub async fn set_tags<K: Into<String>, V: ToString>(&self, tags: impl IntoIterator<Item = (K, V)>) -> Result<()> {
        let tags = tags.into_iter().map(|(key, value)| v1::Tag { key: key.into(), value: value.to_string() });
        for tags in batches(tags.collect(), MAX_BATCH_TAGS) {
            self.log(v1::LogBatchRequest { tags, ..Default::default() }).await?;
        }
        Ok(())
    }

    /// Log a point of now. Each call is a round trip; many points go faster together.
    pub async fn log_metric(&self, key: impl Into<String>, value: f64, step: i64) -> Result<()> {
        self.log_metrics([Metric::new(key, value, step)]).await
    }

    /// Log points, 1,000 at a time; each thousand is kept whole or not at all.
    pub async fn log_metrics(&self, metrics: impl IntoIterator<Item = Metric>) -> Result<()> {
        for metrics in batches(metrics.into_iter().map(Metric::into_proto).collect(), MAX_BATCH_METRICS) {
            self.log(v1::LogBatchRequest { metrics, ..Default::default() }).await?;
        }
        Ok(())
    }

    async fn log(&self, batch: v1::LogBatchRequest) -> Result<()> {
        let request = v1::LogBatchRequest { run_id: self.run_id.clone(), request_id: unique_id(), ..batch };
        let connection = &self.client.connection;
        connection
            .call(connection.runs(), request, |mut stub, request| async move { stub.log_batch(request).await })
            .await?;
        Ok(())
    }

    /// All points of a metric, by step, time and arrival.
    pub async fn metric_history(&self, key: &str) -> Result<Vec<v1::Metric>> {
        let connection = &self.client.connection;
        let mut request =
            v1::ListMetricHistoryRequest { run_id: self.run_id.clone(), key: key.to_owned(), ..Default::default() };
        let mut points = Vec::new();
        loop {
            let page = connection
                .call(connection.runs(), request.clone(), |mut stub, request| async move {
                    stub.list_metric_history(request).await
                })
                .await?;
            points.extend(page.metrics);
            if page.next_page_token.is_empty() {
                return Ok(points);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Put a file at `<artifact_path>/<its name>`, or a directory with its tree below that; an empty path is the root.
    ///
    /// When this returns every byte is durable and all of it became visible at once. After an error nothing of the call is
    /// visible, and the same call sends only what is still missing. Symbolic links that stay inside the directory are
    /// followed; others, and sockets, devices and fifos, are an error.
    pub async fn log_artifact(&self, local_path: impl AsRef<Path>, artifact_path: &str) -> Result<()> {
        transfer::log_path(&self.client.connection, self.owner(), local_path.as_ref(), artifact_path).await
    }

    /// Put what is in a directory below `artifact_path`; otherwise as [`log_artifact`](Self::log_artifact).
    pub async fn log_artifacts(&self, local_dir: impl AsRef<Path>, artifact_path: &str) -> Result<()> {
        transfer::log_contents(&self.client.connection, self.owner(), local_dir.as_ref(), artifact_path).await
    }

    /// One level of a directory of the run's artifacts; an empty path is the root.
    pub async fn list_artifacts(&self, path: &str) -> Result<Vec<ArtifactEntry>> {
        self.client.list_artifacts(&crate::paths::join(&self.artifact_uri(), path), false).await
    }

    /// End the run well.
    pub async fn finish(&self) -> Result<()> {
        self.end(RunEnd::Finished).await
    }

    /// End the run.
    pub async fn end(&self, how: RunEnd) -> Result<()> {
        let status = match how {
            RunEnd::Finished => v1::RunStatus::Finished,
            RunEnd::Failed => v1::RunStatus::Failed,
            RunEnd::Killed => v1::RunStatus::Killed,
        };
        let request = v1::UpdateRunRequest {
            run_id: self.run_id.clone(),
            status: status.into(),
            end_time: Some(std::time::SystemTime::now().into()),
            request_id: unique_id(),
            ..Default::default()
        };
        let connection = &self.client.connection;
        connection
            .call(connection.runs(), request, |mut stub, request| async move { stub.update_run(request).await })
            .await?;
        Ok(())
    }

    /// Log the model that is in a directory with an `MLmodel` file, and return its id: `m-` and 32 hex digits.
    ///
    /// The model is PENDING until its whole package is stored, and FAILED if anything goes wrong before that.
    pub async fn log_model(&self, name: &str, local_dir: impl AsRef<Path>) -> Result<String> {
        let local_dir = local_dir.as_ref();
        if !local_dir.join("MLmodel").is_file() {
            let message = format!("{} holds no MLmodel file, so it is no model.", local_dir.display());
            return Err(Error::new(ErrorKind::LocalFile, message));
        }
        self.client.log_model(&self.run_id, name, local_dir).await
    }

    fn owner(&self) -> v1::TreeOwner {
        v1::TreeOwner { owner: Some(Owner::RunId(self.run_id.clone())) }
    }
}

/// The items in requests of at most so many, and of at most `MAX_BATCH_BYTES`.
fn batches<M: Message>(items: Vec<M>, count: usize) -> Vec<Vec<M>> {
    let mut batches: Vec<Vec<M>> = Vec::new();
    let mut size = 0;
    for item in items {
        let length = item.encoded_len() + 8; // with what is around it
        match batches.last_mut() {
            Some(batch) if batch.len() < count && size + length <= MAX_BATCH_BYTES => batch.push(item),
            _ => {
                batches.push(vec![item]);
                size = 0;
            }
        }
        size += length;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lengths: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let tag = |length| v1::Tag { key: "k".to_owned(), value: "x".repeat(length) };
        batches(lengths.into_iter().map(tag).collect(), 100).iter().map(Vec::len).collect()
    }

    #[test]
    fn requests_hold_no_more_than_the_server_takes() {
        assert_eq!(sizes([]), [0; 0]);
        assert_eq!(sizes([1; 250]), [100, 100, 50]);
        assert_eq!(sizes([400_000; 5]), [2, 2, 1]);
        assert_eq!(sizes([2_000_000, 1]), [1, 1]);
    }
}
