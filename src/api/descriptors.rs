//! The descriptors of all RPCs, by the paths of their calls; and of the details of errors. Never serves
//! them: that is `reflection.rs`.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::prost_types::FileDescriptorSet;
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};

use super::reflection::DESCRIPTORS;

/// An RPC.
#[derive(Clone, Debug)]
pub(super) struct Rpc {
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
    /// Whether it is answered with a stream of messages.
    pub(super) is_stream: bool,
    /// Whether a call changes nothing, so that it may be made by a GET.
    pub(super) is_safe: bool,
}

struct Descriptors {
    pool: DescriptorPool,
    /// By the path of their calls.
    rpcs: HashMap<String, Rpc>,
}

static ALL: LazyLock<Descriptors> = LazyLock::new(|| {
    let sets =
        [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET];
    let mut pool = DescriptorPool::new();
    for set in sets {
        let files = FileDescriptorSet::decode(set).map(|set| set.file);
        // Several of the sets have the files of Google's types.
        let added = files.map(|files| pool.add_file_descriptor_protos(files));
        assert!(matches!(added, Ok(Ok(()))), "descriptors are built into this program: {added:?}");
    }
    let services: Vec<_> = pool.services().collect();
    let methods = services.iter().flat_map(|service| service.methods());
    let rpcs = methods.map(|method| (path(&method), Rpc::of(&method))).collect();
    Descriptors { pool, rpcs }
});

/// The RPC that a call to `path` makes.
pub(super) fn rpc(path: &str) -> Option<&'static Rpc> {
    ALL.rpcs.get(path)
}

/// The message type with this full name, if it is known here.
pub(super) fn message(name: &str) -> Option<MessageDescriptor> {
    ALL.pool.get_message_by_name(name)
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

impl Rpc {
    fn of(method: &MethodDescriptor) -> Self {
        let options = method.method_descriptor_proto().options.as_ref();
        let level = options.map(|options| options.idempotency_level());
        Self {
            input: method.input(),
            output: method.output(),
            is_stream: method.is_server_streaming(),
            is_safe: level == Some(IdempotencyLevel::NoSideEffects),
        }
    }
}
