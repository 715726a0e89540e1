//! `docs/metrics.md`: all metrics of a server, and no other.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use whimbrel::runtime::metrics::{Kind, Metric};

use super::{head, hold};
use crate::metrics::document::metrics;

const ABOUT: &str = "What `/metrics` of the [admin listener](operations.md#metrics-and-probes) has.

A counter only grows, from zero at the start of the process. A histogram has the series `_bucket`, `_sum` and
`_count`. No label has a value that a client chooses, so the number of series has a bound.

| metric | type | labels | |
|---|---|---|---|
";

fn document(metrics: &[&Metric]) -> String {
    let mut document = head("Metrics", "the metrics of a server") + ABOUT;
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
async fn the_metrics_are_those_of_the_server() {
    hold(&BTreeMap::from([("docs/metrics.md".to_owned(), document(&metrics().await))]));
}
