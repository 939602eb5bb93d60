//! Digests of blocks, files and trees, as `docs/protocol.md` of the repository specifies them.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use ring::digest::{Context, SHA256, digest};

use crate::artifacts::ArtifactEntry;

/// Size in bytes of all blocks of a file but the last. A constant of the format, not a setting.
pub const BLOCK_SIZE: usize = 8 << 20;

const FILE_PREFIX: &[u8] = b"holdfast-blocks-v1\0";
const TREE_PREFIX: &[u8] = b"holdfast-tree-v1\0";
const DIRECTORY: u8 = 1;
const EXECUTABLE: u8 = 2;

/// The SHA-256 that names a block, file or tree; written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Of some bytes, as one block.
    pub(crate) fn of(data: &[u8]) -> Self {
        Self::from_ring(&digest(&SHA256, data))
    }

    /// Of a block that is in several parts.
    pub(crate) fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        Self::from_ring(&context.finish())
    }

    /// What a message holds; `None` unless it has 32 bytes.
    pub(crate) fn from_proto(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn to_proto(self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self.0)
    }

    fn from_ring(digest: &ring::digest::Digest) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A text that is not 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseDigestError;

impl fmt::Display for ParseDigestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a digest is 64 hex digits")
    }
}

impl std::error::Error for ParseDigestError {}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseDigestError);
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| ParseDigestError)?;
        }
        Ok(Self(bytes))
    }
}

/// How many blocks a file of `size` bytes has.
pub(crate) fn block_count(size: u64) -> u64 {
    size.div_ceil(BLOCK_SIZE as u64)
}

/// The digest of a file with these blocks: that of its block when it has one, so equal to `sha256sum`.
///
/// With more it is that of a prefix and their digests; the prefix keeps a crafted small file from passing for a large one.
#[must_use]
pub fn file_digest(blocks: &[Digest]) -> Digest {
    match blocks {
        [] => Digest::of(b""),
        [block] => *block,
        _ => Digest::of_parts(std::iter::once(FILE_PREFIX).chain(blocks.iter().map(|block| block.0.as_slice()))),
    }
}

/// The digest of what a reader holds, as a file. It is read once, a block at a time.
pub fn file_digest_of(mut reader: impl Read) -> io::Result<Digest> {
    let mut blocks = Vec::new();
    let mut block = Vec::new();
    loop {
        block.clear();
        reader.by_ref().take(BLOCK_SIZE as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(file_digest(&blocks));
        }
        blocks.push(Digest::of(&block));
    }
}

/// The digest of a tree with these entries, in any order; every directory above an entry is to be among them.
#[must_use]
pub fn tree_digest<'a>(entries: impl IntoIterator<Item = &'a ArtifactEntry>) -> Digest {
    let mut sorted: Vec<&ArtifactEntry> = entries.into_iter().collect();
    sorted.sort_by(|one, other| one.path.as_bytes().cmp(other.path.as_bytes()));
    let mut context = Context::new(&SHA256);
    context.update(TREE_PREFIX);
    for entry in sorted {
        let length = u32::try_from(entry.path.len()).unwrap_or(u32::MAX);
        let flags = if entry.is_directory { DIRECTORY } else { 0 } | if entry.executable { EXECUTABLE } else { 0 };
        context.update(&length.to_be_bytes());
        context.update(entry.path.as_bytes());
        context.update(&[flags]);
        context.update(&entry.size.to_be_bytes());
        if let Some(digest) = &entry.digest {
            context.update(&digest.0);
        }
    }
    Digest::from_ring(&context.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn zeros(size: usize) -> String {
        file_digest_of(io::repeat(0).take(size as u64)).unwrap().to_string()
    }

    #[test]
    fn files_have_the_digests_of_the_protocol() {
        assert_eq!(file_digest_of(io::empty()).unwrap().to_string(), EMPTY);
        assert_eq!(file_digest_of(&b"hello"[..]).unwrap().to_string(), HELLO);
        assert_eq!(zeros(BLOCK_SIZE), "2daeb1f36095b44b318410b3f4e8b5d989dcc7bb023d1426c492dab0a3053e74");
        assert_eq!(zeros(BLOCK_SIZE + 1), "76c01c30902b42cc7931a49ac5fe9e60e69826c119ca2d49c09a5d73b1d6b0a8");
    }

    #[test]
    fn a_tree_has_the_digest_of_the_protocol_in_whatever_order_it_comes() {
        let entries = [
            ArtifactEntry { executable: true, ..ArtifactEntry::file("run", 0, EMPTY.parse().unwrap()) },
            ArtifactEntry::directory("d"),
            ArtifactEntry::file("d/hello", 5, HELLO.parse().unwrap()),
        ];
        let expected = "c1b092981e9e9e50f7005d07367b439e320b5c0c9f3390f067d00738611df3ec";
        assert_eq!(tree_digest(&entries).to_string(), expected);
    }

    #[test]
    fn a_text_that_is_no_digest_is_refused() {
        for text in ["", "e3b0", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<Digest>(), Err(ParseDigestError), "{text}");
        }
    }
}
