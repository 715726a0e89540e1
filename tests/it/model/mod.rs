//! Plain values, and the rules of texts.

mod scan;
mod values;
mod visible;
