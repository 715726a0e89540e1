//! The samples of one scrape, read from the text that a server's `/metrics` answers with. Never knows what
//! a metric means.

use std::collections::{BTreeMap, BTreeSet};

/// A text that is not that of metrics, or lacks one of them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SampleError {
    #[error("no metrics but {0:?}")]
    NoSample(String),
    #[error("no metric {0}: the server is of another version than this program")]
    Missing(String),
}

/// What a server had at one moment.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<String, Vec<Sample>>);

#[derive(Debug)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Samples {
    /// Parses the text format of Prometheus, version 0.0.4
    /// (<https://prometheus.io/docs/instrumenting/exposition_formats/>), without times.
    ///
    /// # Errors
    /// [`SampleError::NoSample`]: a line is not of that form.
    pub(super) fn parse(text: &str) -> Result<Self, SampleError> {
        let mut samples = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let refused = || SampleError::NoSample(line.chars().take(80).collect());
            let (name, sample) = parse_line(line).ok_or_else(refused)?;
            samples.0.entry(name.to_owned()).or_default().push(sample);
        }
        Ok(samples)
    }

    /// The sum of the samples of `name` that have all of `labels`.
    ///
    /// # Errors
    /// [`SampleError::Missing`]: there is none of this name.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64, SampleError> {
        let with_labels = self.all(name)?.iter().filter(|sample| sample.has(labels));
        Ok(with_labels.map(|sample| sample.value).sum())
    }

    /// The values of `label` in the samples of `name`.
    ///
    /// # Errors
    /// [`SampleError::Missing`]: there is none of this name.
    pub(super) fn values<'a>(
        &'a self,
        name: &str,
        label: &str,
    ) -> Result<BTreeSet<&'a str>, SampleError> {
        Ok(self.all(name)?.iter().filter_map(|sample| sample.label(label)).collect())
    }

    /// The values of all of `labels` in each sample of `name` that has them.
    ///
    /// # Errors
    /// [`SampleError::Missing`]: there is none of this name.
    pub(super) fn labels<'a, const N: usize>(
        &'a self,
        name: &str,
        labels: [&str; N],
    ) -> Result<Vec<[&'a str; N]>, SampleError> {
        let of = |sample: &'a Sample| {
            let values: Vec<_> = labels.iter().filter_map(|label| sample.label(label)).collect();
            values.try_into().ok()
        };
        Ok(self.all(name)?.iter().filter_map(of).collect())
    }

    fn all(&self, name: &str) -> Result<&[Sample], SampleError> {
        let all = self.0.get(name).ok_or_else(|| SampleError::Missing(name.to_owned()))?;
        Ok(all)
    }

    /// How many observations of the histogram `name` were at most as large as each bound, by bound.
    ///
    /// # Errors
    /// [`SampleError::Missing`]: there is none of this name.
    pub(super) fn buckets(
        &self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Result<Vec<(f64, f64)>, SampleError> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        let all = self.all(&format!("{name}_bucket"))?;
        for sample in all.iter().filter(|sample| sample.has(labels)) {
            let bound = sample.label("le").and_then(|bound| bound.parse().ok());
            let bound: f64 = bound.ok_or_else(|| SampleError::Missing(format!("{name}_bucket")))?;
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(buckets)
    }
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.label(name) == Some(value))
    }
}

fn parse_line(line: &str) -> Option<(&str, Sample)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(after) = rest.strip_prefix('{') {
        rest = after;
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
    }
    let value = rest.trim().parse().ok()?;
    (!name.is_empty()).then_some((name, Sample { labels, value }))
}

/// A value up to the quote that ends it, and what is behind.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped => escaped,
            }),
            other => value.push(other),
        }
    }
    None
}
