//! The real program on a disk that fails. Never cuts the power.

use whimbrel::api::v1::PublishRequest;
use whimbrel::client::Client;
use whimbrel::storage::{LocalLog, Log};

use crate::harness::LOG_OPTIONS;
use crate::server::process::ServerProcess;

/// The first segment of a server's log has 1 MiB, and the second has more than this.
const FILE_KIB_MAX: u32 = 1 << 10;

/// The program ends on a failing disk with a code and a message. Started on a good disk it has all
/// acknowledged changes.
#[test]
fn a_failing_disk_ends_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start_on_failing_disk(folder.path(), FILE_KIB_MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let acknowledged = runtime.block_on(async {
        let client = Client::connect(&server.address().to_string()).await.unwrap();
        let mut acknowledged = 0;
        loop {
            let request = PublishRequest {
                user_id: "alice".to_owned(),
                text: "👩‍👩‍👧‍👦".repeat(100),
                ..PublishRequest::default()
            };
            match client.publish(request).await {
                Ok(published) => acknowledged = published.post.unwrap().revision,
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    break acknowledged;
                }
            }
        }
    });
    let (code, output) = server.ended();
    assert_eq!(code, Some(5), "{output}");
    assert!(output.contains(".seg"), "the message names the file: {output}");

    let found = LocalLog::open(folder.path(), LOG_OPTIONS).unwrap().head().get();
    assert!((acknowledged..=acknowledged + 1).contains(&found), "{acknowledged} {found}");
    assert!(acknowledged > 100, "{acknowledged}");
    let server = ServerProcess::start(folder.path());
    assert_eq!(server.terminate(), Some(0));
}
