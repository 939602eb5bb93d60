//! What the README prints works as it is printed.

use std::process::Command;

use crate::common::{Scratch, Server};

const README: &str = include_str!("../../README.md");
const EXAMPLE: &str = include_str!("../../examples/log_artifact.rs");

#[test]
fn the_readme_shows_the_example() {
    let (_, code) = EXAMPLE.split_once("\n\n").unwrap();
    assert!(README.contains(&format!("```rust,no_run\n{code}```")), "the README shows other lines than the example");
}

#[tokio::test]
async fn the_example_logs_an_artifact() {
    let server = Server::start();
    let folder = Scratch::new();
    folder.write("notes.txt", "trained on the 2026 snapshot\n");
    let program = std::env::current_exe().unwrap();
    let example = program.parent().unwrap().parent().unwrap().join("examples/log_artifact");
    let output = Command::new(example)
        .current_dir(folder.path())
        .env("HOLDFAST_URI", server.uri())
        .env_remove("HOLDFAST_TOKEN")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let uri = String::from_utf8(output.stdout).unwrap();
    let read = server.client().await.read_range(uri.trim_end(), 0, 7).await.unwrap();
    assert_eq!(read, "trained");
}
