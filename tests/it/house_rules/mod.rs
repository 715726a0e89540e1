//! The rules of the repository: layers, sizes and names of the sources, kept seeds, and documents.

mod documents;
mod kept_seeds;
mod names;
pub(crate) mod sources;
