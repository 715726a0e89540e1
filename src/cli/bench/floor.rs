//! The floor: calls that do no work. Other calls are measured between two measurements of the
//! floor, because the machine is never quiet and only figures taken together can be compared. Never
//! compares figures of different settings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::load::{LoadResult, closed_loop};
use super::table::TableRow;
use super::{Measurement, Session};
use crate::client::{Client, Error};

/// Number of measurements of a load, whose medians are the result.
const ROUNDS: u32 = 3;
/// Load before the first measurement, so that connections and caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);

/// Rate and latencies of a load: of one round, or the medians of several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) per_s: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// A load and the floor that was measured with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison {
    pub(super) floor: Figures,
    pub(super) load: Figures,
    /// The load's rate divided by the floor's: the median of the rounds.
    pub(super) rate_ratio: f64,
    /// The load's median latency divided by the floor's: the median of the rounds.
    pub(super) p50_ratio: f64,
}

/// Measures the floor by itself.
pub(super) async fn measure(session: &Session<'_>) -> Result<TableRow, Error> {
    let in_flight = session.in_flight();
    let time = session.time() / ROUNDS;
    floor(&session.clients, in_flight, WARM_UP).await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(Figures::from_load(&floor(&session.clients, in_flight, time).await?));
    }
    Ok(row(in_flight, median_figures(&rounds)))
}

/// The table row of the floor.
pub(super) fn row(in_flight: usize, figures: Figures) -> TableRow {
    let what = format!("calls that do nothing, {in_flight} in flight");
    TableRow { floor_ratio: Some(1.0), ..figures.row(Measurement::Floor, what) }
}

/// Measures `call` for `time` in total, between measurements of the floor with the same settings.
/// `call` takes the number of the call, counted from 0 over all rounds: no number comes twice.
pub(super) async fn compare<F>(
    clients: &[Client],
    in_flight: usize,
    time: Duration,
    call: impl Fn(Client, u64) -> F + Clone + Send + 'static,
) -> Result<Comparison, Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let time = time / ROUNDS;
    let next = Arc::new(AtomicU64::new(0));
    let call = move |client, _| call(client, next.fetch_add(1, Ordering::Relaxed));
    closed_loop(clients, in_flight, WARM_UP, call.clone()).await?;
    let mut before = Figures::from_load(&floor(clients, in_flight, time).await?);
    let (mut floors, mut loads) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let load = closed_loop(clients, in_flight, time, call.clone()).await?;
        let after = Figures::from_load(&floor(clients, in_flight, time).await?);
        loads.push(Figures::from_load(&load));
        floors.push(before.mean(after));
        before = after;
    }
    let ratio = |figure: fn(&Figures) -> f64| {
        let pairs = loads.iter().zip(&floors);
        median(pairs.map(|(load, floor)| figure(load) / figure(floor).max(f64::EPSILON)).collect())
    };
    Ok(Comparison {
        floor: median_figures(&floors),
        load: median_figures(&loads),
        rate_ratio: ratio(|figures| figures.per_s),
        p50_ratio: ratio(|figures| figures.p50_us),
    })
}

/// The median, or 0 if there are no numbers.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

async fn floor(clients: &[Client], in_flight: usize, time: Duration) -> Result<LoadResult, Error> {
    closed_loop(clients, in_flight, time, |client, _| async move {
        client.check_health().await.map(drop)
    })
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
    fn from_load(load: &LoadResult) -> Self {
        let (p50_us, p99_us) = (load.latencies.p50_us() as f64, load.latencies.p99_us() as f64);
        Self { per_s: load.per_s, p50_us, p99_us }
    }

    /// The mean of two measurements.
    fn mean(self, after: Self) -> Self {
        Self {
            per_s: f64::midpoint(self.per_s, after.per_s),
            p50_us: f64::midpoint(self.p50_us, after.p50_us),
            p99_us: f64::midpoint(self.p99_us, after.p99_us),
        }
    }

    pub(super) fn row(self, name: Measurement, what: String) -> TableRow {
        let Self { per_s, p50_us, p99_us } = self;
        TableRow {
            per_s: Some(per_s),
            p50_us: Some(p50_us),
            p99_us: Some(p99_us),
            ..TableRow::new(name, what)
        }
    }
}
