//! The targets of Whimbrel's design, each with its measured figure and those of the peers in the
//! same run. Never measures.

use super::format::{bytes, digits, grouped, time_us};
use super::security;
use super::tables::{NOTHING, head, line, or_nothing};
use crate::peer::Kind;
use crate::results::{Results, Row};
use crate::stats::median;

/// A target, and the measured figure with whether it meets the target.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) target: &'static str,
    pub(super) measured: Option<(String, bool)>,
    pub(super) peers: String,
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
        targets.extend(self.audience());
        targets.push(self.growth());
        targets.push(self.mixed());
        targets.extend(security::targets(self.0));
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
        let of = |measurement: &'static str, name, target, ratio_min: f64| {
            let x = self.size(measurement);
            let figure = |kind, name| self.0.figure(measurement, kind, x, name);
            let measured = figure(Kind::Whimbrel, "per_s").and_then(|own| {
                let ratio = own.ratio(figure(Kind::Nats, "per_s")?)?;
                let cpu_us = self.whimbrel(measurement, None, "cpu_us");
                let lost = figure(Kind::Whimbrel, "lost")?.max;
                let shown = format!(
                    "{ratio:.2} × ({} a second), {} lost, {} of CPU each",
                    grouped(own.median),
                    grouped(lost),
                    or_nothing(cpu_us, time_us),
                );
                Some((shown, ratio >= ratio_min && lost == 0.0))
            });
            let peers =
                self.peers(measurement, None, "per_s", |it| format!("{} a second", grouped(it)));
            Target { name, target, measured, peers }
        };
        vec![
            of(
                "fan_out_shared",
                "P2, 1,000 watchers on 4 connections",
                "≥ 1.50 × NATS core, nothing lost",
                1.5,
            ),
            of(
                "fan_out_own",
                "P2, 1,000 watchers on 1,000 connections",
                "≥ 3.00 × NATS core, nothing lost",
                3.0,
            ),
        ]
    }

    fn feed(&self) -> Target {
        let x = 1_000.0;
        let row = self.0.row("feed", Kind::Whimbrel, x);
        let own = row.and_then(|row| row.figures.get("p50_us"));
        let measured = own.and_then(|own| {
            let to_redis = own.ratio(self.0.figure("feed", Kind::Redis, x, "p50_us")?)?;
            let to_floor = own.ratio(row?.figures.get("floor_p50_us")?)?;
            let shown = format!(
                "{to_redis:.2} × Redis ({}); {to_floor:.2} × a call that returns as many bytes and \
                 does nothing",
                time_us(own.median)
            );
            Some((shown, to_redis < 1.0))
        });
        Target {
            name: "P3",
            target: "NewsFeed, 50 items of 1,000 followees: p50 below that of Redis, which reads a \
                     list that was written in advance",
            measured,
            peers: self.peers("feed", Some(x), "p50_us", time_us),
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
            of("idle_shared", "P4, shared connection", "an idle watcher ≤ 2 KiB", 2.0),
            of("idle_own", "P4, own connection", "an idle watcher ≤ 9.5 KiB", 9.5),
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
            target: "a follow, both directions ≤ 12 B of memory",
            measured: each.map(|it| (bytes(it), it <= 12.0)),
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

    fn audience(&self) -> Vec<Target> {
        /// Watchers, and the most ms to the last of them.
        const LAST: [(f64, f64); 3] = [(1e3, 1.5), (1e4, 8.0), (1e5, 70.0)];
        let last_ms = |kind| -> Option<Vec<f64>> {
            let figure = |x| Some(self.0.figure("audience", kind, x, "last_ms")?.median);
            LAST.iter().map(|(x, _)| figure(*x)).collect()
        };
        let shown = |last_ms: &[f64]| {
            let each: Vec<_> = last_ms.iter().map(|it| digits(*it)).collect();
            format!("{} ms", each.join(" / "))
        };
        let nats = last_ms(Kind::Nats);
        let last = Target {
            name: "P8, the last delivery",
            target: "a post to 1,000 / 10,000 / 100,000 watchers ≤ 1.5 / 8 / 70 ms",
            measured: last_ms(Kind::Whimbrel).map(|own| {
                let is_met = own.iter().zip(LAST).all(|(own, (_, ms_max))| *own <= ms_max);
                (shown(&own), is_met)
            }),
            peers: or_nothing(nats, |it| format!("{} {}", Kind::Nats.label(), shown(&it))),
        };
        let x = Some(1e5);
        let p50 = self.whimbrel("small_posts", x, "beside_p50_us");
        let others = Target {
            name: "P8, others' posts",
            target: "while posts go to 100,000 watchers, others' posts are delivered in p50 ≤ 0.7 \
                     ms, p99 ≤ 5 ms",
            measured: p50.zip(self.whimbrel("small_posts", x, "beside_p99_us")).map(
                |(p50, p99)| {
                    (format!("{}, {}", time_us(p50), time_us(p99)), p50 <= 700.0 && p99 <= 5_000.0)
                },
            ),
            peers: self.each_peer("small_posts", x, |row| {
                let figure = |name| Some(time_us(row.figures.get(name)?.median));
                Some(format!("{}, {}", figure("beside_p50_us")?, figure("beside_p99_us")?))
            }),
        };
        vec![last, others]
    }

    /// Flat cost: the greatest size costs at most 1.1 times the median of the others.
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
            target: "nothing costs more with more users or posts (the greatest size ≤ 1.1 × the \
                     median of the others)",
            measured: feed.zip(publish).map(|(feed, publish)| {
                let shown = format!("a feed {feed:.2} ×, a publish {publish:.2} ×");
                (shown, feed <= 1.1 && publish <= 1.1)
            }),
            peers: NOTHING.to_owned(),
        }
    }

    fn mixed(&self) -> Target {
        let x = Some(64.0);
        let cpu_us = self.whimbrel("mixed", x, "cpu_us");
        Target {
            name: "P10",
            target: "a mixed day, nine reads to a durable write, 64 in flight: ≤ 100 µs of server \
                     CPU a call",
            measured: cpu_us.zip(self.whimbrel("mixed", x, "per_s")).map(|(cpu_us, per_s)| {
                let shown = format!("{} ({} calls a second)", time_us(cpu_us), grouped(per_s));
                (shown, cpu_us <= 100.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Measurement, system, size, name and value of a figure.
    type Measured = (&'static str, Kind, f64, &'static str, f64);

    /// The cells of each target's line by its name: what was measured, and whether it is met.
    fn judged(figures: &[Measured]) -> Vec<(String, String, String)> {
        let mut results = Results::default();
        for (measurement, kind, x, name, value) in figures {
            let row = results.row_mut(measurement, *kind, *x);
            row.figures.entry((*name).to_owned()).or_default().push(*value);
        }
        let table = table(&results);
        let cells = |line: &str| line.split(" | ").map(str::to_owned).collect::<Vec<_>>();
        let lines = table.lines().skip(2).map(cells);
        lines.map(|it| (it[0].replace("| ", ""), it[2].clone(), it[3].clone())).collect()
    }

    fn of(name: &str, figures: &[Measured]) -> (String, String) {
        let lines = judged(figures).into_iter();
        let mut found =
            lines.filter(|(it, ..)| it == name).map(|(_, measured, met)| (measured, met));
        found.next().unwrap_or_default()
    }

    /// The aim: a target is judged by all of its figures, and met only if each of them is.
    #[test]
    fn a_target_is_met_only_in_all_its_parts() {
        let last = |ms: [f64; 3]| {
            [1e3, 1e4, 1e5]
                .into_iter()
                .zip(ms)
                .map(|(x, ms)| ("audience", Kind::Whimbrel, x, "last_ms", ms))
                .collect::<Vec<Measured>>()
        };
        let name = "P8, the last delivery";
        assert_eq!(of(name, &last([1.4, 7.0, 69.0])), of_text("1.40 / 7.00 / 69.0 ms", "yes"));
        assert_eq!(of(name, &last([1.4, 8.1, 69.0])), of_text("1.40 / 8.10 / 69.0 ms", "**no**"));

        let others = |p50, p99| {
            of(
                "P8, others' posts",
                &[
                    ("small_posts", Kind::Whimbrel, 1e5, "beside_p50_us", p50),
                    ("small_posts", Kind::Whimbrel, 1e5, "beside_p99_us", p99),
                ],
            )
        };
        assert_eq!(others(700.0, 5_000.0), of_text("700 µs, 5.00 ms", "yes"));
        assert_eq!(others(701.0, 5_000.0).1, "**no**");
        assert_eq!(others(700.0, 5_001.0).1, "**no**");

        let mixed = |cpu_us| {
            of(
                "P10",
                &[
                    ("mixed", Kind::Whimbrel, 64.0, "cpu_us", cpu_us),
                    ("mixed", Kind::Whimbrel, 64.0, "per_s", 2_090.0),
                ],
            )
        };
        assert_eq!(mixed(99.0), of_text("99.0 µs (2,090 calls a second)", "yes"));
        assert_eq!(mixed(336.0).1, "**no**");

        let tls = |alone, cpu_us| {
            of(
                "P13, a token and TLS",
                &[
                    ("security_plain", Kind::Whimbrel, 1.0, "look_up_p50_us", 100.0),
                    ("security_plain", Kind::Whimbrel, 64.0, "look_up_cpu_us", 10.0),
                    ("security_tls", Kind::Whimbrel, 1.0, "look_up_p50_us", alone),
                    ("security_tls", Kind::Whimbrel, 64.0, "look_up_cpu_us", cpu_us),
                ],
            )
        };
        assert_eq!(tls(130.0, 13.5), of_text("1.30 ×, 1.35 ×", "yes"));
        assert_eq!(tls(136.0, 13.5).1, "**no**");
        assert_eq!(tls(130.0, 13.6).1, "**no**");
    }

    /// The aim: a target that compares with a peer is judged only if the peer was measured, and what
    /// was not measured is neither met nor missed.
    #[test]
    fn what_was_not_measured_is_not_judged() {
        let own = ("feed", Kind::Whimbrel, 1e3, "p50_us", 90.0);
        let floor = ("feed", Kind::Whimbrel, 1e3, "floor_p50_us", 60.0);
        let redis = ("feed", Kind::Redis, 1e3, "p50_us", 100.0);
        let hydrated = ("feed", Kind::RedisHydrated, 1e3, "p50_us", 300.0);
        let (measured, met) = of("P3", &[own, floor, redis]);
        assert!(measured.starts_with("0.90 × Redis (90.0 µs); 1.50 ×"), "{measured}");
        assert_eq!(met, "yes");
        assert_eq!(of("P3", &[own, floor, hydrated]), of_text(NOTHING, NOTHING));

        let all = judged(&[]);
        assert_eq!(all.len(), 18, "{all:?}");
        assert!(all.iter().all(|(_, measured, met)| measured == NOTHING && met == NOTHING));
    }

    fn of_text(measured: &str, met: &str) -> (String, String) {
        (measured.to_owned(), met.to_owned())
    }
}
