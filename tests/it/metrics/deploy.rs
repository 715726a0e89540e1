//! The dashboard and the alerts name only metrics that exist, and each alert has a section that says what to
//! do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use whimbrel::runtime::metrics::Kind;

use super::document::metrics;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The names of the series of all metrics.
async fn series() -> BTreeSet<String> {
    let mut series = BTreeSet::new();
    for metric in metrics().await {
        match metric.kind {
            Kind::Histogram => {
                series.extend(["bucket", "sum", "count"].map(|it| format!("{}_{it}", metric.name)));
            }
            Kind::Counter | Kind::Gauge => drop(series.insert(metric.name.to_owned())),
        }
    }
    series
}

/// The words of `text` that look like one of the server's series.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    // Not the name of a package, `whimbrel_0.1.0`.
    let is_series = |word: &&str| {
        let after = ["whimbrel_", "process_"].iter().find_map(|start| word.strip_prefix(start));
        after.is_some_and(|it| !it.starts_with(|c: char| c.is_ascii_digit()))
    };
    words.filter(is_series).collect()
}

#[tokio::test]
async fn each_metric_that_is_named_exists() {
    let there = series().await;
    let missing = |text: &str| {
        named(text)
            .into_iter()
            .filter(|it| !there.contains(*it))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let none: Vec<String> = Vec::new();
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/whimbrel.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let exprs: Vec<_> = targets.map(|it| it["expr"].as_str().unwrap()).collect();
    assert!(exprs.len() > 30 && exprs.iter().all(|expr| !named(expr).is_empty()), "{exprs:#?}");
    assert_eq!(missing(&exprs.join("\n")), none);
    let rules = read("deploy/prometheus/whimbrel.rules.yml");
    assert!(named(&rules).len() > 10, "the rules were not found");
    assert_eq!(missing(&rules), none);
    // In the manual a histogram is named without its series.
    let manual = read("docs/operations.md");
    let lost = |it: &&str| !there.contains(*it) && !there.contains(&format!("{it}_sum"));
    assert_eq!(named(&manual).into_iter().filter(lost).collect::<Vec<_>>(), none);
    assert!(!missing("rate(whimbrel_nothing_total[5m])").is_empty());
}

#[test]
fn each_alert_has_a_section() {
    let (rules, manual) =
        (read("deploy/prometheus/whimbrel.rules.yml"), read("docs/operations.md"));
    let after = |key: &'static str| {
        rules.lines().filter_map(move |line| line.trim().strip_prefix(key)).collect::<Vec<_>>()
    };
    let (alerts, runbooks) = (after("- alert: "), after("runbook: docs/operations.md#"));
    assert!(alerts.len() > 10, "the alerts were not found");
    let links: Vec<_> = alerts.iter().map(|alert| alert.to_lowercase()).collect();
    assert_eq!(runbooks, links);
    for alert in alerts {
        assert!(manual.contains(&format!("\n### {alert}\n\n")), "{alert} has no section");
    }
}
