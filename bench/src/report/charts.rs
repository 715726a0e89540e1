//! Charts as SVG: spans on a logarithmic axis, one row a system; and lines of a figure by size.
//! Only this file draws; it never reads results.
//!
//! ```text
//!   Whimbrel   ├──●───┤        31,200
//!   NATS core        ├─●─┤    104,000      a span: least, median, most; or p50 ● to p99 ○
//! ```

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::format;
use crate::error::Error;
use crate::peer::Kind;

const WIDTH: u32 = 860;
const LINES_HEIGHT: u32 = 440;
/// Height of the row of a span.
const SPAN_HEIGHT: u32 = 40;
/// Height above and below all rows.
const FRAME_HEIGHT: u32 = 120;
const LABELS_WIDTH: u32 = 210;
/// Height above the plot of lines.
const TITLE_HEIGHT: i32 = 44;
const LEGEND_HEIGHT: i32 = 24;
const LEGEND_COLUMNS: usize = 2;
/// Most labels of an axis: so few that only powers of ten get one.
const LABELS_MAX: usize = 8;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// An axis: its name with the unit, and the format of its numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) name: &'static str,
    /// Formats the ticks, which are round numbers.
    pub(super) tick: fn(f64) -> String,
    /// Formats the points.
    pub(super) write: fn(f64) -> String,
}

/// The figure of a system, or of one kind of call.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) kind: Kind,
    pub(super) label: &'static str,
    pub(super) low: f64,
    pub(super) dot: f64,
    /// A second figure, drawn as a ring.
    pub(super) ring: Option<f64>,
    pub(super) high: f64,
}

/// One figure by size.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) label: String,
    /// Dashed, to distinguish it from another line of the same system.
    pub(super) is_dashed: bool,
    pub(super) points: Vec<(f64, f64)>,
}

/// The colour of a system, the same in all charts. Readers with colour blindness can distinguish
/// them.
fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Whimbrel => RGBColor(0xd5, 0x5e, 0x00),
        Kind::Nats => RGBColor(0x00, 0x72, 0xb2),
        Kind::Jetstream => RGBColor(0x56, 0xb4, 0xe9),
        Kind::JetstreamSync => RGBColor(0x1b, 0x3a, 0x5c),
        Kind::Redis => RGBColor(0xcc, 0x79, 0xa7),
        Kind::RedisSync => RGBColor(0x7b, 0x2d, 0x5b),
        Kind::RedisHydrated => RGBColor(0xf0, 0xa6, 0xd0),
        Kind::Postgres => RGBColor(0x00, 0x9e, 0x73),
        Kind::PostgresTimeline => RGBColor(0x0b, 0x5d, 0x3b),
        Kind::Axum => RGBColor(0x80, 0x80, 0x80),
    }
}

/// Draws spans.
pub(super) fn spans(file: &Path, title: &str, axis: Axis, spans: &[Span]) -> Result<(), Error> {
    if spans.is_empty() {
        return Ok(());
    }
    let height = FRAME_HEIGHT + SPAN_HEIGHT * spans.len() as u32;
    let area = area(file, height);
    draw_spans(&area, title, axis, spans).map_err(|error| undrawn(file, error.as_ref()))
}

/// Draws lines, on logarithmic axes.
pub(super) fn lines(
    file: &Path,
    title: &str,
    (across, up): (Axis, Axis),
    lines: &[Line],
) -> Result<(), Error> {
    if lines.iter().all(|line| line.points.is_empty()) {
        return Ok(());
    }
    let area = area(file, LINES_HEIGHT);
    draw_lines(&area, title, (across, up), lines).map_err(|error| undrawn(file, error.as_ref()))
}

fn area(file: &Path, height: u32) -> Area<'_> {
    SVGBackend::new(file, (WIDTH, height)).into_drawing_area()
}

fn undrawn(file: &Path, error: &dyn std::error::Error) -> Error {
    Error::Failed(format!("{}: {error}", file.display()))
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_spans(area: &Area<'_>, title: &str, axis: Axis, spans: &[Span]) -> Drawn {
    // A white background, for readers of a dark page.
    area.fill(&WHITE)?;
    let lows = spans.iter().map(|span| span.low);
    let highs = spans.iter().map(|span| span.high);
    let range = decades(lows.chain(highs));
    let count = spans.len() as i32;
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 19).into_font().color(&INK))
        .margin(12)
        .margin_right(90)
        .x_label_area_size(46)
        .y_label_area_size(LABELS_WIDTH)
        .build_cartesian_2d(range.log_scale(), (0..count - 1).into_segmented())?;
    let name_of = |place: &SegmentValue<i32>| match place {
        SegmentValue::CenterOf(number) => {
            spans.get((count - 1 - number) as usize).map_or("", |span| span.label)
        }
        _ => "",
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_desc(axis.name)
        .x_label_formatter(&|value| (axis.tick)(*value))
        .y_labels(spans.len() + 1)
        .y_label_formatter(&|place| name_of(place).to_owned())
        .label_style((FONT, 14).into_font().color(&INK))
        .axis_desc_style((FONT, 14).into_font().color(&INK))
        .draw()?;
    for (number, span) in spans.iter().enumerate() {
        let place = SegmentValue::CenterOf(count - 1 - number as i32);
        let colour = colour(span.kind);
        chart.draw_series([PathElement::new(
            vec![(span.low, place.clone()), (span.high, place.clone())],
            colour.stroke_width(3),
        )])?;
        chart.draw_series([Circle::new((span.dot, place.clone()), 6, colour.filled())])?;
        if let Some(ring) = span.ring {
            chart.draw_series([Circle::new((ring, place.clone()), 6, WHITE.filled())])?;
            let ring = Circle::new((ring, place.clone()), 6, colour.stroke_width(2));
            chart.draw_series([ring])?;
        }
        let value = match span.ring {
            Some(ring) => format!("{} … {}", (axis.write)(span.dot), (axis.write)(ring)),
            None => (axis.write)(span.dot),
        };
        let style = (FONT, 13).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        let end = span.high.max(span.ring.unwrap_or_default());
        chart.draw_series([EmptyElement::at((end, place)) + Text::new(value, (11, 0), style)])?;
    }
    area.present()?;
    Ok(())
}

