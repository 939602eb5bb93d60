//! Uploads and downloads, against a server.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{Scratch, Server, content};
use crate::proxy::CutOnce;
use holdfast::digests::{BLOCK_SIZE, file_digest_of, tree_digest};
use holdfast::{Client, ErrorKind};

/// What is in a directory: for each path the content of a file and whether it is executable, or nothing.
fn tree(root: &Path) -> BTreeMap<String, Option<(Vec<u8>, bool)>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
                found.insert(name, None);
            } else {
                let executable = fs::metadata(&path).unwrap().permissions().mode() & 0o100 != 0;
                found.insert(name, Some((fs::read(path).unwrap(), executable)));
            }
        }
    }
    found
}

/// Files of all sizes that matter, an executable one, an empty directory, and names beyond ASCII.
fn varied(folder: &Scratch) -> std::path::PathBuf {
    for (name, size) in [
        ("data/empty", 0),
        ("data/small", 5),
        ("data/inline", 64 << 10),
        ("data/above-inline", (64 << 10) + 1),
        ("data/sub/one-mebibyte-and-more", (1 << 20) + 1),
        ("data/sub/one-block", BLOCK_SIZE),
        ("data/sub/two-blocks", 2 * BLOCK_SIZE),
        ("data/sub/more", 2 * BLOCK_SIZE + 1),
        ("data/größe/模型.bin", 1_000),
    ] {
        folder.write(name, content(size, size as u64));
    }
    let script = folder.write("data/run.sh", "#!/bin/sh\n");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(folder.path().join("data/nothing")).unwrap();
    folder.path().join("data")
}

#[tokio::test]
async fn a_directory_comes_back_as_it_was() {
    let server = Server::start();
    let run = server.run().await;
    let client = server.client().await;
    let folder = Scratch::new();
    let data = varied(&folder);
    run.log_artifact(&data, "up").await.unwrap();

    let entries = client.list_artifacts(&format!("{}/up/data", run.artifact_uri()), true).await.unwrap();
    for entry in entries.iter().filter(|entry| !entry.is_directory) {
        let local = fs::File::open(folder.path().join(entry.path.strip_prefix("up/").unwrap())).unwrap();
        assert_eq!(entry.digest, Some(file_digest_of(local).unwrap()), "{}", entry.path);
    }
    let all = client.list_artifacts(&run.artifact_uri(), true).await.unwrap();
    assert!(all.is_sorted_by_key(|entry| entry.path.as_bytes()));
    assert_eq!(tree_digest(&all), tree_digest(all.iter().rev()));

    let there = folder.path().join("there");
    let path = client.download(&format!("{}/up/data", run.artifact_uri()), &there).await.unwrap();
    assert_eq!(path, there.join("data"));
    assert_eq!(tree(&path), tree(&data));
    // Over what is there already, too.
    folder.write("there/data/small", "other");
    client.download(&format!("{}/up/data", run.artifact_uri()), &there).await.unwrap();
    assert_eq!(tree(&path), tree(&data));

    let whole = folder.path().join("whole");
    assert_eq!(client.download(&run.artifact_uri(), &whole).await.unwrap(), whole);
    assert_eq!(tree(&whole.join("up/data")), tree(&data));
}

#[tokio::test]
async fn a_single_file_is_logged_listed_and_downloaded() {
    let server = Server::start();
    let run = server.run().await;
    let client = server.client().await;
    let folder = Scratch::new();
    for size in [0, 10, 3 * BLOCK_SIZE + 7] {
        let path = folder.write("file.bin", content(size, 3));
        run.log_artifact(&path, "").await.unwrap();
        let listed = run.list_artifacts("").await.unwrap();
        assert_eq!((listed.len(), listed[0].size), (1, size as u64));
        let uri = format!("{}/file.bin", run.artifact_uri());
        let there = client.download(&uri, folder.path().join("there")).await.unwrap();
        assert_eq!(fs::read(&there).unwrap(), fs::read(&path).unwrap());
        assert!(run.list_artifacts("file.bin").await.unwrap().is_empty());
    }
    // Nothing is left beside it.
    assert_eq!(tree(&folder.path().join("there")).len(), 1);
}

