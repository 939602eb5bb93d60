//! TLS towards the server: the user's files, and what is wrong when no connection comes of it.

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::error::{Error, ErrorKind, Result};
use crate::target::{Address, Target};

pub(crate) const CA_FILE_VARIABLE: &str = "HOLDFAST_TLS_CA_FILE";
pub(crate) const CERT_FILE_VARIABLE: &str = "HOLDFAST_TLS_CERT_FILE";
pub(crate) const KEY_FILE_VARIABLE: &str = "HOLDFAST_TLS_KEY_FILE";

/// The files of a connection with TLS, all PEM; without `ca` the system's authorities are trusted.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsFiles {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

impl TlsFiles {
    /// What a connection is opened by.
    pub(crate) fn read(&self) -> Result<ClientTlsConfig> {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca {
            Some(path) => {
                config.ca_certificate(Certificate::from_pem(read_pem(path, CA_FILE_VARIABLE, "CERTIFICATE")?))
            }
            None => config.with_native_roots(),
        };
        match (&self.certificate, &self.key) {
            (None, None) => Ok(config),
            (Some(certificate), Some(key)) => {
                let certificate = read_pem(certificate, CERT_FILE_VARIABLE, "CERTIFICATE")?;
                Ok(config.identity(Identity::from_pem(certificate, read_pem(key, KEY_FILE_VARIABLE, "PRIVATE KEY")?)))
            }
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "{CERT_FILE_VARIABLE} and {KEY_FILE_VARIABLE} go together: a certificate, and its private key."
                ),
            )),
        }
    }
}

fn read_pem(path: &Path, variable: &str, what: &str) -> Result<String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::new(ErrorKind::Tls, format!("{variable}: {shown} cannot be read: {error}.")))?;
    if text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(what)) {
        Ok(text)
    } else {
        Err(Error::new(ErrorKind::Tls, format!("{variable}: {shown} holds no {} in PEM.", what.to_lowercase())))
    }
}

/// What the text of a failed connection says about TLS, with the way out; `None` when it says nothing of it.
pub(crate) fn problem(target: &Target, text: &str) -> Option<String> {
    let Address::Network { host, port, tls: true } = target.address() else { return None };
    let server = format!("The certificate of the server at {}", target.uri());
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(&word.to_lowercase()));
    if says(&["NotValidForName", "not valid for name"]) {
        Some(format!(
            "{server} is not for {host}: connect by a name or address that it is for, or have it made for this one."
        ))
    } else if says(&["invalid peer certificate: Expired", "certificate expired"]) {
        Some(format!("{server} has expired: renew it, and check both clocks."))
    } else if says(&["NotValidYet", "not valid yet"]) {
        Some(format!("{server} is not valid yet: check both clocks."))
    } else if says(&["invalid peer certificate"]) {
        Some(format!(
            "{server} is by none of the authorities that this client trusts: {CA_FILE_VARIABLE} names the server's own."
        ))
    } else if says(&["received corrupt message"]) {
        Some(format!(
            "The server at {} does not speak TLS: start it with --tls-cert and --tls-key, or, on this machine or a trusted \
             network, use holdfast://{host}:{port}.",
            target.uri()
        ))
    } else if says(&["CertificateRequired", "certificate required", "fatal alert: unknown", "fatal alert: bad"]) {
        Some(format!(
            "The server at {} wants a certificate of its clients that it knows: {CERT_FILE_VARIABLE} and \
             {KEY_FILE_VARIABLE} name it and its key.",
            target.uri()
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        Target::parse(uri, &|_| None).unwrap()
    }

    #[test]
    fn what_tls_explains_is_told_with_the_way_out() {
        let target = target("holdfast+tls://db.lan:5600");
        for (text, part) in [
            ("invalid peer certificate: UnknownIssuer", CA_FILE_VARIABLE),
            ("invalid peer certificate: certificate not valid for name \"db.lan\"", "is not for db.lan"),
            ("invalid peer certificate: certificate expired: verification time 1", "has expired"),
            ("received corrupt message of type InvalidContentType", "holdfast://db.lan:5600"),
            ("received fatal alert: CertificateRequired", CERT_FILE_VARIABLE),
        ] {
            let said = problem(&target, text).unwrap();
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(problem(&target, "Connection refused"), None);
    }

    #[test]
    fn without_tls_it_explains_nothing() {
        assert_eq!(problem(&target("holdfast://localhost:1"), "invalid peer certificate: UnknownIssuer"), None);
    }
}
