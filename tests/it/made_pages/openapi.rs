//! The description of the API for tools that know OpenAPI, made from the descriptors of the protos: the calls in JSON, by
//! Connect and as server-sent events. The console is made of it, too. Never says what no proto says.

use std::collections::BTreeMap;

use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{
    EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};
use serde_json::{Map, Value, json};

use super::comments::{PACKAGE, comment, pool};
use super::hold;

const FILE: &str = "docs/openapi.json";
const VERSION: &str = "3.1.0";
/// The names of all codes in Connect.
const CODES: [&str; 16] = [
    "canceled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];
/// The streams that a browser's own `EventSource` reads, with their short paths.
const EVENTS: [(&str, &str); 2] = [
    ("feeds", "FeedService/WatchFeed"),
    ("notifications", "NotificationService/WatchNotifications"),
];

/// Required fields of users, and the form of their ids: see `UserId`.
const USERS: [&str; 4] = ["followee_id", "blocked_id", "muted_id", "author_id"];
const USER_ID: &str = "^(?!@)(?=.*[A-Za-z0-9])[!#-&(-;=?-\\[\\]-_a-~]{1,128}$";

/// The file is what the protos say.
#[test]
fn the_description_is_what_the_protos_say() {
    let text = serde_json::to_string_pretty(&description()).unwrap() + "\n";
    hold(&BTreeMap::from([(FILE.to_owned(), text)]));
}

/// Every reference in it leads to a schema, and every schema is used.
#[test]
fn its_references_lead_somewhere() {
    let all = description();
    let schemas = all["components"]["schemas"].as_object().unwrap();
    let mut used: Vec<String> = Vec::new();
    let mut values = vec![&all];
    while let Some(value) = values.pop() {
        match value {
            Value::Object(fields) => {
                let of =
                    fields.get("$ref").or_else(|| fields.get("x-response")).and_then(Value::as_str);
                used.extend(of.map(|of| of.rsplit('/').next().unwrap().to_owned()));
                values.extend(fields.values());
            }
            Value::Array(items) => values.extend(items),
            _ => {}
        }
    }
    assert!(used.len() > 100, "no references were found: {used:?}");
    let missing: Vec<_> = used.iter().filter(|name| !schemas.contains_key(*name)).collect();
    assert!(missing.is_empty(), "no schemas: {missing:?}");
    let unused: Vec<_> = schemas.keys().filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "nothing uses {unused:?}");
}

fn services() -> impl Iterator<Item = ServiceDescriptor> {
    pool()
        .services()
        .filter(|service| service.parent_file().package_name() == PACKAGE)
        .collect::<Vec<_>>()
        .into_iter()
}

fn description() -> Value {
    let mut schemas = Map::from_iter([("Error".to_owned(), error())]);
    let mut paths = Map::new();
    for rpc in services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        for message in [rpc.input(), rpc.output()] {
            add_message(&message, &mut schemas);
        }
        let path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name());
        let mut operations = json!({ "post": operation(&rpc) });
        if is_safe(&rpc) && !rpc.is_server_streaming() {
            operations["get"] = by_get(&rpc);
        }
        paths.insert(path, operations);
    }
    for (name, rpc) in EVENTS {
        paths.insert(format!("/v1/{name}/{{user}}/events"), json!({ "get": events(rpc) }));
    }
    let tags = services().map(|service| {
        json!({
            "name": service.name(),
            "description": comment(&service.parent_file(), service.path()),
        })
    });
    json!({
        "openapi": VERSION,
        "info": {
            "title": "Whimbrel",
            "version": "v1",
            "summary": "A social-feed server: the calls in JSON.",
            "description": "Each call is a POST of its request in ProtoJSON (https://connectrpc.com/docs/protocol). The same \
                            calls are there by gRPC, for which the protos are the description. Calls that are answered \
                            with a stream frame their messages (`application/connect+json`), which OpenAPI cannot say.",
            "license": { "name": "MIT or Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:50051" }],
        "security": [{}, { "token": [] }],
        "tags": tags.collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "A token of an identity provider, or an API key. Needed only by servers that ask who calls.",
            } },
        },
    })
}

