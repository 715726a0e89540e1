//! Compiles the protos in `proto/` with a compiler written in Rust. It never needs `protoc`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use protox::prost::Message;
use protox::prost_reflect::prost_types::field_descriptor_proto::Label;
use protox::prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
};

/// The files of the services. The compiler finds the files that they import.
const SERVICES: [&str; 7] = [
    "whimbrel/v1/admin_service.proto",
    "whimbrel/v1/feed_service.proto",
    "whimbrel/v1/graph_service.proto",
    "whimbrel/v1/log_service.proto",
    "whimbrel/v1/meta_service.proto",
    "whimbrel/v1/notification_service.proto",
    "whimbrel/v1/post_service.proto",
];

const PACKAGE: &str = ".whimbrel.v1";
/// The server sends posts that it encodes once for all their readers.
const POST: (&str, &str) = (".whimbrel.v1.Post", "crate::api::encoded_post::EncodedPost");
/// The server sends messages of this type that it encodes itself.
const WATCH_FEED_RESPONSE: (&str, &str) =
    (".whimbrel.v1.WatchFeedResponse", "crate::api::shared_response::SharedFeedResponse");

/// What such a message has of posts.
const FEED_BATCH: &str = ".whimbrel.v1.FeedBatch";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(SERVICES, ["proto"])?;

    // The descriptors, which reflection serves.
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("whimbrel.v1.bin"), files.encode_to_vec())?;

    // The messages, with their names, and the client stubs.
    let mut messages = tonic_prost_build::Config::new();
    messages.enable_type_names();
    tonic_prost_build::configure()
        .codec_path("crate::api::codec::Codec")
        .build_server(false)
        .compile_fds_with_config(files.clone(), messages)?;

    // Access to the fields that requests and answers share.
    let shared_fields = request_fields(&files) + &response_fields(&files);
    std::fs::write(out_dir.join("shared_fields.rs"), shared_fields)?;

    // The server stubs, and the messages that have posts once more, with encoded posts. All other
    // messages are those of above.
    let server_dir = out_dir.join("server");
    std::fs::create_dir_all(&server_dir)?;
    let mut server = tonic_prost_build::configure()
        .codec_path("crate::api::codec::Codec")
        .build_client(false)
        .extern_path(POST.0, POST.1)
        .extern_path(WATCH_FEED_RESPONSE.0, WATCH_FEED_RESPONSE.1)
        .out_dir(server_dir);
    for name in names_without_posts(&files) {
        server = server.extern_path(format!("{PACKAGE}.{name}"), format!("crate::api::v1::{name}"));
    }
    server.compile_fds(files)?;
    Ok(())
}

/// The user for whom a call is made: the first field of a request, if it has this name.
const USER_FIELD: &str = "user_id";

/// The position that a read is to show.
const AT_LEAST_FIELD: &str = "at_least_cursor";
/// The position that an answer shows.
const CURSOR_FIELD: &str = "cursor";

/// An implementation of the trait `ResponseFields` for each answer of the package.
fn response_fields(files: &FileDescriptorSet) -> String {
    let files = files.file.iter().filter(|file| format!(".{}", file.package()) == PACKAGE);
    let methods = files.clone().flat_map(|file| &file.service).flat_map(|service| &service.method);
    let answers: BTreeSet<&str> = methods.map(|method| method.output_type()).collect();
    let messages = files.flat_map(|file| &file.message_type);
    let is_answer = |message: &&DescriptorProto| {
        answers.contains(format!("{PACKAGE}.{}", message.name()).as_str())
    };
    let answer = |message: &DescriptorProto| {
        let has_cursor = message.field.iter().any(|field| field.name() == CURSOR_FIELD);
        let cursor = if has_cursor { format!("&self.{CURSOR_FIELD}") } else { "\"\"".to_owned() };
        format!(
            "impl ResponseFields for crate::api::v1::{} {{ fn cursor(&self) -> &str {{ {cursor} }} }}
",
            message.name()
        )
    };
    messages.filter(is_answer).map(answer).collect()
}

