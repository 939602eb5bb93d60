//! Where the server is: parsed from what a user may say.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};

pub(crate) const URI_VARIABLE: &str = "HOLDFAST_URI";
pub(crate) const INSECURE_VARIABLE: &str = "HOLDFAST_INSECURE";
const DEFAULT_PORT: u16 = 5600;
/// `sun_path` holds 108 bytes with the closing NUL.
const MAX_SOCKET_PATH: usize = 107;
const FORMS: &str = "Use holdfast://host:port, holdfast+tls://host:port, or unix:/path/to/socket.";

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    uri: String,
    address: Address,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// Over the network; the host is without the brackets of IPv6.
    Network { host: String, port: u16, tls: bool },
    /// Through a socket.
    Socket(PathBuf),
}

impl Target {
    /// The server that `uri` names. Plaintext beyond loopback is refused, unless `?insecure=true` or the variable
    /// `HOLDFAST_INSECURE` says that the network is trusted.
    pub(crate) fn parse(uri: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        if uri.contains('\0') {
            return Err(refused(format!("{uri:?} holds a NUL character. {FORMS}")));
        }
        let Some((scheme, rest)) = uri.split_once(':') else {
            let message = if uri.is_empty() {
                format!("No server is named: pass its URI, or set {URI_VARIABLE}. {FORMS}")
            } else {
                format!("{uri:?} names no server, and this client starts none. {FORMS}")
            };
            return Err(refused(message));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "holdfast" => network(uri, rest, false, variable),
            "holdfast+tls" => network(uri, rest, true, variable),
            "unix" => socket(rest),
            other => Err(refused(unsupported(uri, other, rest))),
        }
    }

    /// Normalized; parsing it gives this target again. Holds no secret.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the connection is encrypted and the server's certificate checked.
    pub(crate) fn tls(&self) -> bool {
        matches!(self.address, Address::Network { tls: true, .. })
    }

    /// How somebody would start the server.
    pub(crate) fn start_advice(&self) -> String {
        match &self.address {
            Address::Socket(_) => "start one there".to_owned(),
            Address::Network { host, port, .. } if is_loopback(host) => {
                format!("start one with `holdfast server --port {port}`")
            }
            Address::Network { host, port, .. } => format!("start one on {host} with `holdfast server --port {port}`"),
        }
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn unsupported(uri: &str, scheme: &str, rest: &str) -> String {
    let port = rest.trim_end_matches('/');
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        let address = uri.trim_end_matches('/');
        return format!("{uri:?} lacks a scheme: write holdfast://{address}, or holdfast+tls://{address}.");
    }
    match scheme {
        "http" => format!("Holdfast speaks gRPC, not http://; write holdfast://host:port. {FORMS}"),
        "https" => format!("Holdfast speaks gRPC, not https://; write holdfast+tls://host:port. {FORMS}"),
        // The text is not repeated: URIs of databases carry passwords.
        _ => format!("The scheme {scheme:?} is not supported: data is reached through a Holdfast server only. {FORMS}"),
    }
}

fn socket(rest: &str) -> Result<Target> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() {
        return Err(refused(format!("unix: names no socket. {FORMS}")));
    }
    let path = std::path::absolute(path).map_err(|error| refused(format!("{path:?} is no path: {error}.")))?;
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        let shown = path.display();
        return Err(refused(format!(
            "The path of a socket is at most {MAX_SOCKET_PATH} bytes: {shown} is longer. Use a shorter one."
        )));
    }
    Ok(Target { uri: format!("unix:{}", path.display()), address: Address::Socket(path) })
}