fn is_safe(rpc: &MethodDescriptor) -> bool {
    let proto = rpc.method_descriptor_proto();
    let level = proto.options.as_ref().map(|options| options.idempotency_level());
    level == Some(IdempotencyLevel::NoSideEffects)
}

fn operation(rpc: &MethodDescriptor) -> Value {
    let media_type =
        if rpc.is_server_streaming() { "application/connect+json" } else { "application/json" };
    let mut operation = common(rpc, "");
    operation["requestBody"] = json!({ "required": true, "content": { media_type: { "schema": reference(rpc.input().full_name()) } } });
    operation["responses"] = responses(media_type, &reference(rpc.output().full_name()));
    operation["x-response"] = json!(rpc.output().full_name());
    operation["x-stream"] = json!(rpc.is_server_streaming());
    operation["x-safe"] = json!(is_safe(rpc));
    operation
}

fn by_get(rpc: &MethodDescriptor) -> Value {
    let mut operation = common(rpc, "_get");
    operation["parameters"] = json!([
        parameter("encoding", "query", "The form of `message`.", json!({ "const": "json" })),
        parameter(
            "message",
            "query",
            "The request, in JSON.",
            json!({
                "type": "string", "contentMediaType": "application/json",
                "contentSchema": reference(rpc.input().full_name()),
            })
        ),
    ]);
    operation["responses"] = responses("application/json", &reference(rpc.output().full_name()));
    operation
}

/// A stream as events. Each field of its request is a parameter; its user is in the path.
fn events(name: &str) -> Value {
    let mut rpcs = services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let full_name = format!("{PACKAGE}.{}", name.replace('/', "."));
    let rpc = rpcs.find(|rpc| rpc.full_name() == full_name).expect("it is an RPC");
    let mut operation = common(&rpc, "_events");
    let mut parameters = Vec::new();
    for field in rpc.input().fields() {
        let text = comment(&field.parent_message().parent_file(), field.path());
        parameters.push(match field.name() {
            "user_id" => parameter("user", "path", &text, json!({ "type": "string" })),
            "snapshot" => parameter("snapshot", "query", &text, json!({ "type": "integer" })),
            name => parameter(name, "query", &text, of_kind(&field.kind())),
        });
    }
    let resumed = "The id of the last event that is known: the stream goes on after it.";
    parameters.push(parameter("Last-Event-ID", "header", resumed, json!({ "type": "string" })));
    operation["parameters"] = json!(parameters);
    operation["responses"] = responses("text/event-stream", &json!({ "type": "string" }));
    operation
}

fn parameter(name: &str, place: &str, text: &str, schema: Value) -> Value {
    let is_required = place == "path" || matches!(name, "encoding" | "message");
    json!({ "name": name, "in": place, "description": text, "required": is_required, "schema": schema })
}

fn common(rpc: &MethodDescriptor, suffix: &str) -> Value {
    let service = rpc.parent_service();
    let text = comment(&service.parent_file(), rpc.path());
    let summary =
        text.split("\n\n").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    json!({
        "operationId": format!("{}_{}{suffix}", service.name(), rpc.name()),
        "tags": [service.name()],
        "summary": summary,
        "description": text,
    })
}

