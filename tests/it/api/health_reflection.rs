//! Health and reflection, and their responses while the server stops.

use tokio_stream::once;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};
use whimbrel::api::v1::PublishRequest;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;

use crate::harness::{Gate, TestServer, refused, within};

const FEED_SERVICE: &str = "whimbrel.v1.FeedService";

/// Health is reported for the server and for its services, and for no other name.
#[tokio::test]
async fn a_running_server_is_serving() {
    let server = TestServer::start().await;
    for service in ["", FEED_SERVICE] {
        assert_eq!(health(server.channel(), service).await, ServingStatus::Serving);
    }
    let request = HealthCheckRequest { service: "whimbrel.v1.NoService".to_owned() };
    let unknown = HealthClient::new(server.channel()).check(request).await;
    let refusal = refused(unknown).with(Code::NotFound, "SERVICE_NOT_FOUND");
    assert_eq!(refusal.metadata()["service"], "whimbrel.v1.NoService");
    // An error does not repeat a name that does not fit into headers.
    let request = HealthCheckRequest { service: "x".repeat(60_000) };
    let unknown = HealthClient::new(server.channel()).check(request).await;
    refused(unknown).with(Code::NotFound, "SERVICE_NOT_FOUND");
}

/// A watch of an unknown service gets SERVICE_UNKNOWN, and stays open until the server stops.
#[tokio::test]
async fn an_unknown_service_can_be_watched() {
    let server = TestServer::start().await;
    let request = HealthCheckRequest { service: "whimbrel.v1.NoService".to_owned() };
    let mut watch = HealthClient::new(server.channel()).watch(request).await.unwrap().into_inner();
    let first = within("the first status", watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    server.begin_to_stop();
    let next = within("the end of the watch", watch.message()).await;
    assert!(matches!(next, Ok(None) | Err(_)), "{next:?}");
    server.stop().await;
}

/// Health watchers get NOT_SERVING when the server stops, and do not delay the stop.
#[tokio::test]
async fn health_watchers_are_notified_of_a_stop() {
    let server = TestServer::start().await;
    let request = HealthCheckRequest { service: FEED_SERVICE.to_owned() };
    let mut watch = HealthClient::new(server.channel()).watch(request).await.unwrap().into_inner();
    let mut statuses = Vec::new();
    server.begin_to_stop();
    while let Ok(Some(status)) = within("a change of health", watch.message()).await {
        statuses.push(status.status());
    }
    assert_eq!(statuses.first(), Some(&ServingStatus::Serving), "{statuses:?}");
    server.stop().await;
}

/// While the server stops, health is NOT_SERVING, and a call over a connection that is still open
/// is refused with a delay, without effect.
#[tokio::test]
async fn calls_during_a_stop_are_refused_without_effect() {
    let mut server = TestServer::start().await;
    let (feed_gate, health_gate) =
        (Gate::before(server.address()).await, Gate::before(server.address()).await);
    let (mut feed, health_channel) =
        (FeedServiceClient::new(feed_gate.channel()), health_gate.channel());
    let before = feed.news_feed(read("alice")).await.unwrap().into_inner().cursor;
    assert_eq!(health(health_channel.clone(), "").await, ServingStatus::Serving);
    let mut bystander = server.user("bob").watches().await;
    bystander.opened().await;

    // The gates hold back the GOAWAY, so the clients do not reconnect.
    feed_gate.hold();
    health_gate.hold();
    server.begin_to_stop();
    bystander.closing().await;
    let post = PublishRequest {
        user_id: "alice".to_owned(),
        text: "too late".to_owned(),
        ..PublishRequest::default()
    };
    let call = feed_gate.release_once_asked(feed.publish(post)).await;
    refused(call).with(Code::Unavailable, "DRAINING").with_a_delay();
    let serving = health_gate.release_once_asked(health(health_channel, "")).await;
    assert_eq!(serving, ServingStatus::NotServing);

    server.restart().await;
    assert_eq!(server.user("alice").page(0, "").await.cursor, before);
}

/// Tools without the proto files can list the services, by both versions of the protocol.
#[tokio::test]
async fn reflection_lists_the_services() {
    let server = TestServer::start().await;
    let expected = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", FEED_SERVICE];
    let listed = services_v1(server.channel()).await;
    assert!(expected.iter().all(|name| listed.iter().any(|it| it == name)), "{listed:?}");
    let listed = services_v1alpha(server.channel()).await;
    assert!(listed.iter().any(|name| name == FEED_SERVICE), "{listed:?}");
}

/// A request for an unknown name gets an error with a code and a message, and the stream continues,
/// in both versions of the protocol.
#[tokio::test]
async fn reflection_answers_unknown_names_with_an_error() {
    use v1::server_reflection_client::ServerReflectionClient;
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;

    let server = TestServer::start().await;
    let questions = [
        (Some(MessageRequest::FileContainingSymbol("whimbrel.v1.No".to_owned())), Code::NotFound),
        (Some(MessageRequest::FileByFilename("no.proto".to_owned())), Code::NotFound),
        (None, Code::InvalidArgument),
    ];
    let host = "a host".to_owned();
    let question =
        |message_request| v1::ServerReflectionRequest { host: host.clone(), message_request };
    let asked: Vec<_> = questions.iter().map(|(asked, _)| question(asked.clone())).collect();
    let last = question(Some(MessageRequest::ListServices(String::new())));
    let all = tokio_stream::iter(asked.clone().into_iter().chain([last]));
    let call = ServerReflectionClient::new(server.channel()).server_reflection_info(all).await;
    let mut answers = call.unwrap().into_inner();
    for (asked, (_, code)) in asked.into_iter().zip(questions) {
        let answer = within("an answer", answers.message()).await.unwrap().unwrap();
        assert_eq!((&answer.valid_host, answer.original_request), (&host, Some(asked)));
        let Some(MessageResponse::ErrorResponse(error)) = answer.message_response else {
            panic!("no error: {:?}", answer.message_response)
        };
        assert_eq!(Code::from(error.error_code), code, "{error:?}");
        assert!(!error.error_message.is_empty());
    }
    let answer = within("an answer", answers.message()).await.unwrap().unwrap();
    assert!(matches!(answer.message_response, Some(MessageResponse::ListServicesResponse(_))));
    assert!(answers.message().await.unwrap().is_none());

    let question = v1alpha::ServerReflectionRequest {
        host,
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileByFilename(
            "no".to_owned(),
        )),
    };
    use v1alpha::server_reflection_client::ServerReflectionClient as AlphaClient;
    let call = AlphaClient::new(server.channel()).server_reflection_info(once(question)).await;
    let answer = call.unwrap().into_inner().message().await.unwrap().unwrap();
    let answer = answer.message_response;
    use v1alpha::server_reflection_response::MessageResponse as AlphaResponse;
    assert!(matches!(answer, Some(AlphaResponse::ErrorResponse(_))), "{answer:?}");
}

