//! The targets of Whimbrel's design, each with its measured figure and those of the peers in the
//! same run. Never measures.

use super::format::{bytes, digits, grouped, time_us};
use super::tables::{NOTHING, head, line, or_nothing};
use crate::peer::Kind;
use crate::results::{Results, Row};
use crate::stats::median;

/// A target, and the measured figure with whether it meets the target.
struct Target {
    name: &'static str,
    target: &'static str,
    measured: Option<(String, bool)>,
    peers: String,
}

/// The table of all targets.
pub(super) fn table(results: &Results) -> String {
    if results.quick {
        return "*(a quick run's sizes are not those of the targets)*\n".to_owned();
    }
    let look = Look(results);
    let mut lines = head(&["", "target", "measured", "met", "peers, in the same run"]);
    for Target { name, target, measured, peers } in look.targets() {
        let met = measured.as_ref().map(|(_, met)| if *met { "yes" } else { "**no**" });
        let measured = measured.as_ref().map_or(NOTHING, |(measured, _)| measured);
        let cells = [name, target, measured, met.unwrap_or(NOTHING), &peers];
        lines += &line(&cells.map(str::to_owned));
    }
    lines
}

struct Look<'a>(&'a Results);

impl Look<'_> {
    fn targets(&self) -> Vec<Target> {
        let mut targets = vec![self.thousand()];
        targets.extend(self.publish());
        targets.extend(self.fan_out());
        targets.push(self.feed());
        targets.extend(self.idle());
        targets.push(self.latency());
        targets.push(self.edges());
        targets.push(self.restart());
        targets.push(self.audience());
        targets.push(self.growth());
        targets
    }

    fn thousand(&self) -> Target {
        let seconds = self.whimbrel("thousand", None, "seconds");
        Target {
            name: "P0",
            target: "1,000 posts of 1,000 users ≤ 0.015 s, each durable",
            measured: seconds.map(|it| (format!("{it:.3} s"), it <= 0.015)),
            peers: self.peers("thousand", None, "seconds", |it| format!("{it:.3} s")),
        }
    }

    fn publish(&self) -> Vec<Target> {
        let row = |x| self.0.row("publish", Kind::Whimbrel, x);
        let targets = [
            (64.0, "P1, 64 in flight", "Publish ≥ 0.90 × a call that does nothing", 0.90),
            (256.0, "P1, 256 in flight", "Publish ≥ 0.65 × a call that does nothing", 0.65),
        ];
        targets
            .map(|(x, name, target, ratio_min)| {
                let ratio = row(x).and_then(|row| {
                    row.figures.get("per_s")?.ratio(row.figures.get("floor_per_s")?)
                });
                let per_s = self.whimbrel("publish", Some(x), "per_s").unwrap_or_default();
                let shown = |it: f64| format!("{it:.2} × ({} a second)", grouped(per_s));
                Target {
                    name,
                    target,
                    measured: ratio.map(|it| (shown(it), it >= ratio_min)),
                    peers: self.peers("publish", Some(x), "per_s", |it| {
                        format!("{} a second", grouped(it))
                    }),
                }
            })
            .into()
    }

    fn fan_out(&self) -> Vec<Target> {
        let of = |measurement: &'static str, name, target, cpu_us_max: f64| {
            let x = self.size(measurement);
            let figure = |kind, name| self.0.figure(measurement, kind, x, name);
            let measured = figure(Kind::Whimbrel, "per_s").map(|own| {
                let ratio = figure(Kind::Nats, "per_s").and_then(|nats| own.ratio(nats));
                let cpu_us = self.whimbrel(measurement, None, "cpu_us").unwrap_or(f64::INFINITY);
                let lost = figure(Kind::Whimbrel, "lost").map_or(f64::INFINITY, |it| it.max);
                let shown = format!(
                    "{} × ({} a second), {} lost, {} µs each",
                    or_nothing(ratio, |it| format!("{it:.2}")),
                    grouped(own.median),
                    grouped(lost),
                    digits(cpu_us)
                );
                let is_fast = ratio.is_some_and(|it| it >= 1.0);
                (shown, is_fast && lost == 0.0 && cpu_us <= cpu_us_max)
            });
            let peers =
                self.peers(measurement, None, "per_s", |it| format!("{} a second", grouped(it)));
            Target { name, target, measured, peers }
        };
        vec![
            of(
                "fan_out_shared",
                "P2, 1,000 watchers on 4 connections",
                "≥ 1.00 × NATS core, nothing lost",
                f64::INFINITY,
            ),
            of(
                "fan_out_own",
                "P2, 1,000 watchers on 1,000 connections",
                "≥ 1.00 × NATS core, nothing lost, ≤ 2.0 µs of CPU each",
                2.0,
            ),
        ]
    }

    fn feed(&self) -> Target {
        let x = Some(1_000.0);
        let row = self.0.row("feed", Kind::Whimbrel, 1_000.0);
        let ratio =
            row.and_then(|row| row.figures.get("p50_us")?.ratio(row.figures.get("floor_p50_us")?));
        let p50 = self.whimbrel("feed", x, "p50_us").unwrap_or_default();
        Target {
            name: "P3",
            target: "NewsFeed, 50 items of 1,000 followees: p50 ≤ 2 × a call that returns as many \
                     bytes and does nothing",
            measured: ratio.map(|it| (format!("{it:.2} × ({})", time_us(p50)), it <= 2.0)),
            peers: self.peers("feed", x, "p50_us", time_us),
        }
    }

    fn idle(&self) -> Vec<Target> {
        let of = |measurement: &'static str, name, target, kib_max: f64| {
            let each = self.whimbrel(measurement, None, "bytes_each");
            let measured = each.map(|it| (bytes(it), it <= kib_max * 1_024.0));
            let peers = self.peers(measurement, None, "bytes_each", bytes);
            Target { name, target, measured, peers }
        };
        vec![
            of("idle_shared", "P4, shared connection", "an idle watcher ≤ 8 KiB", 8.0),
            of("idle_own", "P4, own connection", "an idle watcher ≤ 24 KiB", 24.0),
        ]
    }

    fn latency(&self) -> Target {
        let x = Some(5_000.0);
        let p50 = self.whimbrel("latency", x, "p50_us");
        let measured = p50.zip(self.whimbrel("latency", x, "p99_us")).map(|(p50, p99)| {
            (format!("{}, {}", time_us(p50), time_us(p99)), p50 <= 400.0 && p99 <= 1_500.0)
        });
        let peers = self.each_peer("latency", x, |row| {
            let (p50, p99) = (row.figures.get("p50_us")?, row.figures.get("p99_us")?);
            Some(format!("{}, {}", time_us(p50.median), time_us(p99.median)))
        });
        Target {
            name: "P5",
            target: "publish to delivery at 5,000 posts/s: p50 ≤ 0.4 ms, p99 ≤ 1.5 ms",
            measured,
            peers,
        }
    }

    fn edges(&self) -> Target {
        let each = self.whimbrel("edges", None, "memory_bytes_each");
        Target {
            name: "P6",
            target: "a follow, both directions ≤ 24 B of memory",
            measured: each.map(|it| (bytes(it), it <= 24.0)),
            peers: self.peers("edges", None, "memory_bytes_each", bytes),
        }
    }

    fn restart(&self) -> Target {
        let most = self.0.sizes("growth").pop().filter(|size| *size >= 1e7);
        let seconds = most.and_then(|x| self.whimbrel("growth", Some(x), "restart_seconds"));
        Target {
            name: "P7",
            target: "serving after kill -9 with 5M posts and 5M edges ≤ 0.5 s",
            measured: seconds.map(|it| (format!("{} s", digits(it)), it <= 0.5)),
            peers: match self.size("restart") {
                0.0 => NOTHING.to_owned(),
                x => {
                    let peers =
                        self.peers("restart", None, "seconds", |it| format!("{} s", digits(it)));
                    format!("with {0} of each: {peers}", grouped(x))
                }
            },
        }
    }

    fn audience(&self) -> Target {
        let most = self.0.sizes("small_posts").pop().filter(|size| *size >= 1e5);
        let measured = most.and_then(|x| {
            let figure = |name| self.whimbrel("small_posts", Some(x), name);
            let (last_ms, alone, beside) =
                (figure("last_ms")?, figure("alone_p99_us")?, figure("beside_p99_us")?);
            let shown = format!(
                "{} ms; p99 of others' posts {}, and {} without it",
                digits(last_ms),
                time_us(beside),
                time_us(alone)
            );
            Some((shown, last_ms <= 500.0 && beside < last_ms * 1e2))
        });
        Target {
            name: "P8",
            target: "the last of 100,000 live followers ≤ 500 ms, others' posts not delayed (the \
                     p99 of their delivery stays below a tenth of that time)",
            measured,
            peers: self.peers("small_posts", None, "last_ms", |it| format!("{} ms", digits(it))),
        }
    }

    /// Flat cost: the greatest size costs at most 1.5 times the median of the others.
    fn growth(&self) -> Target {
        let sizes = self.0.sizes("growth");
        let by_size = |name: &str| -> Vec<f64> {
            sizes.iter().filter_map(|x| self.whimbrel("growth", Some(*x), name)).collect()
        };
        let slope = |name: &str| {
            let (most, others) =
                by_size(name).split_last().map(|(most, it)| (*most, it.to_vec()))?;
            let others = median(&others);
            (others > 0.0).then(|| most / others)
        };
        let feed = slope("feed_p50_us");
        let publish = slope("publish_per_s").map(|ratio| 1.0 / ratio);
        Target {
            name: "P9",
            target: "nothing costs more with more users or posts (the greatest size ≤ 1.5 × the \
                     median of the others)",
            measured: feed.zip(publish).map(|(feed, publish)| {
                let shown = format!("a feed {feed:.2} ×, a publish {publish:.2} ×");
                (shown, feed <= 1.5 && publish <= 1.5)
            }),
            peers: NOTHING.to_owned(),
        }
    }

    /// The first size of a measurement.
    fn size(&self, measurement: &str) -> f64 {
        let mut sizes = self.0.sizes(measurement).into_iter().filter(|size| *size > 0.0);
        sizes.next().unwrap_or_default()
    }

    fn whimbrel(&self, measurement: &str, x: Option<f64>, name: &str) -> Option<f64> {
        let x = x.unwrap_or_else(|| self.size(measurement));
        Some(self.0.figure(measurement, Kind::Whimbrel, x, name)?.median)
    }

    /// A figure of all peers.
    fn peers(
        &self,
        measurement: &str,
        x: Option<f64>,
        name: &str,
        write: impl Fn(f64) -> String,
    ) -> String {
        self.each_peer(measurement, x, |row| Some(write(row.figures.get(name)?.median)))
    }

    fn each_peer(
        &self,
        measurement: &str,
        x: Option<f64>,
        write: impl Fn(&Row) -> Option<String>,
    ) -> String {
        let x = x.unwrap_or_else(|| self.size(measurement));
        let systems = self.0.systems(measurement).into_iter();
        let others = systems.filter(|kind| *kind != Kind::Whimbrel).filter_map(|kind| {
            let written = write(self.0.row(measurement, kind, x)?)?;
            Some(format!("{} {written}", kind.label()))
        });
        let others: Vec<String> = others.collect();
        if others.is_empty() { NOTHING.to_owned() } else { others.join("; ") }
    }
}
