//! Lists what URIs name.

use std::collections::BTreeMap;

use super::uris::{Resolutions, below, resolve, split};
use crate::artifacts::ArtifactEntry;
use crate::connection::Connection;
use crate::error::Result;
use crate::paths::join;
use crate::v1;

const PAGE_SIZE: i32 = 10_000;

/// One level of the directory that `uri` names, or all below it; paths are those of the run or model that it begins with.
pub(crate) async fn list(connection: &Connection, uri: &str, recursive: bool) -> Result<Vec<ArtifactEntry>> {
    let (_, base) = split(uri);
    let mut resolutions = Resolutions::default();
    loop {
        match list_once(connection, uri, &base, recursive).await {
            Err(error) if resolutions.again(&error) => {}
            outcome => return outcome,
        }
    }
}

async fn list_once(connection: &Connection, uri: &str, base: &str, recursive: bool) -> Result<Vec<ArtifactEntry>> {
    // Sorted by the paths' bytes, as texts are.
    let mut found = BTreeMap::new();
    for location in resolve(connection, uri).await? {
        let root = join(base, &location.prefix);
        if !location.prefix.is_empty() {
            found.insert(root.clone(), ArtifactEntry::directory(root.clone()));
            if !recursive {
                continue;
            }
        }
        if location.kind() == v1::EntryKind::File {
            continue; // a file has nothing below it
        }
        for entry in entries(connection, &location, recursive).await? {
            let path = join(&root, below(&entry.path, &location));
            found.insert(path.clone(), ArtifactEntry::from_proto(path, &entry));
        }
    }
    Ok(found.into_values().collect())
}

async fn entries(connection: &Connection, location: &v1::ArtifactLocation, recursive: bool) -> Result<Vec<v1::Entry>> {
    let mut request = v1::ListFilesRequest {
        owner: location.owner.clone(),
        sequence: Some(location.sequence),
        path: location.path.clone(),
        recursive,
        page_size: PAGE_SIZE,
        ..Default::default()
    };
    let mut entries = Vec::new();
    loop {
        let page =
            connection
                .call(connection.artifacts(), request.clone(), |mut stub, request| async move {
                    stub.list_files(request).await
                })
                .await?;
        entries.extend(page.entries);
        if page.next_page_token.is_empty() {
            return Ok(entries);
        }
        request.page_token = page.next_page_token;
    }
}
