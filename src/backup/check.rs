//! Checking backups: each byte of each segment. Never changes anything.

use std::collections::HashMap;

use super::manifest::{self, Manifest, ManifestSegment};
use super::take::{NotUsed, check_bytes};
use super::{Destination, Error};

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// The backups that were checked.
    pub backups: u64,
    /// Their segments, each counted once.
    pub segments: u64,
    /// The bytes of these.
    pub bytes: u64,
    /// What is wrong, and in which backup.
    pub problems: Vec<String>,
}

/// Checks the backup with this name, or all.
///
/// # Errors
/// The destination cannot be read, or there is no such backup. Damage is in the report.
pub async fn check(
    destination: &Destination,
    name: Option<&str>,
    progress: &mut dyn FnMut(&CheckReport),
) -> Result<CheckReport, Error> {
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => manifest::names(destination).await?,
    };
    let mut report = CheckReport::default();
    // What is wrong with each object that was looked at, if anything is.
    let mut checked: HashMap<String, Option<String>> = HashMap::new();
    for name in names {
        report.backups += 1;
        let manifest = match Manifest::read(destination, &name).await {
            Err(error @ Error::Damaged { .. }) => {
                report.problems.push(error.to_string());
                continue;
            }
            manifest => manifest?,
        };
        if let Some(what) = gap(&manifest) {
            report.problems.push(format!("the backup {name} is not whole: {what}"));
        }
        for segment in &manifest.segments {
            if !checked.contains_key(&segment.sha256) {
                let what = problem(destination, &manifest, segment).await?;
                report.segments += 1;
                report.bytes += segment.bytes;
                checked.insert(segment.sha256.clone(), what);
                progress(&report);
            }
            if let Some(what) = &checked[&segment.sha256] {
                let object = destination.object(&segment.object());
                report.problems.push(format!("{object} of the backup {name} is damaged: {what}"));
            }
        }
    }
    Ok(report)
}

/// What is wrong with the object of a segment.
async fn problem(
    destination: &Destination,
    manifest: &Manifest,
    segment: &ManifestSegment,
) -> Result<Option<String>, Error> {
    let object = segment.object();
    let Some(bytes) = destination.get(&object).await? else {
        return Ok(Some("it is missing".to_owned()));
    };
    match check_bytes(&object, bytes, &manifest.log_id, segment) {
        Ok(_) => Ok(None),
        Err(NotUsed::Differs(what)) => Ok(Some(what)),
        Err(NotUsed::OtherFormat(other)) => {
            let other = other.written_by(Some(manifest.version.clone()));
            Err(Error::OtherFormat { object: destination.object(&object), other })
        }
    }
}

/// The first place at which a segment does not follow the one before it.
pub(super) fn gap(manifest: &Manifest) -> Option<String> {
    let Some(end) = manifest.segments.last() else {
        return Some("it has no segment".to_owned());
    };
    let mut last = 0;
    for segment in &manifest.segments {
        // One without an event ends before it begins.
        if segment.first_revision.checked_sub(1) != Some(last) || segment.last_revision < last {
            return Some(format!("what follows revision {last} is missing"));
        }
        last = segment.last_revision;
    }
    let is_end = last == manifest.revision && end.chain == manifest.chain;
    (!is_end).then(|| format!("it ends at revision {last}, not {}", manifest.revision))
}
