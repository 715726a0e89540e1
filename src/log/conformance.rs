//! What every log must do, as checks that an implementation's tests run.
//!
//! They panic where a promise of [`Log`](super::Log) is broken.
