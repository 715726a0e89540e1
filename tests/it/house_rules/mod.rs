//! Rules of the sources themselves: layers, sizes, names, kept seeds; and of the documents.

mod documents;
mod kept_seeds;
pub(crate) mod sources;
