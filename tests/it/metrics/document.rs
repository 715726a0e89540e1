//! `docs/metrics.md` is made of the metrics of a server, so it has all of them and no other.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use whimbrel::runtime::metrics::{Kind, Metric};
use whimbrel::server::Server;

use crate::harness::Setup;

const FILE: &str = "docs/metrics.md";
/// Set to write the file again.
const WRITE: &str = "WRITE_DOCS";

const HEAD: &str = "# Metrics

What `/metrics` of the [admin listener](operations.md#metrics-and-probes) has. A test makes this page of the
server's own metrics, and fails when it differs.

A counter only grows, from zero at the start of the process. A histogram has the series `_bucket`, `_sum` and
`_count`. No label has a value that a client chooses, so the number of series has a bound.

| metric | type | labels | |
|---|---|---|---|
";

/// The metrics of a server, with all that it can have.
pub(super) async fn metrics() -> Vec<&'static Metric> {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::open(Setup::new().config(folder.path())).await.unwrap();
    server.scrape().families().iter().map(|family| family.metric).collect()
}

fn document(metrics: &[&Metric]) -> String {
    let mut document = HEAD.to_owned();
    for Metric { name, kind, labels, help } in metrics {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        writeln!(document, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    document
}

/// The page says what the server has.
#[tokio::test]
async fn the_page_of_metrics_is_that_of_the_server() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let made = document(&metrics().await);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &made).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let different: Vec<_> = lines(&made).symmetric_difference(&lines(&there)).cloned().collect();
    assert!(
        made == there,
        "{FILE} is not what the server has; write it again by {WRITE}=1 cargo test --test it \
         metrics::document:\n{}",
        different.join("\n")
    );
}

/// Names are those that Prometheus recommends, and help is a sentence for people.
#[tokio::test]
async fn names_and_help_follow_the_rules() {
    for Metric { name, kind, labels, help } in metrics().await {
        let is_counter = *kind == Kind::Counter;
        assert_eq!(is_counter, name.ends_with("_total"), "{name}");
        assert!(name.starts_with("whimbrel_") || name.starts_with("process_"), "{name}");
        let is_word =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(is_word(name) && labels.iter().all(|label| is_word(label)), "{name}");
        for unit in ["_ms", "_milliseconds", "_mib", "_kb", "_micros"] {
            assert!(!name.contains(unit), "{name} has no base unit");
        }
        assert!(help.len() > 10 && !help.ends_with('.'), "{name}: {help}");
        assert!(help.starts_with(|first: char| first.is_uppercase()), "{name}: {help}");
    }
}
