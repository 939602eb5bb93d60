//! A real server, and a directory, for the tests.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast::{Client, NewRun, Run};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A directory that is removed with all that is in it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("holdfast-rust-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs Python of the repository's environment, without settings of Holdfast that a developer may have.
pub fn python(arguments: &[&str]) -> Command {
    let interpreter = Path::new(ROOT).join(".venv/bin/python");
    assert!(interpreter.exists(), "{} is absent: run `make venv` at the root", interpreter.display());
    let mut command = Command::new(interpreter);
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOLDFAST_")) {
        command.env_remove(name);
    }
    command
}

/// `python -m holdfast_server` on a free port, killed at the end.
pub struct Server {
    uri: String,
    process: Child,
    data: Scratch,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(more: &[&str]) -> Self {
        let data = Scratch::new();
        let folder = data.path().to_str().unwrap().to_owned();
        let mut command = python(&["-m", "holdfast_server", "--port", "0", "--data-dir", &folder]);
        let mut process = command.args(more).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let uri = loop {
            let Some(Ok(line)) = lines.next() else { panic!("the server did not start: {said:?}") };
            if let Some((_, address)) = line.split_once(" serving on ") {
                break address.split([',', ' ']).next().unwrap().to_owned();
            }
            said.push(line);
        };
        // A pipe that nobody reads would hold the server up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { uri, process, data }
    }

    pub fn uri(&self) -> &str {
        &self.uri
    }

    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        self.uri.split_once("://").unwrap().1
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.uri).await.unwrap()
    }

    pub async fn run(&self) -> Run {
        self.client().await.create_run("0", NewRun::new()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Bytes that look random, and are the same for the same seed.
pub fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut data = Vec::with_capacity(size + 8);
    while data.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.truncate(size);
    data
}
