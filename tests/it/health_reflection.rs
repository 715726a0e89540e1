//! What tools look at: health, reflection, and what is said while the server stops.

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

/// Health is told for the server as a whole and for its service, and for nothing else.
#[tokio::test]
async fn a_server_that_runs_says_so() {
    let server = TestServer::start().await;
    for service in ["", FEED_SERVICE] {
        assert_eq!(health(server.channel(), service).await, ServingStatus::Serving);
    }
    let request = HealthCheckRequest { service: "whimbrel.v1.NoService".to_owned() };
    let unknown = HealthClient::new(server.channel()).check(request).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}

/// Who watches the health hears of the stop, and does not hold it up.
#[tokio::test]
async fn health_watchers_hear_of_the_stop() {
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

/// While the server stops, health says NOT_SERVING, and a call that comes over a connection that
/// is still open is told to go elsewhere, without effect.
#[tokio::test]
async fn calls_are_told_that_the_server_stops() {
    let mut server = TestServer::start().await;
    let (feed_gate, health_gate) =
        (Gate::before(server.address()).await, Gate::before(server.address()).await);
    let (mut feed, health_channel) =
        (FeedServiceClient::new(feed_gate.channel()), health_gate.channel());
    let before = feed.news_feed(read("alice")).await.unwrap().into_inner().cursor;
    assert_eq!(health(health_channel.clone(), "").await, ServingStatus::Serving);
    let mut bystander = server.user("bob").watches().await;
    bystander.opened().await;

    // The clients behind the gates do not hear yet that they are to connect elsewhere.
    feed_gate.hold();
    health_gate.hold();
    server.begin_to_stop();
    bystander.closing().await;
    let post = PublishRequest {
        author_id: "alice".to_owned(),
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

/// Tools without the proto files can ask for the services, in the present protocol and in the
/// older one.
#[tokio::test]
async fn reflection_lists_the_services() {
    let server = TestServer::start().await;
    let expected = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", FEED_SERVICE];
    let listed = services_v1(server.channel()).await;
    assert!(expected.iter().all(|name| listed.iter().any(|it| it == name)), "{listed:?}");
    let listed = services_v1alpha(server.channel()).await;
    assert!(listed.iter().any(|name| name == FEED_SERVICE), "{listed:?}");
}

async fn health(channel: Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut client = HealthClient::new(channel);
    let answer = within("an answer about health", client.check(request)).await;
    answer.expect("health is told").into_inner().status()
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
