//! Commands that a verb suggests, quoted for a shell. Never runs one.

/// `command` with `options`, which may be empty, for a shell. The words of `command` are the verb,
/// ids, and flags of the form `--flag`. Ids may have characters that are special in a shell, but
/// neither spaces nor `'`.
pub(super) fn command(command: &str, options: &str) -> String {
    let of_flag = |c: char| c.is_ascii_lowercase() || c == '-';
    let is_flag = |word: &str| {
        word.strip_prefix("--").is_some_and(|flag| !flag.is_empty() && flag.chars().all(of_flag))
    };
    let mut words = command.split(' ');
    let verb = words.next().unwrap_or_default();
    let (flags, ids): (Vec<&str>, Vec<&str>) = words.partition(|word| is_flag(word));
    let flags: String = flags.iter().map(|flag| format!(" {flag}")).collect();
    // An id that begins with a dash must follow all options and `--`.
    let ids_last = ids.iter().any(|id| id.starts_with('-'));
    let ids: String = ids.iter().map(|id| format!(" {}", word(id))).collect();
    let options = if options.is_empty() { String::new() } else { format!(" {options}") };
    if ids_last {
        format!("whimbrel {verb}{flags}{options} --{ids}")
    } else {
        format!("whimbrel {verb}{ids}{flags}{options}")
    }
}

/// An id, quoted if a shell needs that.
fn word(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:@%+,/-".contains(c);
    // An empty one is the caller's own, which the server fills in.
    if !id.is_empty() && id.chars().all(is_plain) { id.to_owned() } else { format!("'{id}'") }
}
