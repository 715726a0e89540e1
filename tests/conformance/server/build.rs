//! Compiles the protos of the conformance suite, which are in its Go module and not in this repository. The
//! variable `CONFORMANCE_PROTOS` is their folder.

use std::error::Error;
use std::path::PathBuf;

use protox::prost::Message;

const FILES: [&str; 2] =
    ["connectrpc/conformance/v1/server_compat.proto", "connectrpc/conformance/v1/service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=CONFORMANCE_PROTOS");
    let protos = std::env::var("CONFORMANCE_PROTOS").map_err(|error| {
        format!("CONFORMANCE_PROTOS must be the folder `proto` of the module connectrpc.com/conformance: {error}")
    })?;
    println!("cargo::rerun-if-changed={protos}");
    let files = protox::compile(FILES, [&protos])?;
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("conformance.bin"), files.encode_to_vec())?;
    let mut messages = prost_build::Config::new();
    messages.enable_type_names();
    messages.type_name_domain(["."], "type.googleapis.com");
    messages.compile_fds(files)?;
    Ok(())
}
