//! The table in `docs/security.md`: who may call what. Each cell of it is a call, and each RPC of
//! the descriptors has a row.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use prost_reflect::{DescriptorPool, Kind};
use tempfile::tempdir;
use tonic::{Code, Status};
use whimbrel::api::DESCRIPTORS;
use whimbrel::auth::{ApiKeys, NewKey, Options, Role, Settings, access};
use whimbrel::model::UserId;
use whimbrel::runtime::Clock;

use super::issuer::{self, NOW, SigningKey, claims};
use crate::harness::tls::{CertificateFiles, TestAuthority};
use crate::harness::wire::{PUBLISH, Wire, frame};
use crate::harness::{Setup, TestServer, refused};

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
        let is_for_user = first
            .is_some_and(|field| matches!(field.kind(), Kind::String) && field.name() == "user_id");
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

/// A caller of one column, by how it is known: over a connection, with or without a token.
struct Column {
    wire: Wire,
    token: Option<String>,
}

/// Checks each cell of a kind of callers: one for nobody, and one for each role.
async fn hold_the_table(kind: &str, columns: &[Column]) {
    let table = table();
    for rpc in rpcs() {
        let cells = &table[&rpc.name];
        assert_eq!(cells.len(), columns.len(), "{}", rpc.name);
        for (at, (cell, Column { wire, token })) in cells.iter().zip(columns).enumerate() {
            // For another user; then for itself, by name and by leaving the name out.
            let of_other = verdict(wire, &rpc, token.as_deref(), "bob").await;
            let of_own = verdict(wire, &rpc, token.as_deref(), "alice").await;
            let of_empty = verdict(wire, &rpc, token.as_deref(), "").await;
            let wanted = match *cell {
                Cell::AsItself => (Cell::AsItself, Cell::Yes, Cell::Yes),
                other => (other, other, other),
            };
            let got = (of_other, of_own, of_empty);
            assert_eq!(got, wanted, "{}, column {at}, by {kind}", rpc.name);
            assert!(*cell != Cell::AsItself || rpc.is_for_user, "{}: as which user?", rpc.name);
        }
    }
}

/// The URI in the certificate of a client with this role.
fn certificate_name(role: Role) -> String {
    format!("spiffe://example.org/{role}")
}

/// A server that knows callers by API keys, tokens and certificates, with one of each for each role.
struct World {
    server: TestServer,
    authority: TestAuthority,
    certificates: [CertificateFiles; 6],
    api_keys: [String; 6],
    tokens: [String; 6],
}

impl World {
    async fn start() -> Self {
        let folder = tempdir().unwrap();
        let user = |role: Role| role.is_one_user().then_some("alice");
        let api_keys = Role::ALL.map(|role| {
            let user = user(role).map(|user| UserId::parse(user).unwrap());
            let new = NewKey { name: role.name().to_owned(), role, user, expires: None };
            ApiKeys::create(folder.path(), new, NOW).unwrap().1.to_string()
        });
        let key = SigningKey::new(Algorithm::ES256, "1");
        let tokens = Role::ALL.map(|role| {
            let mut claims = claims("alice", NOW);
            claims["scope"] = role.name().into();
            key.sign(&claims)
        });
        let roles = Role::ALL.map(|role| format!("{role} = '{role}'")).join(", ");
        let mut text = format!("roles = {{ {roles} }}\n");
        for role in Role::ALL {
            let name = certificate_name(role);
            let user = user(role).map_or_else(String::new, |user| format!("user = '{user}'\n"));
            text += &format!("[[certificate]]\nname = '{name}'\nrole = '{role}'\n{user}");
        }
        let settings = issuer::settings(folder.path(), &[&key], &text);
        let authority = TestAuthority::new();
        let certificates = Role::ALL.map(|role| authority.signs(&[&certificate_name(role)]));
        let transport = authority.signs_server().transport_for(&authority, true, None);
        let setup = Setup::new()
            .clock(&Clock::held_at(Duration::from_secs(NOW)))
            .authentication(Options { settings, development: false })
            .transport(transport)
            // The table is of roles; quotas have tests of their own.
            .limits(|limits| {
                limits.user_reads_per_second_max = 100_000;
                limits.user_changes_per_second_max = 100_000;
                limits.user_streams_per_second_max = 100_000;
            });
        let server = setup.start_on(Arc::new(folder)).await;
        Self { server, authority, certificates, api_keys, tokens }
    }

    async fn connect(&self, certificate: Option<&CertificateFiles>) -> Wire {
        self.authority.speaks(self.server.address(), certificate).await.expect("a connection")
    }

    /// Nobody, and a caller of each role with a token or key of `tokens`.
    async fn with_tokens(&self, tokens: &[String; 6]) -> Vec<Column> {
        let mut columns = Vec::new();
        for token in std::iter::once(None).chain(tokens.iter().cloned().map(Some)) {
            columns.push(Column { wire: self.connect(None).await, token });
        }
        columns
    }

    async fn with_certificates(&self) -> Vec<Column> {
        let mut columns = Vec::new();
        for certificate in std::iter::once(None).chain(self.certificates.iter().map(Some)) {
            columns.push(Column { wire: self.connect(certificate).await, token: None });
        }
        columns
    }
}

/// Each cell of the table is what a server does, however it knows its callers.
#[tokio::test]
async fn each_cell_is_what_the_server_does() {
    let world = World::start().await;
    hold_the_table("API key", &world.with_tokens(&world.api_keys).await).await;
    hold_the_table("token", &world.with_tokens(&world.tokens).await).await;
    hold_the_table("certificate", &world.with_certificates().await).await;
}

/// Of a token and a certificate the token counts: it gives neither more nor less for a certificate
/// that comes with it, and one that is not accepted is refused.
#[tokio::test]
async fn a_token_goes_before_a_certificate() {
    let world = World::start().await;
    for (certificate, token, cell) in
        [(Role::Admin, Role::UserReader, Cell::No), (Role::ServiceReader, Role::Service, Cell::Yes)]
    {
        let at = |role| Role::ALL.iter().position(|other| *other == role).unwrap();
        let wire = world.connect(Some(&world.certificates[at(certificate)])).await;
        let publish = rpcs().into_iter().find(|rpc| rpc.path == PUBLISH).unwrap();
        for tokens in [&world.tokens, &world.api_keys] {
            let given = Some(tokens[at(token)].as_str());
            assert_eq!(verdict(&wire, &publish, given, "bob").await, cell, "{token}");
        }
        let headers: [(&'static str, &[u8]); 1] = [("authorization", b"Bearer whk_none_such")];
        let refusal = wire.call(PUBLISH, &headers, frame(&message(&publish, "bob"))).await;
        refused(refusal).with(Code::Unauthenticated, "INVALID_TOKEN");
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

    let of_bob = PublishRequest { user_id: "bob".to_owned(), ..post };
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
