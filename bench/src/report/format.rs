//! Numbers as text for people. Never rounds a number that is stored.

use crate::stats::Figure;

/// 1234567 as 1,234,567.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut shown = if number <= -0.5 { "−".to_owned() } else { String::new() };
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Three significant digits.
pub(crate) fn digits(number: f64) -> String {
    match number.abs() {
        less if less < 0.001 => "0".to_owned(),
        less if less < 0.1 => format!("{number:.3}"),
        less if less < 10.0 => format!("{number:.2}"),
        less if less < 100.0 => format!("{number:.1}"),
        _ => grouped(number),
    }
}

/// For axes: 1,200 and 3.4M.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        more if more >= 1e6 => format!("{}M", trimmed(number / 1e6)),
        more if more >= 10.0 => grouped(number),
        _ => trimmed(number),
    }
}

fn trimmed(number: f64) -> String {
    let text = if number.abs() < 0.1 { format!("{number:.3}") } else { format!("{number:.1}") };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() { "0".to_owned() } else { text.to_owned() }
}

/// Microseconds, in µs, ms or s, whichever is shortest.
pub(crate) fn time_us(us: f64) -> String {
    match us {
        less if less < 1e3 => format!("{} µs", digits(less)),
        less if less < 1e6 => format!("{} ms", digits(less / 1e3)),
        _ => format!("{} s", digits(us / 1e6)),
    }
}

/// As [`time_us`], for axes: 1 ms.
pub(crate) fn short_time_us(us: f64) -> String {
    match us {
        less if less < 1e3 => format!("{} µs", short(less)),
        less if less < 1e6 => format!("{} ms", short(less / 1e3)),
        _ => format!("{} s", short(us / 1e6)),
    }
}

/// Bytes, in the unit that fits.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes.abs() {
        less if less < 2_048.0 => format!("{} B", digits(bytes)),
        less if less < 2_097_152.0 => format!("{} KiB", digits(bytes / 1_024.0)),
        _ => format!("{} MiB", digits(bytes / 1_048_576.0)),
    }
}

/// Bytes for the ticks of an axis, which are powers of ten: 10 MB.
pub(crate) fn short_bytes(bytes: f64) -> String {
    match bytes {
        less if less < 1e3 => format!("{} B", short(less)),
        less if less < 1e6 => format!("{} kB", short(less / 1e3)),
        less if less < 1e9 => format!("{} MB", short(less / 1e6)),
        _ => format!("{} GB", short(bytes / 1e9)),
    }
}

/// The median, with the spread of the rounds if there are several.
pub(crate) fn with_spread(figure: &Figure, write: impl Fn(f64) -> String) -> String {
    if figure.rounds.len() < 2 {
        return write(figure.median);
    }
    format!("{} <sub>{}–{}</sub>", write(figure.median), write(figure.min), write(figure.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The aim: numbers have only significant digits, in common units.
    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(1_234_567.4), "1,234,567");
        assert_eq!(digits(12.345), "12.3");
        assert_eq!(digits(0.01234), "0.012");
        assert_eq!(short(3_400_000.0), "3.4M");
        assert_eq!(short(0.01), "0.01");
        assert_eq!(short(10.0), "10");
        assert_eq!(time_us(1_500.0), "1.50 ms");
        assert_eq!(time_us(2e6), "2.00 s");
        assert_eq!(bytes(24.0), "24.0 B");
        assert_eq!(short_bytes(1e7), "10 MB");
        assert_eq!(bytes(8_192.0), "8.00 KiB");
    }
}
