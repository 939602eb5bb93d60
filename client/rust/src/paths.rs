//! Rules of artifact paths, checked before something is sent and of everything that a server names.

use crate::error::{Error, ErrorKind, Result};

const MAX_PATH_BYTES: usize = 1_024;
const MAX_COMPONENTS: usize = 32;
const MAX_COMPONENT_BYTES: usize = 255;

/// The path, if the format allows it.
pub(crate) fn check_artifact_path(path: &str) -> Result<&str> {
    match broken_rule(path) {
        None => Ok(path),
        Some(rule) => {
            let shown: String = path.chars().take(200).collect();
            let message = format!("The artifact path {shown:?} is refused: {rule}.");
            Err(Error::new(ErrorKind::InvalidArgument, message).with_reason("INVALID_PATH"))
        }
    }
}

/// A path that a server sent, if it stays below where it is written. Servers refuse other paths; a client that believes
/// them would be at the mercy of whoever it connects to.
pub(crate) fn check_received_path(path: &str) -> Result<&str> {
    match broken_rule(path) {
        None => Ok(path),
        Some(rule) => {
            let shown: String = path.chars().take(200).collect();
            let message = format!("The server sent the path {shown:?}, and nothing is written there: {rule}.");
            Err(Error::new(ErrorKind::LocalFile, message))
        }
    }
}

/// `name` below the directory `folder`; an empty one is the root.
pub(crate) fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        ("", _) => name.to_owned(),
        (_, "") => folder.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

/// The first rule of artifact paths that `path` breaks, in words.
fn broken_rule(path: &str) -> Option<&'static str> {
    let rules: [(bool, &'static str); 9] = [
        (path.is_empty(), "it is empty"),
        (path.len() > MAX_PATH_BYTES, "it is longer than 1024 bytes of UTF-8"),
        (path.starts_with('/'), "it must be relative"),
        (path.contains('\\'), "it must not contain a backslash; separate components by '/'"),
        (begins_with_scheme(path), "it looks like a URI or begins with a drive letter"),
        (has_encoded_separator(path), "it must not contain %2e, %2f or %5c"),
        (path.chars().any(char::is_control), "it must not contain control characters"),
        (path.chars().any(is_deceptive), "it must not contain direction overrides or look-alikes of '.', '/' and '\\'"),
        (path.split('/').count() > MAX_COMPONENTS, "it has more than 32 components"),
    ];
    let broken = rules.iter().find(|(broken, _)| *broken).map(|(_, rule)| *rule);
    broken.or_else(|| path.split('/').find_map(broken_component_rule))
}

fn broken_component_rule(component: &str) -> Option<&'static str> {
    if component.is_empty() {
        Some("it has an empty component")
    } else if component == "." || component == ".." {
        Some("it has a component '.' or '..'")
    } else if component.starts_with(' ') || component.ends_with([' ', '.']) {
        Some("a component must not begin with a space, nor end with a space or a dot")
    } else if component.len() > MAX_COMPONENT_BYTES {
        Some("a component is longer than 255 bytes of UTF-8")
    } else {
        None
    }
}

/// `C:` at the beginning, or `name:/`.
fn begins_with_scheme(path: &str) -> bool {
    let Some((scheme, rest)) = path.split_once(':') else { return false };
    let mut characters = scheme.chars();
    let begins_with_letter = characters.next().is_some_and(|first| first.is_ascii_alphabetic());
    let is_scheme = characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'));
    begins_with_letter && is_scheme && (scheme.len() == 1 || rest.starts_with('/'))
}

fn has_encoded_separator(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.windows(3).any(|three| ["%2e", "%2f", "%5c"].iter().any(|code| three.eq_ignore_ascii_case(code.as_bytes())))
}

/// Characters that reorder text on screen, or look like `.`, `/` or `\` and are folded to them by some file systems.
fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{ff0e}' | '\u{ff0f}' | '\u{ff3c}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_taken_as_they_are() {
        for path in ["a", "a/b.txt", ".hidden", "Größe/模型", "a b", "..a", "time 12:30", &("x/".repeat(31) + "x")]
        {
            assert_eq!(broken_rule(path), None, "{path}");
        }
    }

    #[test]
    fn every_rule_of_the_protocol_is_checked() {
        let long_component = "x".repeat(256);
        let many = "x/".repeat(32) + "x";
        let long = format!("{}/{}", "x".repeat(255), ["y".repeat(255).as_str(); 4].join("/"));
        let refused = [
            "",
            "/a",
            "a\\b",
            "C:",
            "s3:/x",
            "file:///x",
            "a%2Fb",
            "%2e",
            "a\nb",
            "a\u{85}",
            "a\u{202e}b",
            "\u{ff0e}",
            "a//b",
            "a/",
            ".",
            "a/../b",
            " a",
            "a ",
            "a.",
            "a. /b",
            &long_component,
            &many,
            &long,
        ];
        for path in refused {
            let error = check_artifact_path(path).expect_err(path);
            assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, "INVALID_PATH"));
            assert_eq!(check_received_path(path).expect_err(path).kind(), ErrorKind::LocalFile);
        }
    }
}
