//! Tests against a real server. They are one program, which is compiled sooner than several.

mod artifacts;
mod common;
mod proxy;
mod readme;
mod runs;
mod security;
