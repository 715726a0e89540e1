//! The report: results as Markdown and SVG. Every number comes from the results, and all prose from
//! `template.md`: no number is ever written into the prose.

mod backup;
mod charts;
mod figures;
pub(crate) mod format;
mod security;
mod tables;
mod targets;

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::results::Results;

const TEMPLATE: &str = include_str!("template.md");
/// The begin and the end of a placeholder.
const OPEN: &str = "{{";
const CLOSE: &str = "}}";
/// The begin and the end of an optional section.
const IF: &str = "{{if ";
const END: &str = "{{end}}";
/// The folder of the charts, relative to the report.
const FOLDER: &str = "benchmarks";

/// Writes `benchmarks.md` and the folder of its charts into `dir`.
pub(crate) fn write(results: &Results, dir: &Path) -> Result<(), Error> {
    let folder = dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    // Charts of an earlier run must not stay in this report.
    for (name, _) in figures::CHARTS {
        let _ = fs::remove_file(folder.join(format!("{name}.svg")));
    }
    let drawn = figures::draw(results, &folder)?;
    let template = kept(TEMPLATE, |name| !results.sizes(name).is_empty())?;
    let text = filled(&template, |placeholder| match placeholder.split_once(' ') {
        Some(("chart", name)) => Some(chart(name, &drawn)),
        Some(("table", name)) => tables::table(results, name),
        Some(("text", name)) => tables::text(results, name),
        _ => None,
    })?;
    Ok(fs::write(dir.join("benchmarks.md"), text)?)
}

/// The image of a chart, or a note if it was not drawn.
fn chart(name: &str, drawn: &[&str]) -> String {
    let title = figures::CHARTS.iter().find(|(chart, _)| *chart == name).map(|(_, title)| title);
    match title {
        Some(title) if drawn.contains(&name) => format!("![{title}]({FOLDER}/{name}.svg)"),
        _ => "*(no chart: not measured in this run)*".to_owned(),
    }
}

/// `template` without the sections of measurements that were never made: what stands between
/// `{{if NAME}}` and `{{end}}`, each on a line of its own.
fn kept(template: &str, is_there: impl Fn(&str) -> bool) -> Result<String, Error> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(IF) {
        let parts = after.split_once(END).and_then(|(section, after)| {
            let (name, section) = section.split_once(CLOSE)?;
            Some((name, section.trim_start(), after.trim_start()))
        });
        let (name, section, after) = parts.ok_or_else(|| unknown("a section without an end"))?;
        text += before;
        if is_there(name) {
            text += section;
        }
        rest = after;
    }
    Ok(text + rest)
}

/// `template` with all placeholders replaced.
fn filled(template: &str, fill: impl Fn(&str) -> Option<String>) -> Result<String, Error> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (placeholder, after) =
            after.split_once(CLOSE).ok_or_else(|| unknown("a placeholder without an end"))?;
        text += before;
        text += &fill(placeholder).ok_or_else(|| unknown(placeholder))?;
        rest = after;
    }
    Ok(text + rest)
}

fn unknown(placeholder: &str) -> Error {
    Error::Failed(format!("the report's template has {placeholder:?}, which nothing fills"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Kind;

    fn results() -> Results {
        let mut results = Results { rounds: 2, ..Results::default() };
        let figures = [
            ("publish", Kind::Whimbrel, 64.0, "per_s", [70.0, 90.0]),
            ("publish", Kind::Whimbrel, 64.0, "floor_per_s", [100.0, 100.0]),
            ("publish", Kind::Nats, 64.0, "per_s", [1_000.0, 2_000.0]),
            ("feed", Kind::Whimbrel, 10.0, "p50_us", [150.0, 170.0]),
            ("feed", Kind::Whimbrel, 1_000.0, "p50_us", [300.0, 320.0]),
            ("latency", Kind::Whimbrel, 5_000.0, "p50_us", [900.0, 900.0]),
            ("latency", Kind::Whimbrel, 5_000.0, "p99_us", [6_000.0, 6_000.0]),
        ];
        for (measurement, kind, x, name, rounds) in figures {
            let row = results.row_mut(measurement, kind, x);
            rounds.iter().for_each(|round| {
                row.figures.entry(name.to_owned()).or_default().push(*round);
            });
        }
        results.row_mut("publish", Kind::Axum, 64.0).note = Some("it broke".to_owned());
        results.skipped.insert(Kind::Redis, "not installed: apt-get".to_owned());
        results
    }

    /// The aim: results that were written and read again make the same report, with the figures,
    /// the charts, and the systems that failed or were skipped.
    #[test]
    fn a_report_is_made_from_results_alone() {
        let dir = tempfile::tempdir().unwrap();
        let read = serde_json::to_string(&results()).unwrap();
        write(&serde_json::from_str(&read).unwrap(), dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join("benchmarks.md")).unwrap();
        for expected in [
            "| 80 <sub>70–90",
            "| 1,500 <sub>",
            "it broke",
            "not installed: apt-get",
            "**Not measured in this run: PostgreSQL, stored timelines**",
            "0.80 ×",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
        }
        assert!(!text.contains(OPEN) && !text.contains("A mixed day"));
        let svg = fs::read_to_string(dir.path().join(FOLDER).join("publish.svg")).unwrap();
        assert!(svg.contains("Whimbrel") && svg.contains("NATS core"));
        assert!(!dir.path().join(FOLDER).join("restart.svg").exists());
    }

    /// The aim: a section has its figures by call, and shows that they come from a later run.
    #[test]
    fn a_section_comes_with_its_figures() {
        let dir = tempfile::tempdir().unwrap();
        let mut later = Results { date: "friday".to_owned(), rounds: 1, ..Results::default() };
        let row = later.row_mut("mixed", Kind::Whimbrel, 64.0);
        for (name, value) in [
            ("per_s", 2_000.0),
            ("news_feed_per_s", 800.0),
            ("news_feed_p50_us", 123.0),
            ("news_feed_p99_us", 456.0),
            ("like_p50_us", 70.0),
            ("like_p99_us", 90.0),
        ] {
            row.figures.entry(name.to_owned()).or_default().push(value);
        }
        write(&results().with(later).unwrap(), dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join("benchmarks.md")).unwrap();
        for expected in [
            "## A mixed day\n",
            "| NewsFeed, first page | 40.0 % | 123 µs | 456 µs |",
            "benchmarks/mixed.svg",
            "- **`mixed`:** friday",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
        }
        let svg = fs::read_to_string(dir.path().join(FOLDER).join("mixed.svg")).unwrap();
        assert!(svg.contains("NewsFeed, first page"));
    }

    /// The aim: an omitted section leaves nothing behind, and a section without an end is an error.
    #[test]
    fn a_section_is_kept_or_not() {
        let template = "a\n\n{{if b}}\nc\n\n{{end}}\nd";
        assert_eq!(kept(template, |name| name == "b").unwrap(), "a\n\nc\n\nd");
        assert_eq!(kept(template, |_| false).unwrap(), "a\n\nd");
        assert!(kept("a {{if b}} c", |_| true).is_err());
    }

    /// The aim: an unknown placeholder is an error.
    #[test]
    fn an_unknown_placeholder_is_an_error() {
        assert_eq!(filled("a {{b}} c", |name| Some(name.to_uppercase())).unwrap(), "a B c");
        assert!(filled("a {{b}} c", |_| None).is_err());
        assert!(filled("a {{b c", |_| Some(String::new())).is_err());
    }
}
