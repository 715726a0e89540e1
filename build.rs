//! Compiles the protos in `proto/`, with a compiler in Rust: no protoc is needed.

use std::path::PathBuf;

use protox::prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["whimbrel/v1/feed_service.proto"], ["proto"])?;

    // What reflection serves.
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("whimbrel.v1.bin"), files.encode_to_vec())?;

    tonic_prost_build::configure().codec_path("crate::api::codec::Codec").compile_fds(files)?;
    Ok(())
}
