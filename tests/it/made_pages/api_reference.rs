//! The reference of the API, made from the descriptors of the protos: a page for each file. Never
//! says what neither a proto nor the table of who may call says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use prost_reflect::{
    EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};
use whimbrel::auth::Role;
use whimbrel::auth::access::{self, Access};

use super::comments::{PACKAGE, comment, pool, short_name};
use super::{cell, errors, head, hold, path};

const FOLDER: &str = "docs/reference";

/// Every page is what the protos say, and there is no page of a file that is gone.
#[test]
fn the_reference_is_what_the_protos_say() {
    let mut pages = BTreeMap::new();
    for file in pool().files().filter(|file| file.package_name() == PACKAGE) {
        let stem = stem(&file);
        if stem != "error_reason" {
            pages.insert(format!("{FOLDER}/{stem}.md"), Page::new(file).written());
        }
    }
    assert!(pages.len() > 6, "the protos were not found: {:?}", pages.keys());
    hold(&pages);
    for entry in fs::read_dir(path(FOLDER)).unwrap() {
        let name = format!("{FOLDER}/{}", entry.unwrap().file_name().to_string_lossy());
        assert!(pages.contains_key(&name), "{name} is of no proto: remove it");
    }
}

/// The name of a proto, which its page has too.
pub(super) fn stem(file: &FileDescriptor) -> String {
    file.name().trim_start_matches("whimbrel/v1/").trim_end_matches(".proto").to_owned()
}

/// A page that is being written.
struct Page {
    file: FileDescriptor,
    text: String,
    /// The messages that have their place already.
    written: BTreeSet<String>,
}

impl Page {
    fn new(file: FileDescriptor) -> Self {
        let service = file.services().next().map(|service| service.name().to_owned());
        let title = service.unwrap_or_else(|| format!("Messages of {}.proto", stem(&file)));
        let text = head(&title, &format!("`proto/{}`", file.name()));
        Self { file, text, written: BTreeSet::new() }
    }

    fn written(mut self) -> String {
        for service in self.file.clone().services() {
            self.paragraph(&comment(&self.file, service.path()));
            let calls = service
                .methods()
                .map(|rpc| format!("[`{}`](#{})", rpc.name(), rpc.name().to_lowercase()));
            let calls: Vec<_> = calls.collect();
            self.paragraph(&format!("Calls: {}.", calls.join(", ")));
            for rpc in service.methods() {
                self.rpc(&rpc);
            }
        }
        let has_calls = !self.written.is_empty();
        if has_calls && self.file.messages().any(|it| !self.written.contains(it.full_name())) {
            self.paragraph("## Other messages");
        }
        for message in self.file.clone().messages() {
            self.message(&message, if has_calls { "###" } else { "##" });
        }
        for value in self.file.clone().enums() {
            self.enumeration(&value, if has_calls { "###" } else { "##" });
        }
        self.text.truncate(self.text.trim_end().len());
        self.text + "\n"
    }

    fn paragraph(&mut self, text: &str) {
        self.text += text;
        self.text += "\n\n";
    }

    fn rpc(&mut self, rpc: &MethodDescriptor) {
        self.paragraph(&format!("## {}", rpc.name()));
        self.paragraph(&comment(&self.file, rpc.path()));
        let full = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name());
        let access = access::of(&full).expect("every call has a row");
        let (input, output) = (rpc.input(), rpc.output());
        let stream = if rpc.is_server_streaming() { "a stream of " } else { "" };
        let facts = format!(
            "| | |\n|---|---|\n| path | `{full}` |\n| request, answer | {}, {stream}{} |\n\
             | who may call | {} |\n| errors | {} |",
            self.link(input.full_name(), &input.parent_file()),
            self.link(output.full_name(), &output.parent_file()),
            who_may_call(access),
            errors_of(rpc, access),
        );
        self.paragraph(&facts);
        for message in [input, output] {
            if message.parent_file() == self.file {
                self.message(&message, "###");
            }
        }
    }

    /// A message, and those declared in it.
    fn message(&mut self, message: &MessageDescriptor, level: &str) {
        if message.is_map_entry() || !self.written.insert(message.full_name().to_owned()) {
            return;
        }
        self.paragraph(&format!("{level} {}", short_name(message.full_name())));
        self.paragraph(&comment(&self.file, message.path()));
        if message.fields().len() > 0 {
            let mut table = "| field | | type | |\n|---|---|---|---|\n".to_owned();
            for field in message.fields() {
                table += &self.field(&field);
            }
            self.paragraph(table.trim_end());
        }
        for nested in message.child_messages() {
            self.message(&nested, level);
        }
        for nested in message.child_enums() {
            self.enumeration(&nested, level);
        }
    }

    fn field(&self, field: &FieldDescriptor) -> String {
        let list = if field.is_list() { "list of " } else { "" };
        let kind = match field.kind() {
            Kind::Message(message) => self.link(message.full_name(), &message.parent_file()),
            Kind::Enum(value) => self.link(value.full_name(), &value.parent_file()),
            scalar => format!("{scalar:?}"),
        };
        let mut text = String::new();
        if let Some(group) = field.containing_oneof().filter(|group| !group.is_synthetic()) {
            text = format!("One of `{}`. ", group.name());
        }
        text += &cell(&comment(&self.file, field.path()));
        format!("| `{}` | {} | {list}{kind} | {text} |\n", field.name(), field.number())
    }

    fn enumeration(&mut self, values: &EnumDescriptor, level: &str) {
        self.paragraph(&format!("{level} {}", short_name(values.full_name())));
        self.paragraph(&comment(&self.file, values.path()));
        let mut table = "| value | | |\n|---|---|---|\n".to_owned();
        for value in values.values() {
            let text = cell(&comment(&self.file, value.path()));
            table += &format!("| `{}` | {} | {text} |\n", value.name(), value.number());
        }
        self.paragraph(table.trim_end());
    }

    /// A link to the description of a message or an enum, if it is one of Whimbrel's.
    fn link(&self, full_name: &str, file: &FileDescriptor) -> String {
        let name = short_name(full_name);
        if file.package_name() != PACKAGE {
            return format!("`{name}`");
        }
        let anchor = name.to_lowercase().replace('.', "");
        match stem(file) {
            stem if stem == "error_reason" => format!("[`{name}`](../errors.md)"),
            _ if *file == self.file => format!("[`{name}`](#{anchor})"),
            stem => format!("[`{name}`]({stem}.md#{anchor})"),
        }
    }
}

fn who_may_call(access: Access) -> String {
    let roles = Role::ALL.into_iter().filter(|role| access.check(*role).is_ok());
    let roles: Vec<_> = roles.map(|role| format!("`{}`", role.name())).collect();
    let everybody = if access == Access::Everybody { "everybody; " } else { "" };
    format!("{everybody}{} ([for whom](../security.md#what-each-caller-may-do))", roles.join(", "))
}

/// Links to the reasons that an RPC names, and to the groups of those that it shares with others.
fn errors_of(rpc: &MethodDescriptor, access: Access) -> String {
    let named = errors::named_by(rpc).into_iter();
    let named = named.map(|reason| format!("[`{reason}`](../errors.md#{})", reason.to_lowercase()));
    let groups = errors::groups_of(rpc, access).into_iter().map(|group| {
        let title = group.title.to_lowercase();
        format!("[{title}](../errors.md#{})", title.replace(' ', "-"))
    });
    let named: Vec<_> = named.collect();
    let groups: Vec<_> = groups.collect();
    let own = if named.is_empty() { String::new() } else { format!("{}; ", named.join(", ")) };
    format!("{own}those of {}", groups.join(", "))
}