fn network(uri: &str, rest: &str, tls: bool, variable: &dyn Fn(&str) -> Option<String>) -> Result<Target> {
    let Some(authority_and_more) = rest.strip_prefix("//") else {
        return Err(refused(format!("{uri:?} names no host. {FORMS}")));
    };
    let (before_query, query) = authority_and_more.split_once('?').unwrap_or((authority_and_more, ""));
    let (authority, path) = before_query.split_once('/').unwrap_or((before_query, ""));
    if authority.contains('@') {
        return Err(refused(
            "Credentials do not belong in a URI, which ends up in logs: set HOLDFAST_TOKEN in the environment."
                .to_owned(),
        ));
    }
    if !path.is_empty() || uri.contains('#') {
        return Err(refused(format!("{uri:?} has a path, and a server has none: end after the port. {FORMS}")));
    }
    let (host, port) = host_and_port(authority)
        .ok_or_else(|| refused(format!("The address {authority:?} of the server cannot be read. {FORMS}")))?;
    let loopback = is_loopback(&host);
    let insecure = is_insecure(query, variable)?;
    let shown_host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    if !tls && !loopback && !insecure {
        return Err(refused(format!(
            "holdfast://{shown_host} would send everything over the network in the clear. Use \
             holdfast+tls://{shown_host}:{port}, or say that the network is trusted: ?insecure=true, or \
             {INSECURE_VARIABLE}=1."
        )));
    }
    let scheme = if tls { "holdfast+tls" } else { "holdfast" };
    // The address says by itself that the user agreed, so that it works where the variable is not set.
    let query = if insecure && !tls && !loopback { "?insecure=true" } else { "" };
    Ok(Target { uri: format!("{scheme}://{shown_host}:{port}{query}"), address: Address::Network { host, port, tls } })
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, if after.is_empty() { "" } else { after.strip_prefix(':')? })
    } else {
        authority.split_once(':').unwrap_or((authority, ""))
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(is_name) {
        return None;
    }
    let port = if port.is_empty() { DEFAULT_PORT } else { port.parse().ok().filter(|port| *port != 0)? };
    Some((host.to_owned(), port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_insecure(query: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<bool> {
    let mut given = None;
    for option in query.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("insecure", value) => given = Some(value),
            (name, _) => {
                return Err(refused(format!("Unknown option {name:?}: a server's URI takes ?insecure=true only.")));
            }
        }
    }
    match given {
        Some(value) => flag("?insecure", value),
        None => flag(INSECURE_VARIABLE, &variable(INSECURE_VARIABLE).unwrap_or_default()),
    }
}

/// Whether the text of a setting means yes; an empty one means no.
fn flag(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(refused(format!("{name} is true or false, not {value:?}."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<Target> {
        Target::parse(uri, &|_| None)
    }

    #[test]
    fn the_forms_of_the_documentation_are_taken() {
        for (given, normalized) in [
            ("holdfast://127.0.0.1:5600", "holdfast://127.0.0.1:5600"),
            ("holdfast://localhost", "holdfast://localhost:5600"),
            ("HOLDFAST://[::1]:7/", "holdfast://[::1]:7"),
            ("holdfast+tls://db.lan:443", "holdfast+tls://db.lan:443"),
            ("holdfast://db.lan?insecure=true", "holdfast://db.lan:5600?insecure=true"),
            ("unix:/run/holdfast.sock", "unix:/run/holdfast.sock"),
            ("unix:///run/holdfast.sock", "unix:/run/holdfast.sock"),
        ] {
            let target = parse(given).unwrap();
            assert_eq!(target.uri(), normalized);
            assert_eq!(parse(target.uri()).unwrap(), target);
        }
    }

    #[test]
    fn plaintext_beyond_loopback_is_refused_unless_the_network_is_trusted() {
        let error = parse("holdfast://10.0.0.1:5600").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("holdfast+tls://10.0.0.1:5600"), "{error}");
        let trusted = |name: &str| (name == INSECURE_VARIABLE).then(|| "1".to_owned());
        assert!(Target::parse("holdfast://10.0.0.1:5600", &trusted).is_ok());
        assert!(Target::parse("holdfast://10.0.0.1?insecure=false", &trusted).is_err());
    }

    #[test]
    fn what_names_no_server_is_refused_with_the_way_out() {
        for (given, part) in [
            ("", "HOLDFAST_URI"),
            ("./data", "this client starts none"),
            ("localhost:5600", "lacks a scheme"),
            ("https://db.lan", "holdfast+tls://"),
            ("postgres://u:secret@db/x", "The scheme \"postgres\""),
            ("holdfast:/x", "names no host"),
            ("holdfast://u:p@localhost", "HOLDFAST_TOKEN"),
            ("holdfast://localhost/x", "has a path"),
            ("holdfast://localhost:0", "cannot be read"),
            ("holdfast://[::1", "cannot be read"),
            ("holdfast://localhost?tls=1", "Unknown option"),
            ("holdfast://localhost?insecure=maybe", "true or false"),
            ("unix:", "names no socket"),
        ] {
            let error = parse(given).unwrap_err();
            assert!(error.message().contains(part), "{given}: {error}");
            assert!(!error.message().contains("secret"), "{error}");
        }
        assert!(parse(&format!("unix:/{}", "x".repeat(107))).is_err());
    }
}
