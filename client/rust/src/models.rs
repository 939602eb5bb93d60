//! Logged models, and the registry under whose names they are promoted.

use std::path::Path;

use crate::client::Client;
use crate::error::Result;
use crate::random::unique_id;
use crate::transfer;
use crate::v1;
use crate::v1::tree_owner::Owner;
use crate::watch::ModelWatch;

/// A server keeps this many characters of why a model failed.
const MAX_STATUS_MESSAGE: usize = 5_000;

impl Client {
    pub(crate) async fn log_model(&self, run_id: &str, name: &str, local_dir: &Path) -> Result<String> {
        let connection = &self.connection;
        let request = v1::CreateLoggedModelRequest {
            name: name.to_owned(),
            source_run_id: run_id.to_owned(),
            request_id: unique_id(),
            ..Default::default()
        };
        let created =
            connection
                .call(connection.models(), request, |mut stub, request| async move {
                    stub.create_logged_model(request).await
                })
                .await?;
        let model_id = created.model.unwrap_or_default().model_id;
        match self.write_model(run_id, &model_id, local_dir).await {
            Ok(()) => Ok(model_id),
            Err(error) => {
                // The first error says what went wrong; a second one, of a server that is gone too, would hide it.
                let message = error.to_string().chars().take(MAX_STATUS_MESSAGE).collect();
                let _ = self.finalize_model(&model_id, v1::LoggedModelStatus::Failed, message).await;
                Err(error)
            }
        }
    }

    async fn write_model(&self, run_id: &str, model_id: &str, local_dir: &Path) -> Result<()> {
        let connection = &self.connection;
        let owner = v1::TreeOwner { owner: Some(Owner::ModelId(model_id.to_owned())) };
        transfer::log_contents(connection, owner, local_dir, "").await?;
        let output = v1::ModelOutput { model_id: model_id.to_owned(), step: 0 };
        let request =
            v1::LogOutputsRequest { run_id: run_id.to_owned(), models: vec![output], request_id: unique_id() };
        connection
            .call(connection.runs(), request, |mut stub, request| async move { stub.log_outputs(request).await })
            .await?;
        self.finalize_model(model_id, v1::LoggedModelStatus::Ready, String::new()).await
    }

    async fn finalize_model(
        &self,
        model_id: &str,
        status: v1::LoggedModelStatus,
        status_message: String,
    ) -> Result<()> {
        let connection = &self.connection;
        let request = v1::FinalizeLoggedModelRequest {
            model_id: model_id.to_owned(),
            status: status.into(),
            status_message,
            request_id: unique_id(),
        };
        connection
            .call(
                connection.models(),
                request,
                |mut stub, request| async move { stub.finalize_logged_model(request).await },
            )
            .await?;
        Ok(())
    }

    /// Register a model, such as `models:/m-…` or `runs:/<run>/<path>`, under the next number of a name, which is created
    /// when it is absent. The version pins what it names: its bytes never change.
    pub async fn register_model(&self, name: &str, source: &str) -> Result<v1::ModelVersion> {
        let connection = &self.connection;
        let request = v1::CreateModelVersionRequest {
            name: name.to_owned(),
            source: source.to_owned(),
            create_registered_model: true,
            request_id: unique_id(),
            ..Default::default()
        };
        let response = connection
            .call(connection.registry(), request, |mut stub, request| async move {
                stub.create_model_version(request).await
            })
            .await?;
        Ok(response.model_version.unwrap_or_default())
    }

    /// Let an alias name a version, whatever it names now.
    pub async fn set_alias(&self, name: &str, alias: &str, version: i64) -> Result<()> {
        self.send_alias(name, alias, version, None).await
    }

    /// Let an alias name a version if it names `expected` now, with 0 for none; otherwise it is a `Conflict`.
    pub async fn set_alias_if(&self, name: &str, alias: &str, version: i64, expected: i64) -> Result<()> {
        self.send_alias(name, alias, version, Some(expected)).await
    }

    async fn send_alias(&self, name: &str, alias: &str, version: i64, expected_version: Option<i64>) -> Result<()> {
        let connection = &self.connection;
        let request = v1::SetAliasRequest {
            name: name.to_owned(),
            alias: alias.to_owned(),
            version,
            expected_version,
            request_id: unique_id(),
            ..Default::default()
        };
        connection
            .call(connection.registry(), request, |mut stub, request| async move { stub.set_alias(request).await })
            .await?;
        Ok(())
    }

    /// The version that an alias names.
    pub async fn model_version_by_alias(&self, name: &str, alias: &str) -> Result<v1::ModelVersion> {
        let connection = &self.connection;
        let selector = Some(v1::get_model_version_request::Selector::Alias(alias.to_owned()));
        let request = v1::GetModelVersionRequest { name: name.to_owned(), selector };
        let response =
            connection
                .call(connection.registry(), request, |mut stub, request| async move {
                    stub.get_model_version(request).await
                })
                .await?;
        Ok(response.model_version.unwrap_or_default())
    }

    /// Watch a registered model with its versions and aliases: first how it is, then each change, also under another name,
    /// until it is deleted. See [`ModelWatch`].
    #[must_use]
    pub fn watch_model(&self, name: &str) -> ModelWatch {
        ModelWatch::begin(&self.connection, name, String::new())
    }

    /// Go on with a watch behind a cursor of [`ModelWatch::cursor`]; `name` is the one with which it began.
    #[must_use]
    pub fn watch_model_from(&self, name: &str, cursor: impl Into<String>) -> ModelWatch {
        ModelWatch::begin(&self.connection, name, cursor.into())
    }
}
