//! Numbers in the form for people: parsed from options, and formatted. Never used for machines,
//! which get plain numbers.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The longest time that an option accepts, in seconds: a hundred years. Clocks cannot count much
/// longer times.
pub(super) const SECONDS_MAX: u64 = 100 * 365 * 86_400;

/// Parses a whole number in `range`. The error names the range.
pub(super) fn within<N>(
    range: RangeInclusive<N>,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync
where
    N: FromStr + PartialOrd + Display + Clone + Send + Sync,
{
    move |given| {
        let number = given.parse().ok().filter(|number| range.contains(number));
        number
            .ok_or_else(|| format!("give a whole number from {} to {}", range.start(), range.end()))
    }
}

/// Parses a whole number that is `min` or more. The error names the minimum.
pub(super) fn at_least<N>(min: N) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync
where
    N: FromStr + PartialOrd + Display + Clone + Send + Sync,
{
    move |given| match given.parse() {
        Ok(number) if number >= min => Ok(number),
        // Types without a zero cannot be parsed from one.
        Err(_) if is_digits(given) && !given.bytes().all(|digit| digit == b'0') => {
            Err(format!("it is too large: give a smaller number, {min} or more"))
        }
        _ => Err(format!("give a whole number, {min} or more")),
    }
}

fn is_digits(given: &str) -> bool {
    !given.is_empty() && given.bytes().all(|digit| digit.is_ascii_digit())
}

/// Formats 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Formats a count with its noun: 1 reply, 2,000 replies.
pub(super) fn counted(count: u64, of: &str) -> String {
    match (count, of.strip_suffix('y')) {
        (1, _) => format!("1 {of}"),
        (_, Some(stem)) => format!("{} {stem}ies", grouped(count)),
        (_, None) => format!("{} {of}s", grouped(count)),
    }
}

/// `count` divided by the seconds of `time`.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(f64::EPSILON)
}

/// Formats the nearest whole number, as [`grouped`] does.
pub(super) fn rounded(number: f64) -> String {
    grouped(number.max(0.0).round() as u64)
}
