//! Random numbers: names of requests and temporary files, and the jitter of pauses.

use ring::rand::{SecureRandom, SystemRandom};

/// 32 hex digits that nobody else has.
pub(crate) fn unique_id() -> String {
    format!("{:032x}", u128::from_le_bytes(bytes()))
}

/// A number from 0 to below 1.
pub(crate) fn fraction() -> f64 {
    f64::from(u32::from_le_bytes(bytes())) / (f64::from(u32::MAX) + 1.0)
}

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random numbers");
    bytes
}
