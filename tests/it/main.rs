//! All tests, in one program.

fn main() {}
