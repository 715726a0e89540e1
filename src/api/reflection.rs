//! Server reflection, so that `grpcurl` needs no proto files: v1, and v1alpha for older tools.

use tonic::service::RoutesBuilder;
use tonic_reflection::server::{Builder, Error};

/// This service's protos, with their comments, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/whimbrel.v1.bin"));

/// The descriptors built into this program are damaged.
#[derive(Debug, thiserror::Error)]
#[error("the built-in descriptors cannot be served: {0}")]
pub struct ReflectionError(#[from] Error);

pub(super) fn add(routes: &mut RoutesBuilder) -> Result<(), ReflectionError> {
    routes.add_service(builder().build_v1()?);
    routes.add_service(builder().build_v1alpha()?);
    Ok(())
}

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // Tools look the details of errors up by their names.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
