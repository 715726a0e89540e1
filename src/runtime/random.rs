//! Random numbers of the operating system, for what nobody may guess. Never repeats one.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `bytes`.
///
/// # Errors
/// The operating system has no random numbers.
pub fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        let flags = GetRandomFlags::empty();
        filled += rustix::io::retry_on_intr(|| getrandom(&mut *rest, flags))?;
    }
    Ok(())
}
