//! The one type of error, and the one place where gRPC's become it.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

use crate::target::Target;
use crate::tls;

const DOMAIN: &str = "holdfast";
const REQUEST_ID_KEY: &str = "x-holdfast-request-id";
/// The longest wait, whatever a server says.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// How the texts begin where a repetition would fail the same way: a message of another version, or what a proxy said.
const LASTING: [&str; 4] =
    ["Exception ", "Received http2 header with status", "failed to decode", "grpc-status header"];

/// What the functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of error it is: what a caller reacts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value breaks a rule; the message names the rule.
    InvalidArgument,
    /// A run, experiment, model, file or alias is not there.
    NotFound,
    /// A name or id is taken.
    AlreadyExists,
    /// The state forbids it: a deleted run, a finalized model.
    FailedPrecondition,
    /// Somebody else changed it first; read again and retry.
    Conflict,
    /// The caller may not do this.
    PermissionDenied,
    /// The server wants a token, or does not accept this one.
    Unauthenticated,
    /// A quota or a limit of size is reached.
    ResourceExhausted,
    /// What was to be gone on with is not kept any more: read again, begin anew.
    OutOfRange,
    /// Stored or received bytes do not have their digest.
    DataLoss,
    /// The server cannot be reached, or is stopping; the call may be repeated.
    Unavailable,
    /// No secure connection with these certificates and addresses; waiting does not help.
    Tls,
    /// The call took too long; a mutation may have happened.
    DeadlineExceeded,
    /// The server is older than this client.
    Unimplemented,
    /// A defect of the server; the request id is in its log.
    Internal,
    /// A local file cannot be read or written as asked.
    LocalFile,
}

impl ErrorKind {
    /// The name of the status that the kind has over gRPC, such as `"NOT_FOUND"`; for what is found on this side, of the
    /// one that comes nearest.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidArgument | Self::LocalFile => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Conflict => "ABORTED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unavailable | Self::Tls => "UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
        }
    }

    fn of(code: Code) -> Self {
        match code {
            Code::InvalidArgument => Self::InvalidArgument,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::FailedPrecondition => Self::FailedPrecondition,
            Code::Aborted => Self::Conflict,
            Code::PermissionDenied => Self::PermissionDenied,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::ResourceExhausted => Self::ResourceExhausted,
            Code::OutOfRange => Self::OutOfRange,
            Code::DataLoss => Self::DataLoss,
            Code::Unavailable | Code::Cancelled => Self::Unavailable,
            Code::DeadlineExceeded => Self::DeadlineExceeded,
            Code::Unimplemented => Self::Unimplemented,
            // An error that says OK is a defect.
            Code::Ok | Code::Unknown | Code::Internal => Self::Internal,
        }
    }
}

/// Every error of this crate. `kind` says how to react, `reason` is a word of `docs/errors.md` that programs may act on.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    reason: String,
    metadata: HashMap<String, String>,
    request_id: String,
    retry_after: Option<Duration>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            reason: String::new(),
            metadata: HashMap::new(),
            request_id: String::new(),
            retry_after: None,
        }))
    }

    pub(crate) fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.0.reason = reason.into();
        self
    }

    /// What went wrong with a local file, in the system's words.
    pub(crate) fn local(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::LocalFile, format!("{what}: {error}."))
    }

    /// Bytes that are not what they should be.
    pub(crate) fn damaged(path: &str) -> Self {
        let message = format!(
            "What came for {path:?} does not have its digest, and nothing of it was written. Try again; if it stays so, \
             the server's store is damaged."
        );
        Self::new(ErrorKind::DataLoss, message).with_reason("DATA_LOSS")
    }

    /// A stream that ended before all had come.
    pub(crate) fn ended_early() -> Self {
        Self::new(ErrorKind::Unavailable, "The server ended the stream early.")
    }

    /// Say what went wrong in a call, with what the server told about it and what to do.
    pub(crate) fn from_status(status: &Status, target: &Target) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let (reason, mut metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
        let violation = status.get_details_bad_request().and_then(|bad| bad.field_violations.into_iter().next());
        if let Some(violation) = violation {
            metadata.entry("field".to_owned()).or_insert(violation.field);
        }
        let text = whole_text(status);
        let mut kind = ErrorKind::of(status.code());
        if reason.is_empty() {
            kind = kind_without_reason(status, &text, kind);
        }
        let (kind, message) = match tls::problem(target, &text).filter(|_| kind == ErrorKind::Unavailable) {
            Some(problem) => (ErrorKind::Tls, format!("{problem} ({text})")),
            None if reason.is_empty() => (kind, with_advice(kind, &text, target)),
            // A message with a reason comes from the server and says what to do by itself.
            None => (kind, text),
        };
        let told = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
        let answered = status.metadata().get(REQUEST_ID_KEY).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let request_id = if answered.is_empty() {
            metadata.get("error_id").cloned().unwrap_or_default()
        } else {
            answered.to_owned()
        };
        let retry_after = told.filter(|_| kind == ErrorKind::ResourceExhausted).map(|told| told.min(MAX_DELAY));
        Self(Box::new(Inner { kind, message, reason, metadata, request_id, retry_after }))
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// A reason of `docs/errors.md`, such as `"RUN_NOT_FOUND"`; empty for most errors that are found on this side.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// What went wrong and what to do about it, without the request id.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the server adds, such as the names concerned.
    #[must_use]
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.0.metadata
    }

    /// Names the call in the server's log; empty when no server answered.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// After what time a server that is busy wants to be asked again. Calls wait as told by themselves; who sees this
    /// error has waited as long as a client does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same may succeed later: the server is away, says when to come again, or found this side silent.
    pub(crate) fn is_interruption(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::Tls)
            || self.reason() == "IDLE"
            || self.retry_after().is_some()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())?;
        if self.request_id().is_empty() { Ok(()) } else { write!(formatter, " [request {}]", self.request_id()) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Error");
        shown.field("kind", &self.kind()).field("reason", &self.reason()).field("message", &self.message());
        shown.field("metadata", &self.metadata()).field("request_id", &self.request_id()).finish()
    }
}

