//! What is printed for machines: one object a line, with one member whose name says what it holds.
//!
//! Protobuf messages are printed in their canonical JSON form (ProtoJSON, as
//! <https://protobuf.dev/programming-guides/json> has it), by the descriptors that this program is
//! built with, so that a field that is added to the protos is printed without a change here. It is
//! what `grpcurl` prints.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

use crate::api;

/// The messages that there are.
static MESSAGES: LazyLock<Result<DescriptorPool, DescriptorError>> =
    LazyLock::new(|| DescriptorPool::decode(api::DESCRIPTORS));

/// An object whose one member says what the line is.
#[derive(Debug)]
pub(super) struct Line<T>(pub(super) &'static str, pub(super) T);

impl<T: Serialize> Serialize for Line<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(Some(1))?;
        line.serialize_entry(self.0, &self.1)?;
        line.end()
    }
}

/// A message of the protos.
#[derive(Debug)]
pub(super) struct Protobuf<'a, M>(pub(super) &'a M);

impl<M: Message + Name> Serialize for Protobuf<'_, M> {
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
