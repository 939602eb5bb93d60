//! A client of one server.

use std::path::{Path, PathBuf};

use crate::connection::{Channel, Connection};
use crate::error::{Error, ErrorKind, Result};
use crate::random::unique_id;
use crate::run::{NewRun, Run};
use crate::target::{Target, URI_VARIABLE};
use crate::tls::{CA_FILE_VARIABLE, CERT_FILE_VARIABLE, KEY_FILE_VARIABLE, TlsFiles};
use crate::v1;

const TOKEN_VARIABLE: &str = "HOLDFAST_TOKEN";

/// Where to connect and as whom. What is not said here comes from the variables `HOLDFAST_URI`, `HOLDFAST_TOKEN`,
/// `HOLDFAST_TLS_CA_FILE`, `HOLDFAST_TLS_CERT_FILE`, `HOLDFAST_TLS_KEY_FILE` and `HOLDFAST_INSECURE`.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    uri: Option<String>,
    token: Option<String>,
    files: TlsFiles,
}

impl ConnectOptions {
    /// Everything from the variables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The server: `holdfast://host:port` on this machine (elsewhere with `?insecure=true` only), `holdfast+tls://host:port`,
    /// or `unix:/path`.
    #[must_use]
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.uri = Some(uri.into());
        self
    }

    /// The token to send with each call; an empty one is none.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// A PEM file with the authorities to trust in place of the system's.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.ca = Some(path.into());
        self
    }

    /// PEM files with this client's own certificate and its private key, for servers that want one.
    #[must_use]
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        (self.files.certificate, self.files.key) = (Some(certificate.into()), Some(key.into()));
        self
    }

    /// Connect, and ask the server what it is. Nobody at the address is `Unavailable` after five seconds.
    pub async fn connect(self) -> Result<Client> {
        self.connect_with(&|name| std::env::var(name).ok()).await
    }

    async fn connect_with(self, variable: &(dyn Fn(&str) -> Option<String> + Sync)) -> Result<Client> {
        let said = |name: &str| variable(name).filter(|value| !value.is_empty());
        let uri = self.uri.filter(|uri| !uri.is_empty()).or_else(|| said(URI_VARIABLE)).unwrap_or_default();
        let token = self.token.or_else(|| said(TOKEN_VARIABLE)).unwrap_or_default();
        let own_certificate = self.files.certificate.is_some();
        let from_variable = |name: &str| said(name).filter(|_| !own_certificate).map(PathBuf::from);
        let files = TlsFiles {
            ca: self.files.ca.or_else(|| said(CA_FILE_VARIABLE).map(PathBuf::from)),
            certificate: self.files.certificate.or_else(|| from_variable(CERT_FILE_VARIABLE)),
            key: self.files.key.or_else(|| from_variable(KEY_FILE_VARIABLE)),
        };
        let connection = Connection::new(Target::parse(&uri, &|name| variable(name))?, token.trim(), &files)?;
        let request = v1::GetCapabilitiesRequest {};
        let capabilities =
            connection
                .call(connection.artifacts(), request, |mut stub, request| async move {
                    stub.get_capabilities(request).await
                })
                .await?;
        Ok(Client { connection, server_version: capabilities.server_version })
    }
}

/// A client of one server; cheap to clone, and good in any task. Calls are repeated while the server is away, for about 30
/// seconds, and have one effect.
#[derive(Clone)]
pub struct Client {
    pub(crate) connection: Connection,
    server_version: String,
}

impl Client {
    /// Connect to `uri`, with the token and the TLS files that the environment names; see [`ConnectOptions`].
    pub async fn connect(uri: impl Into<String>) -> Result<Self> {
        ConnectOptions::new().uri(uri).connect().await
    }

    /// Connect to the server that `HOLDFAST_URI` names.
    pub async fn from_env() -> Result<Self> {
        ConnectOptions::new().connect().await
    }

    /// The version of the server, such as `"0.1.0"`.
    #[must_use]
    pub fn server_version(&self) -> &str {
        &self.server_version
    }

