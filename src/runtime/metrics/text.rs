//! What was collected, as the text that Prometheus reads. Never collects anything.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{Family, Kind, Metric, MetricValue, Scrape};

/// A form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, of version 0.0.4, which every scraper reads.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The best one for a client that sends this header `accept`.
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        let is_open = header.contains("application/openmetrics-text");
        if is_open { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The value of the header `content-type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The text of `scrape`.
///
/// # Errors
/// A value cannot be written.
pub fn encode(scrape: Scrape, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    match format {
        Format::Prometheus => {
            prometheus_client::encoding::prometheus_text::encode(&mut text, &registry)?;
        }
        Format::OpenMetrics => prometheus_client::encoding::text::encode(&mut text, &registry)?,
    }
    Ok(text)
}

impl Metric {
    /// The name as the library takes it, which adds the ending of a counter by itself.
    fn stem(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or_else(|| {
                unreachable!("the counter {} does not end with _total", self.name)
            }),
            Kind::Gauge | Kind::Histogram => self.name,
        }
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { metric, samples } in &self.0 {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut of_family =
                encoder.encode_descriptor(metric.stem(), metric.help, None, kind)?;
            for sample in samples {
                if metric.labels.is_empty() {
                    encode_value(&mut of_family, metric.kind, &sample.value)?;
                    continue;
                }
                let names = metric.labels.iter().copied();
                let labels: Vec<_> = names.zip(sample.labels.iter().map(String::as_str)).collect();
                let mut of_sample = of_family.encode_family(&labels)?;
                encode_value(&mut of_sample, metric.kind, &sample.value)?;
            }
        }
        Ok(())
    }
}

fn encode_value(encoder: &mut MetricEncoder<'_>, kind: Kind, value: &MetricValue) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, MetricValue::Number(number)) => {
            encoder.encode_counter::<NoLabelSet, f64, f64>(number, None)
        }
        (Kind::Gauge, MetricValue::Number(number)) => encoder.encode_gauge(number),
        (Kind::Histogram, MetricValue::Buckets { sum, counts }) => {
            let count = counts.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<NoLabelSet>(*sum, count, counts, None)
        }
        (kind, value) => unreachable!("a {kind:?} has the value {value:?}"),
    }
}
