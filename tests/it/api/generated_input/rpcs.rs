//! The RPCs of the descriptors that the program serves, and the fields of their requests. Never
//! names one.

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use whimbrel::api::DESCRIPTORS;

/// How deep messages are nested in requests. More would be a message in itself.
const DEPTH_MAX: usize = 6;

/// An RPC.
#[derive(Clone, Debug)]
pub(super) struct Rpc {
    /// The service and the name: `FeedService/Follow`.
    pub(super) name: String,
    pub(super) path: String,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
    pub(super) is_stream: bool,
}

/// The way from a request to one of its fields. Of a list it goes through the first entry.
#[derive(Clone, Debug)]
pub(super) struct FieldPath(pub(super) Vec<FieldDescriptor>);

/// All RPCs of this project's services.
pub(super) fn rpcs() -> Vec<Rpc> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let services = pool.services().filter(|it| it.package_name() == "whimbrel.v1");
    let methods = services.flat_map(|it| it.methods().collect::<Vec<_>>());
    let rpcs: Vec<_> = methods
        .map(|method| {
            assert!(!method.is_client_streaming(), "{method:?}: a request is one message");
            let name = format!("{}/{}", method.parent_service().name(), method.name());
            Rpc {
                path: format!("/whimbrel.v1.{name}"),
                name,
                input: method.input(),
                output: method.output(),
                is_stream: method.is_server_streaming(),
            }
        })
        .collect();
    assert!(rpcs.len() > 30, "the descriptors were not read");
    rpcs
}

impl Rpc {
    /// Whether it answers with a page of a list.
    pub(super) fn has_pages(&self) -> bool {
        self.output.get_field_by_name("next_page_token").is_some()
    }

    /// All fields of its request, nested ones too.
    pub(super) fn fields(&self) -> Vec<FieldPath> {
        let mut found = Vec::new();
        add_fields(&self.input, &FieldPath(Vec::new()), &mut found);
        found
    }
}

fn add_fields(message: &MessageDescriptor, parent: &FieldPath, found: &mut Vec<FieldPath>) {
    for field in message.fields() {
        assert!(!field.is_map(), "{field:?}: maps are not generated yet, add them to changes.rs");
        let mut path = parent.clone();
        path.0.push(field.clone());
        assert!(path.0.len() <= DEPTH_MAX, "{field:?} is too deep in a request");
        found.push(path.clone());
        if let Kind::Message(message) = field.kind() {
            add_fields(&message, &path, found);
        }
    }
}

impl FieldPath {
    /// The field itself.
    pub(super) fn last(&self) -> &FieldDescriptor {
        self.0.last().expect("a path has a field")
    }

    /// The field as errors name it. An entry of a list has its index.
    pub(super) fn text(&self) -> String {
        let parts = self.0.iter().enumerate().map(|(at, field)| {
            let is_entry = field.is_list() && at + 1 < self.0.len();
            format!("{}{}", field.name(), if is_entry { "[0]" } else { "" })
        });
        parts.collect::<Vec<_>>().join(".")
    }
}