fn draw_lines(area: &Area<'_>, title: &str, (across, up): (Axis, Axis), lines: &[Line]) -> Drawn {
    area.fill(&WHITE)?;
    let (top, plot) = area.split_vertically(TITLE_HEIGHT + legend_height(lines.len()));
    let style = (FONT, 19).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Top));
    top.draw(&Text::new(title, (WIDTH as i32 / 2, 12), style))?;
    draw_legend(&top, lines)?;

    let points = || lines.iter().flat_map(|line| line.points.iter());
    let least = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let most = points().map(|(x, _)| *x).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(&plot)
        .margin(12)
        .margin_right(40)
        .x_label_area_size(46)
        .y_label_area_size(92)
        .build_cartesian_2d(
            (least * 0.75..most * 1.33).log_scale(),
            decades(points().map(|(_, y)| *y)).log_scale(),
        )?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_labels(LABELS_MAX)
        .y_labels(LABELS_MAX)
        .x_desc(across.name)
        .y_desc(up.name)
        .x_label_formatter(&|value| (across.tick)(*value))
        .y_label_formatter(&|value| (up.tick)(*value))
        .label_style((FONT, 14).into_font().color(&INK))
        .axis_desc_style((FONT, 14).into_font().color(&INK))
        .draw()?;
    for line in lines {
        let (fill, rim) = (fill_of(line), colour(line.kind).stroke_width(2));
        let points = line.points.clone();
        if line.is_dashed {
            chart.draw_series(DashedLineSeries::new(points, 6, 4, rim))?;
        } else {
            chart.draw_series(LineSeries::new(points, rim))?;
        }
        chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 4, fill)))?;
        chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 4, rim)))?;
    }
    area.present()?;
    Ok(())
}

/// The legend, in two columns above the plot, where no line crosses it.
fn draw_legend(area: &Area<'_>, lines: &[Line]) -> Drawn {
    for (number, line) in lines.iter().enumerate() {
        let column = (number % LEGEND_COLUMNS) as i32;
        let x = 100 + column * (WIDTH as i32 - 120) / LEGEND_COLUMNS as i32;
        let y = TITLE_HEIGHT + LEGEND_HEIGHT / 2 + (number / LEGEND_COLUMNS) as i32 * LEGEND_HEIGHT;
        let rim = colour(line.kind).stroke_width(2);
        area.draw(&PathElement::new(vec![(x, y), (x + 26, y)], rim))?;
        area.draw(&Circle::new((x + 13, y), 4, fill_of(line)))?;
        area.draw(&Circle::new((x + 13, y), 4, rim))?;
        let style = (FONT, 14).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(line.label.as_str(), (x + 36, y), style))?;
    }
    Ok(())
}

fn legend_height(lines: usize) -> i32 {
    lines.div_ceil(LEGEND_COLUMNS) as i32 * LEGEND_HEIGHT
}

fn fill_of(line: &Line) -> ShapeStyle {
    if line.is_dashed { WHITE.filled() } else { colour(line.kind).filled() }
}

/// The range of whole decades around `values`, with a margin.
fn decades(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|value| *value > 0.0) {
        (low, high) = (low.min(value), high.max(value));
    }
    if high == 0.0 {
        return 1.0..10.0;
    }
    10_f64.powf((low * 0.95).log10().floor())..10_f64.powf((high * 1.05).log10().ceil())
}

/// An axis of numbers without a unit.
pub(super) fn plain(name: &'static str) -> Axis {
    Axis { name, tick: format::short, write: format::digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The aim: every value is within its axis, which begins and ends at powers of ten.
    #[test]
    fn an_axis_has_whole_decades() {
        let range = decades([3.0, 250.0].into_iter());
        assert!((range.start - 1.0).abs() < 1e-9 && (range.end - 1_000.0).abs() < 1e-6);
        assert_eq!(decades(std::iter::empty()), 1.0..10.0);
    }
}
