//! The output for machines: one object per line, with one member whose name is the kind of the
//! line.
//!
//! Protobuf messages are printed in ProtoJSON, as `grpcurl` does. Never names a field.

use prost::{Message, Name};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

use crate::api::MessageType;

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
        let name = M::full_name();
        let message = MessageType::named(&name)
            .ok_or_else(|| S::Error::custom(format!("there is no descriptor of {name}")))?;
        let decoded = message.decode(&self.0.encode_to_vec()).map_err(S::Error::custom)?;
        decoded.serialize(serializer)
    }
}
