//! Rules of the sources themselves: layers, sizes, names, kept seeds.

mod kept_seeds;
pub(crate) mod sources;
