//! What each op of a request does.

use std::fmt::{self, Write};

use holdfast::digests::{file_digest_of, tree_digest};
use holdfast::{Client, ConnectOptions, Error, ModelWatch, NewRun, Run};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::arguments::{Arguments, entry_to_json, point_to_json, run_to_json};

/// Why a request has no good answer.
pub enum Failure {
    /// The client raised an error, which is the answer.
    Client(Error),
    /// The request cannot be understood or carried out, which ends the driver.
    Driver(String),
}

impl Failure {
    pub fn wrong(name: &str, wanted: &str, found: &Value) -> Self {
        Self::Driver(format!("{name} is {wanted}, not {found}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

fn unexpected(error: impl fmt::Display) -> Failure {
    Failure::Driver(error.to_string())
}

/// A connection and a watch, from one request to the next.
#[derive(Default)]
pub struct Driver {
    client: Option<Client>,
    watch: Option<ModelWatch>,
}

impl Driver {
    pub async fn run(&mut self, request: &Value) -> Result<Value, Failure> {
        let given = Arguments(request);
        match given.text("op")? {
            "connect" => self.connect(&given).await,
            "file_digest" => {
                let file = std::fs::File::open(given.text("path")?).map_err(unexpected)?;
                Ok(json!({ "digest": file_digest_of(file).map_err(unexpected)?.to_string() }))
            }
            "tree_digest" => {
                let entries = given.list("entries")?.iter().map(|entry| Arguments(entry).entry());
                let entries = entries.collect::<Result<Vec<_>, Failure>>()?;
                Ok(json!({ "digest": tree_digest(&entries).to_string() }))
            }
            "watch_model" => {
                let mut watch = self.client()?.watch_model(given.text("name")?);
                let Some(first) = watch.next().await else { return Err(unexpected("the watch ended at once")) };
                first?;
                self.watch = Some(watch);
                Ok(json!({}))
            }
            "next_alias_change" => self.next_alias_change(given.text("alias")?).await,
            "close" => {
                (self.watch, self.client) = (None, None);
                Ok(json!({}))
            }
            op @ ("register_model" | "set_alias" | "get_alias") => registry(self.client()?, op, &given).await,
            op @ ("create_experiment" | "create_run" | "list_artifacts" | "download" | "read_range") => {
                whole_server(self.client()?, op, &given).await
            }
            op => of_run(&self.client()?.run(given.text("run_id")?), op, &given).await,
        }
    }

    fn client(&self) -> Result<&Client, Failure> {
        self.client.as_ref().ok_or_else(|| unexpected("not connected"))
    }

    async fn connect(&mut self, given: &Arguments<'_>) -> Result<Value, Failure> {
        let mut options = ConnectOptions::new().uri(given.text("uri")?);
        if let Some(token) = given.optional("token")? {
            options = options.token(token);
        }
        if let Some(path) = given.optional("ca_file")? {
            options = options.ca_file(path);
        }
        let client = options.connect().await?;
        let answer = json!({ "server_version": client.server_version() });
        (self.client, self.watch) = (Some(client), None);
        Ok(answer)
    }

    async fn next_alias_change(&mut self, alias: &str) -> Result<Value, Failure> {
        let watch = self.watch.as_mut().ok_or_else(|| unexpected("nothing is watched"))?;
        while let Some(event) = watch.next().await {
            if let Some(version) = event?.alias_version(alias) {
                let version = if version == 0 { String::new() } else { version.to_string() };
                return Ok(json!({ "version": version }));
            }
        }
        Err(unexpected("the watch ended"))
    }
}

async fn whole_server(client: &Client, op: &str, given: &Arguments<'_>) -> Result<Value, Failure> {
    match op {
        "create_experiment" => Ok(json!({ "experiment_id": client.create_experiment(given.text("name")?).await? })),
        "create_run" => {
            let new = given.optional("name")?.map_or_else(NewRun::new, NewRun::named);
            let run = client.create_run(given.text("experiment_id")?, new).await?;
            Ok(json!({ "run_id": run.id() }))
        }
        "list_artifacts" => {
            let entries = client.list_artifacts(given.text("uri")?, given.flag("recursive")).await?;
            Ok(json!({ "entries": entries.iter().map(entry_to_json).collect::<Vec<_>>() }))
        }
        "download" => {
            let path = client.download(given.text("uri")?, given.text("destination")?).await?;
            Ok(json!({ "path": path.to_str().ok_or_else(|| unexpected("a path that is not UTF-8"))? }))
        }
        _ => {
            let (offset, length) = (given.size("offset")?, given.size("length")?);
            let data = client.read_range(given.text("uri")?, offset, length).await?;
            let hash = digest(&SHA256, &data).as_ref().iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            Ok(json!({ "sha256": hash, "size": data.len() }))
        }
    }
}

async fn of_run(run: &Run, op: &str, given: &Arguments<'_>) -> Result<Value, Failure> {
    match op {
        "log_params" => run.log_params(given.texts("params")?).await?,
        "set_tags" => run.set_tags(given.texts("tags")?).await?,
        "log_metrics" => {
            let metrics = given.list("metrics")?.iter().map(|metric| Arguments(metric).metric());
            run.log_metrics(metrics.collect::<Result<Vec<_>, Failure>>()?).await?;
        }
        "finish_run" => run.end(given.status("status")?).await?,
        "get_run" => return Ok(run_to_json(&run.get().await?)),
        "metric_history" => {
            let points = run.metric_history(given.text("key")?).await?;
            return Ok(json!({ "points": points.iter().map(point_to_json).collect::<Vec<_>>() }));
        }
        "log_artifact" => {
            run.log_artifact(given.text("local_path")?, given.optional("artifact_path")?.unwrap_or_default()).await?;
        }
        "log_artifacts" => {
            run.log_artifacts(given.text("local_dir")?, given.optional("artifact_path")?.unwrap_or_default()).await?;
        }
        "log_model" => {
            let model_id = run.log_model(given.text("name")?, given.text("local_dir")?).await?;
            return Ok(json!({ "model_id": model_id, "model_uri": format!("models:/{model_id}") }));
        }
        _ => return Err(unexpected("unknown op")),
    }
    Ok(json!({}))
}

async fn registry(client: &Client, op: &str, given: &Arguments<'_>) -> Result<Value, Failure> {
    let name = given.text("name")?;
    match op {
        "register_model" => {
            let version = client.register_model(name, given.text("model_uri")?).await?.version;
            Ok(json!({ "version": version.to_string() }))
        }
        "set_alias" => {
            let (alias, version) = (given.text("alias")?, given.number("version")?);
            if given.optional("expected_version")?.is_some() {
                client.set_alias_if(name, alias, version, given.number("expected_version")?).await?;
            } else {
                client.set_alias(name, alias, version).await?;
            }
            Ok(json!({}))
        }
        _ => {
            let version = client.model_version_by_alias(name, given.text("alias")?).await?.version;
            Ok(json!({ "version": version.to_string() }))
        }
    }
}
