//! `whimbrel top`: what a server does, read from the metrics of its admin listener again and again. Never
//! calls an RPC, so it is no load that it would show.

mod figures;
mod samples;
mod screen;

use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use figures::{Figures, Scraped};
use http::Uri;
use samples::{SampleError, Samples};

use super::json::JsonLine;
use super::{Error, Output, number};

/// How long the admin listener has to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Most bytes of an answer: a server with all its metrics has some 100 KB.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// The size of a terminal that does not tell it.
const DEFAULT_ROWS: usize = 24;
const DEFAULT_COLUMNS: usize = 80;

/// Why the metrics of a server cannot be had.
#[derive(Debug, thiserror::Error)]
enum ScrapeError {
    #[error(
        "cannot read the metrics at {url}: {source}; give --admin the address of the server's \
         --admin-listen, which only its machine reaches unless it says otherwise"
    )]
    Http { url: String, source: Box<ureq::Error> },
    #[error("cannot use what {url} has: {problem}; is it the admin listener of a server?")]
    Samples { url: String, problem: SampleError },
}

/// Show what a server does: its rates, times, streams and errors, until it is interrupted.
///
/// On a terminal the figures are shown in place; elsewhere one after the other.
#[derive(Args, Debug)]
pub(super) struct TopArgs {
    /// The admin listener of the server (its --admin-listen).
    #[arg(long, env = "WHIMBREL_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:50052",
          value_parser = parse_admin)]
    admin: AdminUrl,
    /// The seconds between two looks.
    #[arg(long, default_value_t = 1, value_name = "SECONDS", value_parser = number::within(1..=3_600_u64))]
    interval: u64,
    /// End after this many figures. Without it, they are shown until the program is interrupted.
    #[arg(long, value_name = "N", value_parser = number::at_least(1_u64))]
    count: Option<u64>,
}

/// The address of an admin listener, without a path.
#[derive(Clone, Debug)]
struct AdminUrl(String);

impl TopArgs {
    pub(super) fn run(self, output: &Output) -> Result<(), Error> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_TIME_MAX))
            .max_redirects(0)
            .max_redirects_will_error(true);
        let agent = config.build().into();
        let is_live = !output.is_for_machines() && std::io::stdout().is_terminal();
        let mut before = self.scrape(&agent).map_err(Error::from)?;
        let mut shown = 0;
        while self.count.is_none_or(|count| shown < count) {
            thread::sleep(Duration::from_secs(self.interval));
            let after = match self.scrape(&agent) {
                Ok(after) => after,
                // The server may be about to start again.
                Err(error) if is_live => {
                    output.print_for_people(|| on_screen(vec![error.to_string()]))?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let refused = |problem| ScrapeError::Samples { url: self.url(), problem };
            if after.is_of_process(&before).map_err(refused)? {
                let figures = Figures::between(&before, &after).map_err(refused)?;
                let lines = || screen::lines(&figures, &self.admin.0);
                output.print_for_people(|| match is_live {
                    true => on_screen(lines()),
                    false => lines().join("\n") + "\n",
                })?;
                output.print_for_machines(|| JsonLine("figures", &figures))?;
                shown += 1;
            } else {
                output.note("the server has started again: its counts begin at zero");
            }
            before = after;
        }
        Ok(())
    }

    fn url(&self) -> String {
        format!("{}/metrics", self.admin.0)
    }

    fn scrape(&self, agent: &ureq::Agent) -> Result<Scraped, ScrapeError> {
        let url = self.url();
        let failed = |source| ScrapeError::Http { url: url.clone(), source: Box::new(source) };
        let mut response = agent.get(&url).call().map_err(failed)?;
        let at = Instant::now();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let text = body.read_to_string().map_err(failed)?;
        let samples = Samples::parse(&text)
            .map_err(|problem| ScrapeError::Samples { url: self.url(), problem })?;
        Ok(Scraped { samples, at })
    }
}

impl From<ScrapeError> for Error {
    fn from(error: ScrapeError) -> Self {
        Self::NotServing(error.to_string())
    }
}

/// The lines in the place of those before, as many and as much of each as there is room for.
fn on_screen(lines: Vec<String>) -> String {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let or = |size: Option<u16>, default| size.filter(|it| *it > 0).map_or(default, usize::from);
    let rows = or(size.map(|size| size.ws_row), DEFAULT_ROWS);
    let columns = or(size.map(|size| size.ws_col), DEFAULT_COLUMNS);
    let lines = lines.into_iter().take(rows.saturating_sub(1)).map(|line| cut(&line, columns));
    // From the upper left corner; each line to its end; then all below.
    format!("\x1b[H{}\x1b[J", lines.map(|line| line + "\x1b[K").collect::<Vec<_>>().join("\n"))
}

/// The first `columns` characters, without counting the codes that make them bold.
fn cut(line: &str, columns: usize) -> String {
    let (mut shown, mut is_code) = (0, false);
    let is_kept = |character: &char| {
        is_code |= *character == '\x1b';
        if is_code {
            is_code = *character != 'm';
            return true;
        }
        shown += 1;
        shown <= columns
    };
    line.chars().filter(is_kept).collect()
}

fn parse_admin(given: &str) -> Result<AdminUrl, &'static str> {
    const REFUSED: &str = "give http://HOST:PORT, as `whimbrel serve` prints it";
    let url = if given.contains("://") { given.to_owned() } else { format!("http://{given}") };
    let uri: Uri = url.parse().map_err(|_| REFUSED)?;
    let is_plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
    match uri.authority() {
        Some(authority) if is_plain => Ok(AdminUrl(format!("http://{authority}"))),
        _ => Err(REFUSED),
    }
}
