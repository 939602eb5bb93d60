//! Generates messages and stubs from the protos of this repository.

use std::error::Error;
use std::path::{Path, PathBuf};

const PROTOS: &str = "../../protos";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(PROTOS).join("holdfast/v1");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}; build from a clone of the whole repository", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    tonic_prost_build::configure()
        .build_server(false)
        // Blocks are cut and put together without copies of their bytes.
        .bytes(".")
        .compile_fds(protox::compile(files, [PROTOS])?)?;
    Ok(())
}