/// An open reflection stream does not delay a stop.
#[tokio::test]
async fn an_open_reflection_stream_ends_with_the_server() {
    use v1::server_reflection_client::ServerReflectionClient;

    let server = TestServer::limited(|limits| {
        limits.drain_time_max = std::time::Duration::from_secs(3_600);
    })
    .await;
    let (_open, questions) = tokio::sync::mpsc::channel::<v1::ServerReflectionRequest>(1);
    let questions = futures_of(questions);
    let call =
        ServerReflectionClient::new(server.channel()).server_reflection_info(questions).await;
    let mut answers = call.unwrap().into_inner();
    server.begin_to_stop();
    let ended = within("the end of the stream", answers.message()).await;
    refused(ended).with(Code::Unavailable, "DRAINING").with_a_delay();
    server.stop().await;
}

fn futures_of<T>(mut from: tokio::sync::mpsc::Receiver<T>) -> impl tokio_stream::Stream<Item = T> {
    async_stream::stream! {
        while let Some(item) = from.recv().await {
            yield item;
        }
    }
}

async fn health(channel: Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut client = HealthClient::new(channel);
    let answer = within("an answer about health", client.check(request)).await;
    answer.expect("health is reported").into_inner().status()
}

fn read(name: &str) -> whimbrel::api::v1::NewsFeedRequest {
    whimbrel::api::v1::NewsFeedRequest { user_id: name.to_owned(), ..Default::default() }
}

async fn services_v1(channel: Channel) -> Vec<String> {
    use v1::server_reflection_client::ServerReflectionClient;
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;

    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = v1::ServerReflectionRequest { host: String::new(), message_request };
    let call = ServerReflectionClient::new(channel).server_reflection_info(once(request)).await;
    let answer = call.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list of services: {answer:?}")
    };
    list.service.into_iter().map(|service| service.name).collect()
}

async fn services_v1alpha(channel: Channel) -> Vec<String> {
    use v1alpha::server_reflection_client::ServerReflectionClient;
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;

    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request };
    let call = ServerReflectionClient::new(channel).server_reflection_info(once(request)).await;
    let answer = call.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list of services: {answer:?}")
    };
    list.service.into_iter().map(|service| service.name).collect()
}
