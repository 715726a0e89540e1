//! Messages in ProtoJSON, by their descriptors (<https://protobuf.dev/programming-guides/json>). Never names a
//! field.

use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};
use tonic::Status;

use crate::api::status;

/// The encoded message that a caller writes as `text`. What is not known is refused: it may be a field with a
/// slip in its name.
///
/// # Errors
/// It is no such message.
pub(super) fn read(message: &MessageDescriptor, text: &[u8]) -> Result<Vec<u8>, Status> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let read = DynamicMessage::deserialize_with_options(message.clone(), &mut json, &options);
    let read = read.and_then(|read| json.end().map(|()| read));
    read.map(|read| read.encode_to_vec())
        .map_err(|error| status::malformed_json(message.name(), &error))
}

/// The text of an encoded message of this server.
///
/// # Errors
/// It is no such message, which cannot happen.
pub(super) fn write(message: &MessageDescriptor, bytes: &[u8]) -> Result<Vec<u8>, Status> {
    let decoded = DynamicMessage::decode(message.clone(), bytes);
    let decoded = decoded.map_err(|error| status::unencodable(&error))?;
    serde_json::to_vec(&decoded).map_err(|error| status::unencodable(&error))
}
