//! The floor: calls that do nothing. Other calls are measured between two measurements of it,
//! because the machine is never quiet and only figures taken side by side can be compared.

use std::time::Duration;

use super::load::{Load, closed_loop};
use super::table::Row;
use super::{Name, Session};
use crate::client::{Client, Error};

/// The load is measured so often, and the medians are given.
const ROUNDS: u32 = 3;
/// Before anything is measured, so that connections and caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);

/// Medians of rounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) per_s: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// A load, and the floor under it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) floor: Figures,
    pub(super) load: Figures,
    /// The load's rate over the floor's: the median of the rounds.
    pub(super) rate_ratio: f64,
    /// The load's median latency over the floor's: the median of the rounds.
    pub(super) p50_ratio: f64,
}

/// Measures the floor by itself.
pub(super) async fn measure(session: &Session<'_>) -> Result<Row, Error> {
    let in_flight = session.in_flight();
    let time = session.time() / ROUNDS;
    floor(&session.clients, in_flight, WARM_UP).await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(Figures::of(&floor(&session.clients, in_flight, time).await?));
    }
    Ok(row(in_flight, median_figures(&rounds)))
}

/// The floor's row of the table.
pub(super) fn row(in_flight: usize, figures: Figures) -> Row {
    let what = format!("calls that do nothing, {in_flight} in flight");
    Row { floor_ratio: Some(1.0), ..figures.row(Name::Floor, what) }
}

/// Measures `call` for `time` in all, between measurements of the floor with the same settings.
pub(super) async fn beside<F>(
    clients: &[Client],
    in_flight: usize,
    time: Duration,
    call: impl Fn(Client, u64) -> F + Clone + Send + 'static,
) -> Result<Measured, Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let time = time / ROUNDS;
    closed_loop(clients, in_flight, WARM_UP, call.clone()).await?;
    let mut before = Figures::of(&floor(clients, in_flight, time).await?);
    let (mut floors, mut loads) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let load = closed_loop(clients, in_flight, time, call.clone()).await?;
        let after = Figures::of(&floor(clients, in_flight, time).await?);
        loads.push(Figures::of(&load));
        floors.push(before.between(after));
        before = after;
    }
    let ratio = |figure: fn(&Figures) -> f64| {
        let pairs = loads.iter().zip(&floors);
        median(pairs.map(|(load, floor)| figure(load) / figure(floor).max(f64::EPSILON)).collect())
    };
    Ok(Measured {
        floor: median_figures(&floors),
        load: median_figures(&loads),
        rate_ratio: ratio(|figures| figures.per_s),
        p50_ratio: ratio(|figures| figures.p50_us),
    })
}

/// The middle one, or 0 of none.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

async fn floor(clients: &[Client], in_flight: usize, time: Duration) -> Result<Load, Error> {
    closed_loop(clients, in_flight, time, |client, _| async move { client.check_health().await })
        .await
}

fn median_figures(rounds: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect());
    Figures {
        per_s: of(|figures| figures.per_s),
        p50_us: of(|figures| figures.p50_us),
        p99_us: of(|figures| figures.p99_us),
    }
}

impl Figures {
    fn of(load: &Load) -> Self {
        let (p50_us, p99_us) = (load.latencies.p50_us() as f64, load.latencies.p99_us() as f64);
        Self { per_s: load.per_s, p50_us, p99_us }
    }

    /// The mean of what was measured before and after something.
    fn between(self, after: Self) -> Self {
        Self {
            per_s: f64::midpoint(self.per_s, after.per_s),
            p50_us: f64::midpoint(self.p50_us, after.p50_us),
            p99_us: f64::midpoint(self.p99_us, after.p99_us),
        }
    }

    pub(super) fn row(self, name: Name, what: String) -> Row {
        let Self { per_s, p50_us, p99_us } = self;
        Row {
            per_s: Some(per_s),
            p50_us: Some(p50_us),
            p99_us: Some(p99_us),
            ..Row::new(name, what)
        }
    }
}
