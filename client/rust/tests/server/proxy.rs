//! A proxy between client and server whose network is cut once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes bytes on; after so many in one direction it closes that connection, once, and passes on all later ones.
pub struct CutOnce {
    address: String,
    passed_up: Arc<AtomicU64>,
}

/// When to cut, in bytes; `u64::MAX` for never.
struct Fuse(AtomicU64);

impl CutOnce {
    pub async fn after_sent(server: &str, bytes: u64) -> Self {
        Self::begin(server, bytes, u64::MAX).await
    }

    pub async fn after_received(server: &str, bytes: u64) -> Self {
        Self::begin(server, u64::MAX, bytes).await
    }

    async fn begin(server: &str, up: u64, down: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (server, passed_up) = (server.to_owned(), Arc::new(AtomicU64::new(0)));
        let (fuse_up, fuse_down) = (Arc::new(Fuse(up.into())), Arc::new(Fuse(down.into())));
        let counter = passed_up.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (fuse_up, fuse_down, counter) = (fuse_up.clone(), fuse_down.clone(), counter.clone());
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let passed_down = AtomicU64::new(0);
                    tokio::select! {
                        () = pass(from_client, to_server, &fuse_up, &counter) => {}
                        () = pass(from_server, to_client, &fuse_down, &passed_down) => {}
                    }
                });
            }
        });
        Self { address, passed_up }
    }

    pub fn uri(&self) -> String {
        format!("holdfast://{}", self.address)
    }

    /// Bytes that went to the server.
    pub fn sent(&self) -> u64 {
        self.passed_up.load(Ordering::Relaxed)
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, fuse: &Fuse, counter: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let left = fuse.0.load(Ordering::Relaxed);
        if left != u64::MAX {
            if left <= count as u64 {
                fuse.0.store(u64::MAX, Ordering::Relaxed);
                return;
            }
            fuse.0.store(left - count as u64, Ordering::Relaxed);
        }
        counter.fetch_add(count as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
