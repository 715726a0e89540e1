//! RPCs and messages by their descriptors, and messages in ProtoJSON, their canonical JSON form
//! (<https://protobuf.dev/programming-guides/json>). The descriptors are built into the program, so a field that
//! is added to the protos needs no change here. Never names a field.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::{DecodeError, Message};
use prost_reflect::prost_types::FileDescriptorSet;
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{
    DescriptorError, DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor,
    MethodDescriptor,
};
use serde::{Serialize, Serializer};

use super::reflection::DESCRIPTORS;

/// An RPC.
#[derive(Clone, Debug)]
pub(super) struct Rpc {
    pub(super) input: MessageType,
    pub(super) output: MessageType,
    /// Whether it is answered with a stream of messages.
    pub(super) is_stream: bool,
    /// Whether a call changes nothing, so that it may be made by a GET.
    pub(super) is_safe: bool,
}

/// The type of a message.
#[derive(Clone, Debug)]
pub struct MessageType(MessageDescriptor);

/// A message that serializes as ProtoJSON.
#[derive(Debug)]
pub struct JsonMessage(DynamicMessage);

/// All RPCs and messages of a server.
#[derive(Debug)]
pub struct Schema {
    pool: DescriptorPool,
    /// By the path of their calls.
    rpcs: HashMap<String, Rpc>,
}

/// Descriptors that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// They are no `FileDescriptorSet`.
    #[error("the descriptors are damaged: {0}")]
    Damaged(#[from] DecodeError),
    /// A type is missing, or two have the same name.
    #[error("the descriptors do not fit together: {0}")]
    Inconsistent(#[from] DescriptorError),
}

/// Those of this server.
static OWN: LazyLock<Schema> = LazyLock::new(|| {
    // With the details of errors.
    let sets =
        [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET];
    match Schema::from_sets(&sets) {
        Ok(schema) => schema,
        Err(error) => unreachable!("descriptors are built into this program: {error}"),
    }
});

impl Schema {
    /// That of this server.
    #[must_use]
    pub fn own() -> &'static Self {
        &OWN
    }

    /// Of encoded `FileDescriptorSet`s. Several of them may have the same files.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn from_sets(sets: &[&[u8]]) -> Result<Self, SchemaError> {
        let mut pool = DescriptorPool::new();
        for set in sets {
            pool.add_file_descriptor_protos(FileDescriptorSet::decode(*set)?.file)?;
        }
        let services: Vec<_> = pool.services().collect();
        let methods = services.iter().flat_map(|service| service.methods());
        let rpcs = methods.map(|method| (path(&method), Rpc::of(&method))).collect();
        Ok(Self { pool, rpcs })
    }

    /// The RPC that a call to `path` makes.
    pub(super) fn rpc(&self, path: &str) -> Option<&Rpc> {
        self.rpcs.get(path)
    }
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

impl Rpc {
    fn of(method: &MethodDescriptor) -> Self {
        let options = method.method_descriptor_proto().options.as_ref();
        let level = options.map(|options| options.idempotency_level());
        Self {
            input: MessageType(method.input()),
            output: MessageType(method.output()),
            is_stream: method.is_server_streaming(),
            is_safe: level == Some(IdempotencyLevel::NoSideEffects),
        }
    }
}

impl MessageType {
    /// The type of this server with this full name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        OWN.pool.get_message_by_name(name).map(Self)
    }

    /// Its name, without its package.
    pub(super) fn name(&self) -> &str {
        self.0.name()
    }

    /// The encoded message that somebody wrote as `json`. What is not known is refused: it may be a field
    /// with a slip in its name.
    ///
    /// # Errors
    /// It is no such message.
    pub(super) fn read(&self, json: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(json);
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        let read = DynamicMessage::deserialize_with_options(self.0.clone(), &mut json, &options)?;
        json.end()?;
        Ok(read.encode_to_vec())
    }

    /// The message that is encoded in `bytes`.
    ///
    /// # Errors
    /// It is no such message.
    pub fn decode(&self, bytes: &[u8]) -> Result<JsonMessage, DecodeError> {
        DynamicMessage::decode(self.0.clone(), bytes).map(JsonMessage)
    }
}

impl Serialize for JsonMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