impl StdError for Error {}

/// What a status without a reason is: the transport's word for a connection that broke, or a server that stopped.
fn kind_without_reason(status: &Status, text: &str, kind: ErrorKind) -> ErrorKind {
    let timed_out = sources(status).any(<dyn StdError>::is::<TimeoutExpired>);
    if timed_out {
        return ErrorKind::DeadlineExceeded;
    }
    let broken = match status.code() {
        Code::Cancelled | Code::Internal => true,
        Code::Unknown => status.source().is_some() || text.starts_with("protocol error: missing grpc-status"),
        _ => false,
    };
    if broken && !LASTING.iter().any(|lasting| text.starts_with(lasting)) { ErrorKind::Unavailable } else { kind }
}

fn sources(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(status.source(), |&error| error.source())
}

/// The status's text, and what the errors below it add, where there are any.
fn whole_text(status: &Status) -> String {
    let mut text = status.message().to_owned();
    for source in sources(status) {
        let more = source.to_string();
        if !more.is_empty() && !text.contains(&more) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&more);
        }
    }
    if text.is_empty() { status.code().description().to_owned() } else { text }
}

fn with_advice(kind: ErrorKind, text: &str, target: &Target) -> String {
    let uri = target.uri();
    let advice = match kind {
        ErrorKind::Unavailable => {
            format!(
                "No Holdfast server answers at {uri}: {}, or set HOLDFAST_URI to where it is.",
                target.start_advice()
            )
        }
        ErrorKind::DeadlineExceeded => {
            format!("The server at {uri} did not answer in time; it may have done what was asked.")
        }
        ErrorKind::Unimplemented => {
            format!("The server at {uri} does not know this call: update it, or check the port.")
        }
        ErrorKind::ResourceExhausted => "A message is larger than gRPC's limit; send less at once.".to_owned(),
        _ => return text.to_owned(),
    };
    format!("{advice} ({text})")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn target() -> Target {
        Target::parse("holdfast://localhost:5600", &|_| None).unwrap()
    }

    fn refusal(code: Code, details: ErrorDetails) -> Error {
        Error::from_status(&Status::with_error_details(code, "no such run", details), &target())
    }

    #[test]
    fn a_refusal_keeps_its_reason_text_and_metadata() {
        let mut details = ErrorDetails::new();
        details.set_error_info("RUN_NOT_FOUND", DOMAIN, HashMap::from([("run_id".to_owned(), "x".to_owned())]));
        let error = refusal(Code::NotFound, details);
        assert_eq!(
            (error.kind(), error.reason(), error.message()),
            (ErrorKind::NotFound, "RUN_NOT_FOUND", "no such run")
        );
        assert_eq!(error.metadata()["run_id"], "x");
    }

    #[test]
    fn the_reason_of_another_domain_is_not_ours() {
        let mut details = ErrorDetails::new();
        details.set_error_info("SERVICE_DISABLED", "googleapis.com", HashMap::new());
        assert_eq!(refusal(Code::PermissionDenied, details).reason(), "");
    }

    #[test]
    fn a_busy_server_says_when_to_come_again() {
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(Duration::from_millis(1_500)));
        let error = refusal(Code::ResourceExhausted, details);
        assert_eq!(error.retry_after(), Some(Duration::from_millis(1_500)));
        assert!(error.is_interruption());
    }

    #[test]
    fn a_broken_stream_is_an_interruption_and_an_unreadable_message_is_none() {
        let of = |status: Status| Error::from_status(&status, &target());
        assert!(of(Status::internal("Unexpected EOF decoding stream.")).is_interruption());
        assert!(of(Status::cancelled("")).is_interruption());
        assert!(!of(Status::internal("failed to decode Protobuf message: bad")).is_interruption());
        assert!(!of(Status::unknown("something")).is_interruption());
    }

    #[test]
    fn the_text_shows_the_request_id_and_the_message_does_not() {
        let mut status = Status::not_found("gone");
        status.metadata_mut().insert(REQUEST_ID_KEY, "abc".parse().unwrap());
        let error = Error::from_status(&status, &target());
        assert_eq!((error.to_string().as_str(), error.message()), ("gone [request abc]", "gone"));
    }
}
