//! The output for machines: one object per line, with one member whose name is the kind of the
//! line.
//!
//! Protobuf messages are printed in ProtoJSON, their canonical JSON form
//! (<https://protobuf.dev/programming-guides/json>), as `grpcurl` does. The descriptors are built
//! into this program, so a field that is added to the protos is printed without a change here.
//! Never names a field.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

use crate::api;

/// The descriptors of all messages.
static MESSAGES: LazyLock<Result<DescriptorPool, DescriptorError>> =
    LazyLock::new(|| DescriptorPool::decode(api::DESCRIPTORS));

/// An object with one member: the kind of the line, and its content.
#[derive(Debug)]
pub(super) struct JsonLine<T>(pub(super) &'static str, pub(super) T);

impl<T: Serialize> Serialize for JsonLine<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(Some(1))?;
        line.serialize_entry(self.0, &self.1)?;
        line.end()
    }
}

/// A Protobuf message that serializes as ProtoJSON.
#[derive(Debug)]
pub(super) struct ProtoJson<'a, M>(pub(super) &'a M);

impl<M: Message + Name> Serialize for ProtoJson<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let messages = MESSAGES.as_ref().map_err(S::Error::custom)?;
        let name = M::full_name();
        let descriptor = messages
            .get_message_by_name(&name)
            .ok_or_else(|| S::Error::custom(format!("there is no descriptor of {name}")))?;
        let bytes = self.0.encode_to_vec();
        DynamicMessage::decode(descriptor, bytes.as_slice())
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}
