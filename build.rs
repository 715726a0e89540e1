//! Compiles the protos in `proto/` with a compiler written in Rust. It never needs `protoc`.

use std::path::PathBuf;

use protox::prost::Message;

/// The files of the services. The compiler finds the files that they import.
const SERVICES: [&str; 5] = [
    "whimbrel/v1/feed_service.proto",
    "whimbrel/v1/graph_service.proto",
    "whimbrel/v1/log_service.proto",
    "whimbrel/v1/notification_service.proto",
    "whimbrel/v1/post_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(SERVICES, ["proto"])?;

    // The descriptors, which reflection serves.
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("whimbrel.v1.bin"), files.encode_to_vec())?;

    // The messages, with their names, and the client stubs.
    let mut messages = tonic_prost_build::Config::new();
    messages.enable_type_names();
    tonic_prost_build::configure()
        .codec_path("crate::api::codec::Codec")
        .build_server(false)
        .compile_fds_with_config(files.clone(), messages)?;

    // The server stubs. `WatchFeed` sends frames that the server encodes itself.
    let server_dir = out_dir.join("server");
    std::fs::create_dir_all(&server_dir)?;
    tonic_prost_build::configure()
        .codec_path("crate::api::codec::Codec")
        .build_client(false)
        .extern_path(
            ".whimbrel.v1.WatchFeedResponse",
            "crate::api::shared_response::SharedFeedResponse",
        )
        .extern_path(".whimbrel.v1", "crate::api::v1")
        .out_dir(server_dir)
        .compile_fds(files)?;
    Ok(())
}
