//! The table in `docs/security.md`: who may call what. Each cell of it is a call, and each RPC of
//! the descriptors has a row.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use prost_reflect::{DescriptorPool, Kind};
use tempfile::tempdir;
use tonic::{Code, Status};
use whimbrel::api::DESCRIPTORS;
use whimbrel::auth::{ApiKeys, NewKey, Options, Role, Settings, access};
use whimbrel::model::UserId;

use super::issuer::NOW;
use crate::harness::wire::{Wire, frame};
use crate::harness::{Setup, refused};

/// What a cell of the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// Refused for want of a token.
    NoToken,
    /// Refused by the role.
    No,
    /// Answered for the caller, and refused for others.
    AsItself,
    /// Answered for every user, or about no user.
    Yes,
}

/// An RPC of the descriptors.
#[derive(Clone, Debug)]
struct Rpc {
    /// The service and the name, as in the table.
    name: String,
    path: String,
    /// Whether its first field is the user for whom it is called.
    is_for_user: bool,
}

fn rpcs() -> Vec<Rpc> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let services = pool.services().filter(|it| it.package_name() == "whimbrel.v1");
    let methods: Vec<_> = services.flat_map(|it| it.methods().collect::<Vec<_>>()).collect();
    let of = |it: prost_reflect::MethodDescriptor| {
        let service = it.parent_service().name().to_owned();
        let first = it.input().get_field(1);
        let is_for_user = first.is_some_and(|field| {
            matches!(field.kind(), Kind::String) && matches!(field.name(), "user_id" | "author_id")
        });
        let name = format!("{service}/{}", it.name());
        Rpc { path: format!("/whimbrel.v1.{name}"), name, is_for_user }
    };
    let rpcs: Vec<_> = methods.into_iter().map(of).collect();
    assert!(rpcs.len() > 30, "the descriptors were not read");
    rpcs
}

/// The rows of the table: a cell for nobody, and one for each role.
fn table() -> BTreeMap<String, Vec<Cell>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let text = fs::read_to_string(file).unwrap();
    let mut rows = BTreeMap::new();
    let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
    let head = format!("| RPC | nobody | {} |", names.join(" | "));
    let mut lines = text.lines().skip_while(|line| *line != head);
    assert!(lines.next().is_some(), "no line is {head:?}");
    for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().unwrap().trim_matches('`').to_owned();
        let cells = cells.map(|cell| match cell {
            "–" => Cell::NoToken,
            "no" => Cell::No,
            "itself" => Cell::AsItself,
            "yes" => Cell::Yes,
            other => panic!("{name}: {other:?} is no cell"),
        });
        assert!(rows.insert(name.clone(), cells.collect()).is_none(), "{name} is there twice");
    }
    rows
}

/// Every RPC has a row, in the table and in the program, and every row an RPC.
#[test]
fn every_rpc_has_a_row() {
    let table: Vec<String> = table().into_keys().collect();
    let mut rpcs: Vec<_> = rpcs().into_iter().map(|rpc| rpc.name).collect();
    rpcs.sort_unstable();
    assert_eq!(table, rpcs);
    let mut rows: Vec<_> =
        access::paths().filter_map(|it| it.strip_prefix("/whimbrel.v1.")).collect();
    rows.sort_unstable();
    assert_eq!(rows, rpcs);
    assert_eq!(access::of("/whimbrel.v1.FeedService/Unknown"), None);
}

/// A message whose first field is `user`, or one without fields.
fn message(rpc: &Rpc, user: &str) -> Vec<u8> {
    if rpc.is_for_user && !user.is_empty() {
        [&[0x0a, u8::try_from(user.len()).unwrap()], user.as_bytes()].concat()
    } else {
        Vec::new()
    }
}

