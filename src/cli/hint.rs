//! Commands that a verb suggests, as they can be copied into a shell. Never runs one.

/// `command` with `options`, which may be none, for a shell. The words of `command` are the verb, ids, and flags of the
/// form `--flag`; ids may have what a shell would take for its own, but neither spaces nor `'`.
pub(super) fn command(command: &str, options: &str) -> String {
    let of_flag = |c: char| c.is_ascii_lowercase() || c == '-';
    let is_flag = |word: &str| {
        word.strip_prefix("--").is_some_and(|flag| !flag.is_empty() && flag.chars().all(of_flag))
    };
    let mut words = command.split(' ');
    let verb = words.next().unwrap_or_default();
    let (flags, ids): (Vec<&str>, Vec<&str>) = words.partition(|word| is_flag(word));
    let flags: String = flags.iter().map(|flag| format!(" {flag}")).collect();
    // What begins with a dash is an id only after all options.
    let last = ids.iter().any(|id| id.starts_with('-'));
    let ids: String = ids.iter().map(|id| format!(" {}", word(id))).collect();
    let options = if options.is_empty() { String::new() } else { format!(" {options}") };
    if last {
        format!("whimbrel {verb}{flags}{options} --{ids}")
    } else {
        format!("whimbrel {verb}{ids}{flags}{options}")
    }
}

/// An id as one word of a shell.
fn word(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:@%+,/-".contains(c);
    if id.chars().all(is_plain) { id.to_owned() } else { format!("'{id}'") }
}
