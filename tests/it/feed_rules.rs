//! Each rule of feeds by itself.
