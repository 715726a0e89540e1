//! A server with something in every list, so that every request has a good form and every list a
//! second page. Never makes a bad request.

use std::collections::HashMap;

use prost::Message as _;
use prost_reflect::DynamicMessage;
use whimbrel::api::v1::ListSegmentsRequest;
use whimbrel::api::v1::admin_service_client::AdminServiceClient;

use super::good;
use super::rpcs::{Rpc, rpcs};
use crate::harness::TestServer;
use crate::harness::wire::{Wire, frame};

/// Connections, each with one call at a time: the server has always something to do.
const CONNECTIONS: usize = 16;
/// Bytes before a message in its frame.
const PREFIX_BYTES: usize = 5;

/// What the good values of fields are taken from.
#[derive(Debug)]
pub(super) struct World {
    pub(super) server: TestServer,
    pub(super) wires: Vec<Wire>,
    /// A post of alice that everybody likes, reposts, answers and quotes.
    pub(super) known: String,
    /// A post of alice to which nobody reacted.
    pub(super) fresh: String,
    /// A post of alice that nothing else uses.
    pub(super) doomed: String,
    pub(super) cursor: String,
    /// The segment of the log.
    pub(super) segment_id: String,
    /// The token of the second page of each list, by its RPC.
    pub(super) page_tokens: HashMap<String, String>,
}

impl World {
    pub(super) async fn new() -> Self {
        // The streams of accepted requests end a moment after their clients have gone.
        let server = TestServer::limited(|limits| {
            limits.streams_per_user_max = 10_000;
            limits.segment_reads_max = 1_000;
        })
        .await;
        let mut wires = Vec::new();
        for _ in 0..CONNECTIONS {
            wires.push(Wire::connect(server.address()).await);
        }
        let alice = server.user("alice");
        let mut ids = Vec::new();
        for text in ["known", "fresh", "doomed"] {
            ids.push(alice.publishes(text).await.post_id);
        }
        let [known, fresh, doomed] = ids.try_into().expect("three posts");
        let cursor = server.position().await;
        let (segment_id, page_tokens) = (String::new(), HashMap::new());
        let mut world =
            Self { server, wires, known, fresh, doomed, cursor, segment_id, page_tokens };
        world.fill().await;
        let mut admin = AdminServiceClient::new(world.server.channel());
        let list = admin.list_segments(ListSegmentsRequest {}).await.expect("a list");
        world.segment_id = list.into_inner().segments[0].segment_id.clone();
        world.cursor = world.server.position().await;
        for rpc in rpcs().into_iter().filter(Rpc::has_pages) {
            let token = world.next_page_token(&rpc).await;
            world.page_tokens.insert(rpc.name.clone(), token);
        }
        world
    }

    /// Two of everything that is listed, and one of everything that can be taken back.
    async fn fill(&self) {
        for (user, other) in
            [("bob", "alice"), ("grace", "alice"), ("alice", "bob"), ("alice", "grace")]
        {
            self.server.user(user).follows(other).await;
        }
        let post = ("post_id", self.known.as_str());
        for user in ["alice", "bob", "grace"] {
            self.make("PostService/Like", user, &[post]).await;
            self.make("PostService/Repost", user, &[post]).await;
            let reply = [("text", "a reply"), ("reply_to_post_id", self.known.as_str())];
            self.make("FeedService/Publish", user, &reply).await;
            let quote = [("text", "a quote"), ("quote_post_id", self.known.as_str())];
            self.make("FeedService/Publish", user, &quote).await;
        }
        for other in ["erin", "heidi"] {
            self.make("GraphService/Block", "alice", &[("blocked_id", other)]).await;
        }
        for other in ["frank", "ivan"] {
            self.make("GraphService/Mute", "alice", &[("muted_id", other)]).await;
        }
    }

    /// Makes a change as `user`, with these fields.
    async fn make(&self, name: &str, user: &str, fields: &[(&str, &str)]) {
        let rpc = rpcs().into_iter().find(|rpc| rpc.name == name).expect("an RPC");
        let mut request = DynamicMessage::new(rpc.input.clone());
        let first = rpc.input.get_field(1).expect("a field for the user");
        for (field, value) in [(first.name(), user)].into_iter().chain(fields.iter().copied()) {
            request.set_field_by_name(field, prost_reflect::Value::String(value.to_owned()));
        }
        let call = self.wires[0].call(&rpc.path, &[], frame(&request.encode_to_vec())).await;
        call.unwrap_or_else(|status| panic!("{name} {fields:?}: {status:?}"));
    }

    /// The token of the second page that the good request for the first one leads to.
    async fn next_page_token(&self, rpc: &Rpc) -> String {
        let request = good::request(rpc, self).encode_to_vec();
        let answer = self.wires[0].call(&rpc.path, &[], frame(&request)).await;
        let answer = answer.unwrap_or_else(|status| panic!("{}: {status:?}", rpc.name));
        let answer = DynamicMessage::decode(rpc.output.clone(), &answer[PREFIX_BYTES..]);
        let answer = answer.expect("an answer of its type");
        let token = answer.get_field_by_name("next_page_token").expect("a list has pages");
        let token = token.as_str().expect("a text").to_owned();
        assert!(!token.is_empty(), "{}: put a second entry into this list of the world", rpc.name);
        token
    }
}