/// An implementation of the trait `RequestFields` for each request of the package.
fn request_fields(files: &FileDescriptorSet) -> String {
    let files = files.file.iter().filter(|file| format!(".{}", file.package()) == PACKAGE);
    let services = files.clone().flat_map(|file| &file.service);
    let path = |service: &str, method: &str| format!("/{}.{service}/{method}", &PACKAGE[1..]);
    let requests: BTreeMap<&str, String> = services
        .flat_map(|service| service.method.iter().map(move |method| (service.name(), method)))
        .map(|(service, method)| {
            let input = method.input_type().trim_start_matches(PACKAGE).trim_start_matches('.');
            (input, path(service, method.name()))
        })
        .collect();
    let messages = files.flat_map(|file| &file.message_type);
    let mut code = String::new();
    for message in messages {
        let Some(path) = requests.get(message.name()) else { continue };
        let first = message.field.iter().find(|field| field.number() == 1);
        let field = match first.is_some_and(|field| field.name() == USER_FIELD) {
            true => format!("Some(&mut self.{USER_FIELD})"),
            false => "None".to_owned(),
        };
        let at_least = match message.field.iter().any(|field| field.name() == AT_LEAST_FIELD) {
            true => format!("Some(&mut self.{AT_LEAST_FIELD})"),
            false => "None".to_owned(),
        };
        code += &format!(
            "impl RequestFields for crate::api::v1::{} {{
                const PATH: &'static str = \"{path}\";
                fn at_least_field(&mut self) -> Option<&mut String> {{ {at_least} }}
                fn user_field(&mut self) -> Option<&mut String> {{ {field} }}
                fn positions(&self, each: &mut dyn FnMut(&str)) {{ let _ = &each; {} }}
            }}
",
            message.name(),
            message.field.iter().map(|field| position(message, field)).collect::<String>()
        );
    }
    code
}

/// The statement that visits `field` if it names a position of the log, by its name.
fn position(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let name = field.name();
    let names_one = ["cursor", "page_token", "post_id", "post_ids"];
    if !names_one.iter().any(|end| name == *end || name.ends_with(&format!("_{end}"))) {
        return String::new();
    }
    let is_repeated = field.label() == Label::Repeated;
    match field.oneof_index {
        Some(group) => {
            let group = message.oneof_decl[group as usize].name();
            let path = format!("crate::api::v1::{}", snake_case(message.name()));
            let (kind, variant) = (pascal_case(group), pascal_case(name));
            format!(
                "if let Some({path}::{kind}::{variant}(text)) = &self.{group} {{ each(text); }}"
            )
        }
        None if is_repeated => format!("self.{name}.iter().for_each(|text| each(text));"),
        None => format!("each(&self.{name});"),
    }
}

fn pascal_case(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(word).collect()
}

fn snake_case(name: &str) -> String {
    let letter = |(at, letter): (usize, char)| {
        let line = if at > 0 && letter.is_uppercase() { "_" } else { "" };
        format!("{line}{}", letter.to_lowercase())
    };
    name.chars().enumerate().map(letter).collect()
}

/// The messages and enums of the package that have no posts, not even in the messages in them.
fn names_without_posts(files: &FileDescriptorSet) -> Vec<&str> {
    let files = files.file.iter().filter(|file| format!(".{}", file.package()) == PACKAGE);
    let messages: Vec<_> = files.clone().flat_map(|file| &file.message_type).collect();
    let mut with_posts = BTreeSet::from([POST.0.to_owned()]);
    loop {
        let count = with_posts.len();
        for message in &messages {
            if has_one_of(message, &with_posts) {
                with_posts.insert(format!("{PACKAGE}.{}", message.name()));
            }
        }
        if with_posts.len() == count {
            break;
        }
    }
    with_posts.insert(WATCH_FEED_RESPONSE.0.to_owned());
    // Only such a response has one, so that no other is sent.
    with_posts.remove(FEED_BATCH);
    let names = messages.iter().map(|message| message.name());
    let names = names.filter(|name| !with_posts.contains(&format!("{PACKAGE}.{name}")));
    names.chain(files.flat_map(|file| &file.enum_type).map(|it| it.name())).collect()
}

/// Whether a field of `message`, or of a message declared in it, is one of the messages with these
/// names.
fn has_one_of(message: &DescriptorProto, names: &BTreeSet<String>) -> bool {
    message.field.iter().any(|field| names.contains(field.type_name()))
        || message.nested_type.iter().any(|nested| has_one_of(nested, names))
}