#[tokio::test]
async fn ranges_are_those_of_the_file_also_across_the_edge_of_a_block() {
    let server = Server::start();
    let run = server.run().await;
    let client = server.client().await;
    let folder = Scratch::new();
    let data = content(2 * BLOCK_SIZE + 100, 9);
    run.log_artifact(folder.write("file.bin", &data), "").await.unwrap();
    let uri = format!("{}/file.bin", run.artifact_uri());
    let reader = client.open(&uri).await.unwrap();
    assert_eq!(reader.size(), data.len() as u64);
    let block = BLOCK_SIZE;
    for (offset, length) in [(0, 1), (block - 3, 7), (block, block), (2 * block + 90, 1_000), (5, 0), (3 * block, 1)] {
        let expected = &data[data.len().min(offset)..data.len().min(offset + length)];
        let read = reader.read_range(offset as u64, length as u64).await.unwrap();
        assert!(read == expected, "{offset} {length}");
    }
    let error = client.open(&run.artifact_uri()).await.err().unwrap();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::NotFound, "FILE_NOT_FOUND"));
}

#[tokio::test]
async fn what_is_there_is_not_sent_again() {
    let server = Server::start();
    let proxy = CutOnce::after_sent(server.address(), u64::MAX).await;
    let run = server.run().await;
    let client = Client::connect(proxy.uri()).await.unwrap();
    let folder = Scratch::new();
    let data = varied(&folder);
    client.run(run.id()).log_artifacts(&data, "a").await.unwrap();
    let first = proxy.sent();
    client.run(run.id()).log_artifacts(&data, "b").await.unwrap();
    let again = proxy.sent() - first;
    assert!(first > 5 * BLOCK_SIZE as u64, "{first}");
    assert!(again < 16 << 10, "{again}");
}

#[tokio::test]
async fn an_upload_whose_network_is_cut_goes_on_where_it_was() {
    let server = Server::start();
    let folder = Scratch::new();
    let size = 12 * BLOCK_SIZE;
    let path = folder.write("file.bin", content(size, 5));
    let proxy = CutOnce::after_sent(server.address(), size as u64 / 2).await;
    let client = Client::connect(proxy.uri()).await.unwrap();
    let run = client.run(server.run().await.id());
    run.log_artifact(&path, "").await.unwrap();
    let entry = &run.list_artifacts("").await.unwrap()[0];
    assert_eq!(entry.digest, Some(file_digest_of(fs::File::open(&path).unwrap()).unwrap()));
    // What was under way is sent again at most.
    assert!(proxy.sent() < size as u64 + (33 << 20), "{}", proxy.sent());
}

#[tokio::test]
async fn a_download_whose_network_is_cut_goes_on_where_it_was() {
    let server = Server::start();
    let folder = Scratch::new();
    let size = 6 * BLOCK_SIZE;
    let path = folder.write("data/file.bin", content(size, 6));
    for number in 0..300 {
        folder.write(&format!("data/small/{number}"), content(10_000, number));
    }
    let run = server.run().await;
    run.log_artifacts(folder.path().join("data"), "").await.unwrap();
    for bytes in [1 << 20, size as u64 / 2] {
        let proxy = CutOnce::after_received(server.address(), bytes).await;
        let client = Client::connect(proxy.uri()).await.unwrap();
        let there = folder.path().join(format!("there-{bytes}"));
        client.download(&run.artifact_uri(), &there).await.unwrap();
        assert_eq!(tree(&there), tree(path.parent().unwrap()));
    }
}

#[tokio::test]
async fn bad_paths_and_absent_files_are_refused_before_anything_is_sent() {
    let server = Server::start();
    let run = server.run().await;
    let folder = Scratch::new();
    let path = folder.write("a.txt", "a");
    let error = run.log_artifact(&path, "../up").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, "INVALID_PATH"));
    let error = run.log_artifact(folder.path().join("absent"), "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalFile);
    let client = server.client().await;
    let error = client.run("f".repeat(32)).log_artifact(&path, "").await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::NotFound, "RUN_NOT_FOUND"));
    let error = client.download(&format!("{}/absent", run.artifact_uri()), folder.path()).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::NotFound, "FILE_NOT_FOUND"));
}
