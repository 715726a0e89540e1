//! The descriptors of the protos, with their comments. Never changes the words of a comment.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor, MethodDescriptor};
use whimbrel::api;

pub(super) const PACKAGE: &str = "whimbrel.v1";

pub(super) fn pool() -> DescriptorPool {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(api::DESCRIPTORS).unwrap());
    POOL.clone()
}

/// The comment in front of what has this path in the file.
pub(super) fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let source = file.file_descriptor_proto().source_code_info.as_ref().unwrap();
    let location = source.location.iter().find(|location| location.path == path);
    let text = location.map(|location| location.leading_comments().to_owned()).unwrap_or_default();
    assert!(!text.trim().is_empty(), "{} has no comment at {path:?}", file.name());
    let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// All comments on an RPC and on what its request may have.
pub(super) fn comments_of(rpc: &MethodDescriptor) -> String {
    let mut all = comment(&rpc.parent_service().parent_file(), rpc.path());
    let mut messages = vec![rpc.input()];
    let mut seen = Vec::new();
    while let Some(message) = messages.pop() {
        if message.package_name() != PACKAGE || seen.contains(&message) {
            continue;
        }
        all += &format!("\n\n{}", comment(&message.parent_file(), message.path()));
        for field in message.fields() {
            all += &format!("\n\n{}", comment(&message.parent_file(), field.path()));
            messages.extend(field.kind().as_message().cloned());
        }
        seen.push(message);
    }
    all
}

/// The words of a text, without what stands around them.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The name of a message as its users write it: without the package.
pub(super) fn short_name(full_name: &str) -> &str {
    full_name.strip_prefix(PACKAGE).and_then(|name| name.strip_prefix('.')).unwrap_or(full_name)
}

/// Whether the request has one of these fields.
pub(super) fn has_field(message: &MessageDescriptor, names: &[&str]) -> bool {
    names.iter().any(|name| message.get_field_by_name(name).is_some())
}