    /// The server's URI, normalized and without secrets.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.connection.target().uri()
    }

    /// A channel for the generated stubs of [`v1`], for calls that have no function here. They say who calls; what fails is
    /// a [`tonic::Status`], and nothing is repeated.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.connection.channel()
    }

    /// Create an experiment and return its id. `AlreadyExists` when the name is taken.
    pub async fn create_experiment(&self, name: impl Into<String>) -> Result<String> {
        let request = v1::CreateExperimentRequest { name: name.into(), request_id: unique_id(), ..Default::default() };
        let connection = &self.connection;
        let response = connection
            .call(connection.experiments(), request, |mut stub, request| async move {
                stub.create_experiment(request).await
            })
            .await?;
        Ok(response.experiment.unwrap_or_default().experiment_id)
    }

    /// The id of the experiment of this name, which is created when it is absent.
    pub async fn experiment(&self, name: &str) -> Result<String> {
        for _ in 0..2 {
            match self.experiment_named(name).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                found => return found,
            }
            match self.create_experiment(name).await {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {} // somebody else was faster
                created => return created,
            }
        }
        self.experiment_named(name).await
    }

    async fn experiment_named(&self, name: &str) -> Result<String> {
        let selector = Some(v1::get_experiment_request::Selector::Name(name.to_owned()));
        let request = v1::GetExperimentRequest { selector };
        let connection = &self.connection;
        let response =
            connection
                .call(connection.experiments(), request, |mut stub, request| async move {
                    stub.get_experiment(request).await
                })
                .await?;
        Ok(response.experiment.unwrap_or_default().experiment_id)
    }

    /// Start a run in an experiment.
    pub async fn create_run(&self, experiment_id: impl Into<String>, new: NewRun) -> Result<Run> {
        let request = new.into_request(experiment_id.into());
        let connection = &self.connection;
        let response = connection
            .call(connection.runs(), request, |mut stub, request| async move { stub.create_run(request).await })
            .await?;
        let run = response.run.ok_or_else(|| Error::new(ErrorKind::Internal, "The server answered without a run."))?;
        Ok(Run::new(self.clone(), run.run_id))
    }

    /// A handle of a run that is there; nothing is asked.
    #[must_use]
    pub fn run(&self, run_id: impl Into<String>) -> Run {
        Run::new(self.clone(), run_id.into())
    }

    /// Write what `uri` names into the directory `destination`, which is made when absent: a file or a directory under the
    /// last name of the URI, or the contents of a whole run or model right there. Returns where it is.
    ///
    /// Each file is verified and appears under its name only when it is whole; files that are there are replaced.
    pub async fn download(&self, uri: &str, destination: impl AsRef<Path>) -> Result<PathBuf> {
        crate::transfer::download(&self.connection, uri, destination.as_ref()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(options: ConnectOptions, variables: &[(&str, &str)]) -> Error {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        options.connect_with(&variable).await.err().expect("there is no server")
    }

    #[tokio::test]
    async fn without_a_uri_the_error_says_what_to_set() {
        let error = refused(ConnectOptions::new(), &[]).await;
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("HOLDFAST_URI"), "{error}");
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_one_is_refused_before_anything_is_sent() {
        for token in ["a b", "schlüssel\n\u{1}", "é\u{7f}x"] {
            let variables = [("HOLDFAST_URI", "holdfast://localhost:1"), ("HOLDFAST_TOKEN", token)];
            let error = refused(ConnectOptions::new(), &variables).await;
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(!error.message().contains(token), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_of_tls_that_cannot_be_read_is_named() {
        let variables = [("HOLDFAST_URI", "holdfast+tls://localhost:1"), ("HOLDFAST_TLS_CA_FILE", "/nowhere/ca.crt")];
        let error = refused(ConnectOptions::new(), &variables).await;
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert!(error.message().contains("/nowhere/ca.crt"), "{error}");
    }
}