/// What the server says of a call by its caller alone.
async fn verdict(wire: &Wire, rpc: &Rpc, key: Option<&str>, user: &str) -> Cell {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<(&'static str, &[u8])> =
        bearer.iter().map(|value| ("authorization", value.as_bytes())).collect();
    match wire.begins(&rpc.path, &headers, frame(&message(rpc, user))).await {
        Err(status) if status.code() == Code::Unauthenticated => {
            assert_eq!(reason(&status), "NO_TOKEN", "{status:?}");
            Cell::NoToken
        }
        Err(status) if status.code() == Code::PermissionDenied => match reason(&status).as_str() {
            "ROLE_NOT_ALLOWED" => Cell::No,
            "OTHER_USER" => Cell::AsItself,
            other => panic!("{rpc:?}: {other}"),
        },
        // Whatever else is wrong with an empty request, its caller is not.
        _ => Cell::Yes,
    }
}

fn reason(status: &Status) -> String {
    use tonic_types::StatusExt;

    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// Each cell of the table is what a server does.
#[tokio::test]
async fn each_cell_is_what_the_server_does() {
    let folder = tempdir().unwrap();
    let keys = Role::ALL.map(|role| {
        let user = role.is_one_user().then(|| UserId::parse("alice").unwrap());
        let new = NewKey { name: role.name().to_owned(), role, user, expires: None };
        ApiKeys::create(folder.path(), new, NOW).unwrap().1
    });
    let options = Options { settings: Settings::default(), development: false };
    let setup = Setup::new().authentication(options);
    let server = setup.start_on(std::sync::Arc::new(folder)).await;
    let wire = Wire::connect(server.address()).await;
    let table = table();
    for rpc in rpcs() {
        let cells = &table[&rpc.name];
        let callers = std::iter::once(None).chain(keys.iter().map(|key| Some(key.as_str())));
        for (at, key) in callers.enumerate() {
            let cell = cells[at];
            // For another user; then for itself, by name and by leaving the name out.
            let of_other = verdict(&wire, &rpc, key, "bob").await;
            let of_own = verdict(&wire, &rpc, key, "alice").await;
            let of_empty = verdict(&wire, &rpc, key, "").await;
            let wanted = match cell {
                Cell::AsItself => (Cell::AsItself, Cell::Yes, Cell::Yes),
                other => (other, other, other),
            };
            assert_eq!((of_other, of_own, of_empty), wanted, "{}, column {at}", rpc.name);
            assert!(cell != Cell::AsItself || rpc.is_for_user, "{}: as which user?", rpc.name);
        }
    }
}

/// A caller who is one user may leave their name out: the call is theirs.
#[tokio::test]
async fn the_name_of_the_caller_is_filled_in() {
    use prost::Message as _;
    use whimbrel::api::v1::{GetProfileRequest, GetProfileResponse, PublishRequest};

    let folder = tempdir().unwrap();
    let user = Some(UserId::parse("alice").unwrap());
    let new = NewKey { name: "phone".to_owned(), role: Role::User, user, expires: None };
    let key = ApiKeys::create(folder.path(), new, NOW).unwrap().1;
    let options = Options { settings: Settings::default(), development: false };
    let setup = Setup::new().authentication(options);
    let server = setup.start_on(std::sync::Arc::new(folder)).await;
    let wire = Wire::connect(server.address()).await;
    let bearer = format!("bearer {}", *key);
    let headers: [(&'static str, &[u8]); 1] = [("authorization", bearer.as_bytes())];

    let post = PublishRequest { text: "hello".to_owned(), ..Default::default() };
    let path = "/whimbrel.v1.FeedService/Publish";
    wire.call(path, &headers, frame(&post.encode_to_vec())).await.expect("alice publishes");
    let of = GetProfileRequest { of_user_id: "alice".to_owned(), ..Default::default() };
    let path = "/whimbrel.v1.GraphService/GetProfile";
    let answer = wire.call(path, &headers, frame(&of.encode_to_vec())).await.expect("a profile");
    let profile = GetProfileResponse::decode(&answer[5..]).unwrap();
    assert_eq!(profile.profile.expect("alice is known").post_count, 1);

    let of_bob = PublishRequest { author_id: "bob".to_owned(), ..post };
    let path = "/whimbrel.v1.FeedService/Publish";
    let call = wire.call(path, &headers, frame(&of_bob.encode_to_vec())).await;
    let refusal = refused(call).with(Code::PermissionDenied, "OTHER_USER");
    assert_eq!(refusal.metadata()["user_id"], "alice");
}

/// The header is refused unless it is one bearer token, and health needs none.
#[tokio::test]
async fn the_header_is_one_bearer_token() {
    let options = Options { settings: Settings::default(), development: false };
    let server = Setup::new().authentication(options).start().await;
    let wire = Wire::connect(server.address()).await;
    let path = "/whimbrel.v1.FeedService/NewsFeed";
    let one: [&[u8]; 6] =
        [b"", b"Bearer", b"Bearer ", b"Basic YTpi", b"Bearer a b", b"Bearer \xe9"];
    for value in one {
        let call = wire.call(path, &[("authorization", value)], frame(b"")).await;
        refused(call).with(Code::Unauthenticated, "INVALID_TOKEN");
    }
    let two: [(&'static str, &[u8]); 2] =
        [("authorization", b"Bearer a"), ("authorization", b"Bearer a")];
    refused(wire.call(path, &two, frame(b"")).await).with(Code::Unauthenticated, "INVALID_TOKEN");
    refused(wire.call("/whimbrel.v1.FeedService/Nothing", &two, frame(b"")).await)
        .with(Code::Unimplemented, "UNSUPPORTED");
    wire.call("/grpc.health.v1.Health/Check", &two, frame(b"")).await.expect("health is for all");
}