fn responses(media_type: &str, schema: &Value) -> Value {
    json!({
        "200": { "description": "It is done.", "content": { media_type: { "schema": schema } } },
        "default": {
            "description": "An error. Its reason is in `details`.",
            "content": { "application/json": { "schema": reference("Error") } },
        },
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "description": "An error, by https://connectrpc.com/docs/protocol#error-end-stream.",
        "required": ["code"],
        "properties": {
            "code": { "type": "string", "enum": CODES },
            "message": { "type": "string", "description": "For people." },
            "details": {
                "type": "array",
                "description": "A `google.rpc.ErrorInfo` with the reason, and others.",
                "items": {
                    "type": "object",
                    "required": ["type", "value"],
                    "properties": {
                        "type": { "type": "string", "description": "The name of its message." },
                        "value": { "type": "string", "contentEncoding": "base64" },
                        "debug": { "type": "object", "description": "The same in JSON." },
                    },
                },
            },
        },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn add_message(message: &MessageDescriptor, schemas: &mut Map<String, Value>) {
    let name = message.full_name();
    if message.parent_file().package_name() != PACKAGE || schemas.contains_key(name) {
        return;
    }
    // Its place is taken before its fields lead back to it.
    schemas.insert(name.to_owned(), Value::Null);
    let fields = message.fields().map(|field| (field.json_name().to_owned(), of_field(&field)));
    let fields: Map<_, _> = fields.collect();
    let mut schema = json!({
        "type": "object",
        "description": comment(&message.parent_file(), message.path()),
    });
    if !fields.is_empty() {
        schema["properties"] = Value::Object(fields);
    }
    let required: Vec<_> = message.fields().filter(is_required).collect();
    if !required.is_empty() {
        let names = required.iter().map(FieldDescriptor::json_name);
        schema["required"] = json!(names.collect::<Vec<_>>());
    }
    for field in required.iter().filter(|field| USERS.contains(&field.name())) {
        schema["properties"][field.json_name()]["pattern"] = json!(USER_ID);
    }
    schemas.insert(name.to_owned(), schema);
    for field in message.fields() {
        match field.kind() {
            Kind::Message(inner) => add_message(&inner, schemas),
            Kind::Enum(values) => add_enum(&values, schemas),
            _ => {}
        }
    }
}

/// Whether a request without the field is refused, as its comment says. The caller's token may stand for `user_id`.
fn is_required(field: &FieldDescriptor) -> bool {
    let text = comment(&field.parent_message().parent_file(), field.path());
    let says_so = ["Required.", "Required;"].iter().any(|words| text.contains(words));
    says_so && field.name() != "user_id"
}

fn add_enum(values: &EnumDescriptor, schemas: &mut Map<String, Value>) {
    let file = values.parent_file();
    let lines = values.values().map(|value| {
        let text = comment(&file, value.path()).split_whitespace().collect::<Vec<_>>().join(" ");
        format!("- `{}`: {text}", value.name())
    });
    let text =
        format!("{}\n\n{}", comment(&file, values.path()), lines.collect::<Vec<_>>().join("\n"));
    let names: Vec<_> = values.values().map(|value| value.name().to_owned()).collect();
    let schema = json!({ "type": "string", "enum": names, "description": text });
    schemas.insert(values.full_name().to_owned(), schema);
}

fn of_field(field: &FieldDescriptor) -> Value {
    let mut schema = of_kind(&field.kind());
    if field.is_list() {
        schema = json!({ "type": "array", "items": schema });
    }
    let mut text = comment(&field.parent_message().parent_file(), field.path());
    if let Some(group) = field.containing_oneof().filter(|group| !group.is_synthetic()) {
        text = format!("One of `{}`. {text}", group.name());
    }
    schema["description"] = json!(text);
    schema
}

/// The form of a value in ProtoJSON.
fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Duration" => {
                json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,9})?s$", "examples": ["20s", "0.5s"] })
            }
            "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
            name => reference(name),
        },
        Kind::Enum(values) => reference(values.full_name()),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::String => json!({ "type": "string" }),
        Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Int32 => json!({ "type": "integer", "format": "int32" }),
        Kind::Uint32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
        // A number of JSON has 53 bits.
        Kind::Int64 => json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]+$" }),
        Kind::Uint64 => json!({ "type": "string", "format": "uint64", "pattern": "^[0-9]+$" }),
        other => unreachable!("no message has a field of {other:?} yet"),
    }
}
