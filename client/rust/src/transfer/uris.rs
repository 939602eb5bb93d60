//! URIs of artifacts: which trees they name, and the path below.

use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::v1;

/// How often a URI is resolved when what it named was replaced, and collected, before it was read.
const RESOLVED: usize = 3;

/// The run or model that a URI begins with, and the path below it: `runs:/x/a/b` gives `runs:/x` and `a/b`.
pub(crate) fn split(uri: &str) -> (String, String) {
    let (scheme, rest) = uri.split_once(":/").unwrap_or((uri, ""));
    let parts: Vec<&str> = rest.trim_matches('/').split('/').collect();
    let one_name = scheme == "runs" || parts[0].contains('@') || is_model_id(parts[0]);
    let heads = parts.len().min(if one_name { 1 } else { 2 });
    (format!("{scheme}:/{}", parts[..heads].join("/")), parts[heads..].join("/"))
}

fn is_model_id(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("m-").is_some_and(|digits| digits.len() == 32 && digits.bytes().all(is_digit))
}

/// The path of an entry relative to what a location names; empty for the file that it names.
pub(crate) fn below<'a>(path: &'a str, location: &v1::ArtifactLocation) -> &'a str {
    if location.path.is_empty() { path } else { path.get(location.path.len() + 1..).unwrap_or_default() }
}

/// The trees that together are what `uri` names.
pub(crate) async fn resolve(connection: &Connection, uri: &str) -> Result<Vec<v1::ArtifactLocation>> {
    let request = v1::ResolveArtifactRequest { uri: uri.to_owned() };
    let response = connection
        .call(connection.artifacts(), request, |mut stub, request| async move { stub.resolve_artifact(request).await })
        .await?;
    Ok(response.locations)
}

/// The one file that `uri` names.
pub(crate) async fn resolve_file(connection: &Connection, uri: &str) -> Result<v1::ArtifactLocation> {
    let mut locations = resolve(connection, uri).await?;
    match locations.pop() {
        Some(location) if locations.is_empty() && location.kind() == v1::EntryKind::File => Ok(location),
        _ => {
            let message = format!("{uri} is a directory, not a file.");
            Err(Error::new(ErrorKind::NotFound, message).with_reason("FILE_NOT_FOUND"))
        }
    }
}

/// Counts how often a URI was resolved. A snapshot that was replaced and collected between that and reading it is no
/// failure of a caller who asked for what is there.
#[derive(Default)]
pub(crate) struct Resolutions(usize);

impl Resolutions {
    /// Whether to resolve again after an error.
    pub(crate) fn again(&mut self, error: &Error) -> bool {
        self.0 += 1;
        error.reason() == "SNAPSHOT_EXPIRED" && self.0 < RESOLVED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_split_behind_the_run_or_model() {
        let model = format!("models:/m-{}", "0a".repeat(16));
        for (uri, root, path) in [
            ("runs:/x", "runs:/x", ""),
            ("runs:/x/a/b", "runs:/x", "a/b"),
            ("models:/churn/3/a", "models:/churn/3", "a"),
            ("models:/churn/latest", "models:/churn/latest", ""),
            ("models:/churn@prod/a", "models:/churn@prod", "a"),
            ("models:/churn", "models:/churn", ""),
            (&format!("{model}/a"), &model, "a"),
            (&model, &model, ""),
        ] {
            assert_eq!(split(uri), (root.to_owned(), path.to_owned()), "{uri}");
        }
    }

    #[test]
    fn a_path_is_told_below_its_location() {
        let location = |path: &str| v1::ArtifactLocation { path: path.to_owned(), ..Default::default() };
        assert_eq!(below("a/b", &location("")), "a/b");
        assert_eq!(below("a/b", &location("a")), "b");
        assert_eq!(below("a/b", &location("a/b")), "");
    }
}
