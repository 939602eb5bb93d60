//! An open connection to one server, and calls over it that are repeated while the server is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};

use crate::error::{Error, ErrorKind, Result};
use crate::patience::Patience;
use crate::target::{Address, Target};
use crate::tls::TlsFiles;
use crate::v1::artifact_service_client::ArtifactServiceClient;
use crate::v1::experiment_service_client::ExperimentServiceClient;
use crate::v1::model_registry_service_client::ModelRegistryServiceClient;
use crate::v1::model_service_client::ModelServiceClient;
use crate::v1::run_service_client::RunServiceClient;

const CALL_TIMEOUT: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The server allows a ping every 10 s.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What a stream may have waiting here unread: enough for 1 Gbit/s over 50 ms.
const STREAM_WINDOW: u32 = 12 << 20;
const CONNECTION_WINDOW: u32 = 2 * STREAM_WINDOW;
const USER_AGENT: &str = concat!("holdfast-rust/", env!("CARGO_PKG_VERSION"));

/// What generated stubs are made on, see [`Client::channel`](crate::Client::channel).
pub type Channel = InterceptedService<tonic::transport::Channel, Authorization>;

/// Says with each call who makes it.
#[derive(Clone)]
pub struct Authorization(Option<MetadataValue<Ascii>>);

impl Authorization {
    fn of(token: &str) -> Result<Self> {
        if token.is_empty() {
            return Ok(Self(None));
        }
        let wrong = |_| Error::new(ErrorKind::InvalidArgument, "The token holds characters that a token never has.");
        if token.contains(char::is_whitespace) {
            return Err(Error::new(ErrorKind::InvalidArgument, "The token holds a space; copy it again, alone."));
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(wrong)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// One HTTP/2 connection, opened when first used and anew when it broke; clones share it.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Inner>);

struct Inner {
    target: Target,
    channel: Channel,
    /// Whether a server was ever heard.
    answered: AtomicBool,
}

impl Connection {
    pub(crate) fn new(target: Target, token: &str, files: &TlsFiles) -> Result<Self> {
        let authorization = Authorization::of(token)?;
        let endpoint = endpoint(&target, files)?;
        let channel = InterceptedService::new(endpoint.connect_lazy(), authorization);
        Ok(Self(Arc::new(Inner { target, channel, answered: AtomicBool::new(false) })))
    }

    pub(crate) fn target(&self) -> &Target {
        &self.0.target
    }

    pub(crate) fn channel(&self) -> Channel {
        self.0.channel.clone()
    }

    pub(crate) fn artifacts(&self) -> ArtifactServiceClient<Channel> {
        ArtifactServiceClient::new(self.channel())
    }

    pub(crate) fn experiments(&self) -> ExperimentServiceClient<Channel> {
        ExperimentServiceClient::new(self.channel())
    }

    pub(crate) fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channel())
    }

    pub(crate) fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel())
    }

    pub(crate) fn registry(&self) -> ModelRegistryServiceClient<Channel> {
        ModelRegistryServiceClient::new(self.channel())
    }

    pub(crate) fn answered(&self) -> bool {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// The server was heard; it is waited for longer from now on.
    pub(crate) fn note_answer(&self) {
        self.0.answered.store(true, Ordering::Relaxed);
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.clone())
    }

    /// Call and wait for the answer, again while the server is away. A mutation carries its request id already, which
    /// makes its repetitions one.
    pub(crate) async fn call<S, Q, A, M, F>(&self, stub: S, request: Q, method: M) -> Result<A>
    where
        S: Clone,
        Q: Clone,
        M: Fn(S, Request<Q>) -> F,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut patience = self.patience();
        loop {
            let mut attempt = Request::new(request.clone());
            attempt.set_timeout(CALL_TIMEOUT);
            match method(stub.clone(), attempt).await {
                Ok(response) => {
                    self.note_answer();
                    return Ok(response.into_inner());
                }
                Err(status) => patience.pause(&status).await?,
            }
        }
    }
}

fn endpoint(target: &Target, files: &TlsFiles) -> Result<Endpoint> {
    let wrong = |error: tonic::transport::Error| {
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        Error::new(ErrorKind::Tls, format!("No connection to {} can be made: {error}: {source}.", target.uri()))
    };
    let address = match target.address() {
        Address::Network { host, port, tls } => {
            let shown_host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            format!("{}://{shown_host}:{port}", if *tls { "https" } else { "http" })
        }
        Address::Socket(path) => format!("unix:{}", path.display()),
    };
    let endpoint = Endpoint::from_shared(address)
        .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
        .map_err(wrong)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    if target.tls() { endpoint.tls_config(files.read()?.timeout(CONNECT_TIMEOUT)).map_err(wrong) } else { Ok(endpoint) }
}
