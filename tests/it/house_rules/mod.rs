//! Rules of the sources themselves: layers, sizes, names, kept seeds; and of the documents.

mod documents;
mod kept_seeds;
mod names;
pub(crate) mod sources;
