//! `whimbrel bench --shape`: the published shapes are what was published, a shape of one's own runs from
//! its data to its results, and calls that waited for a stalled server or client are charged for it.
//! Speed is not checked.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use whimbrel::cli::bench::shape::{
    BUILT_IN, CallKind, CallWeights, FollowEdge, FollowGraph, OUTSTANDING_MAX, Shape, ShapeError,
    StepResult, open_loop,
};

use crate::harness::program::Program;

/// A shape with every kind of call and every part of a post. It is small, and ends at the first step
/// with a call that takes longer than one millisecond.
const OWN: &str = r#"
users = 20
follows = 100
mutual = false
audience_tail = 1.5
posts = 40
scale = 1
page_items = 5
[text]
chars = 30
mentions = [1, 2]
links = [1, 2]
link_bytes = 71
media = [1, 2]
[calls]
feed = 1
user_posts = 1
publish = 1
follow = 1
[load]
rates = [100, 200]
warm_up_seconds = 0
seconds = 1
p99_ms_max = 1
[published]
figures = "ten a day"
hardware = "an abacus"
source = "a stone tablet"
not_comparable = "it has beads"
"#;

/// A shape from a file: its data is made, each step has a row with each kind of call, and at the end
/// stands what was held, with the published figures.
#[test]
fn a_shape_of_ones_own_runs_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    std::fs::write(&file, OWN).unwrap();
    let data = tempfile::tempdir().unwrap();
    let (file, data_in) = (file.to_str().unwrap(), data.path().to_str().unwrap());
    let ran = Program::new().run_with(&["bench", "--json", "--shape", file, "--data-in", data_in]);
    ran.printed();
    let lines = ran.lines();

    let prepared = &lines[0]["prepared"];
    assert_eq!((&prepared["users"], &prepared["follows"]), (&20.into(), &100.into()));
    assert_eq!((&prepared["posts"], &prepared["scale"]), (&40.into(), &1.into()));

    let steps: Vec<_> = lines.iter().filter_map(|line| line.get("measured")).collect();
    assert!(steps.len() >= 2, "both rates are measured: {lines:?}");
    assert_eq!((&steps[0]["rate"], &steps[1]["rate"]), (&100.0.into(), &200.0.into()));
    for step in &steps[..2] {
        let calls = step["calls"].as_array().unwrap();
        let kinds: Vec<_> = calls.iter().map(|call| call["call"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["feed", "user_posts", "publish", "follow"]);
        for row in calls.iter().chain([*step]) {
            assert!(row["perS"].as_f64().unwrap() > 0.0, "{row}");
            assert_eq!(row["errors"], 0, "{row}; {}", ran.stderr);
            assert!(["p50Us", "p99Us", "p999Us"].iter().all(|it| row[it].is_u64()), "{row}");
        }
        if cfg!(target_os = "linux") {
            for field in ["serverCpuUs", "serverCores", "clientCores", "serverKib"] {
                assert!(step[field].is_number(), "{field} of {step}");
            }
        }
    }
    let held = &lines.last().unwrap()["held"];
    assert!(held["perS"].is_number() && held["published"]["hardware"] == "an abacus", "{held}");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "no folder is left");
}

/// The built-in shapes can be used, and have the published numbers.
#[test]
fn the_built_in_shapes_are_what_was_published() {
    for (name, text) in BUILT_IN {
        let shape = Shape::from_toml(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(shape.published.is_some(), "{name}");
        let scaled = shape.clone().scaled(shape.scale).unwrap();
        assert!(scaled.changes() < 3_000_000, "{name} is prepared in minutes");
    }
    let mix = |shape: &Shape| {
        let CallWeights { feed, user_posts, publish, follow } = shape.calls;
        [feed, user_posts, publish, follow]
    };
    for (name, follows) in [("getstream", 20_000_000), ("getstream-200", 10_000_000 * 200)] {
        let shape = built_in(name);
        assert_eq!((shape.users, shape.follows, shape.posts), (10_000_000, follows, 50_000_000));
        assert_eq!((mix(&shape), shape.load.rates), ([90, 0, 10, 0], vec![500, 1_000, 1_500]));
    }
    for (name, calls) in
        [("deathstarbench", [60, 30, 10, 0]), ("deathstarbench-nightcore", [25, 40, 30, 5])]
    {
        let shape = built_in(name);
        assert_eq!((shape.users, shape.follows, shape.mutual), (962, 2 * 18_812, true));
        assert_eq!((mix(&shape), shape.page_items, shape.scale), (calls, 10, 1));
        let text = shape.text;
        assert_eq!((text.chars, text.link_bytes), (64, 71));
        assert_eq!([text.mentions, text.links, text.media], [[1, 3]; 3]);
        assert!(shape.posts >= 101 * shape.users, "all timelines are full");
    }
    let twitter = built_in("twitter-2013");
    assert_eq!((mix(&twitter), twitter.users), ([300, 0, 6, 0], 150_000_000));
    assert_eq!(twitter.follows / twitter.users, 403);
    assert!(twitter.audience_tail.is_some());
}

/// Of audiences with a tail, most are smaller than the mean and a few far greater. No follow is made
/// twice, and nobody follows themselves.
#[test]
fn audiences_have_the_mean_and_the_tail_of_the_shape() {
    // A thousand users.
    let shape = built_in("twitter-2013").scaled(150_000).unwrap();
    let audiences = audiences(&shape);
    assert_eq!(audiences.iter().sum::<u64>(), 403 * 1_000);
    assert_eq!(audiences.last(), Some(&999), "the greatest is everybody else");
    assert!(audiences[500] < 350, "the median is {}", audiences[500]);

    let equal = self::audiences(&built_in("getstream-200").scaled(10_000).unwrap());
    assert_eq!(equal, [200; 1_000]);
    let mixed = Shape { users: 100, follows: 250, ..built_in("getstream") };
    let mixed = self::audiences(&mixed);
    assert_eq!((mixed.iter().sum(), mixed[0], mixed[99]), (250_u64, 2, 3));
    let everybody = Shape { users: 10, follows: 90, ..built_in("twitter-2013") };
    assert_eq!(self::audiences(&everybody), [9; 10]);
}

/// A friendship is two follows, and no pair of users has it twice.
#[test]
fn follows_of_mutual_graphs_are_returned() {
    let shape = built_in("deathstarbench");
    audiences(&shape);
    let edges: HashSet<_> = FollowGraph::new(&shape).edges().collect();
    for FollowEdge { follower, followee } in &edges {
        assert!(edges.contains(&FollowEdge { follower: *followee, followee: *follower }));
    }
    let all = Shape { users: 9, follows: 72, mutual: true, ..shape };
    assert_eq!(audiences(&all), [8; 9]);
}

/// While a server answers nothing, calls stay due, and each is charged from then on: not only the one
/// call that a client with one call at a time would have made.
#[tokio::test(start_paused = true)]
async fn calls_that_were_due_while_the_server_stalled_are_charged() {
    let started = Instant::now();
    let back_at = started + Duration::from_secs(1);
    let dues: Vec<_> = (1..=10).map(|tenth| started + Duration::from_millis(tenth * 100)).collect();
    let answer = move || async move {
        sleep_until(back_at).await;
        Ok(())
    };
    let (sender, arrivals) = mpsc::unbounded_channel();
    let pace = async {
        // Moved in, so that the arrivals end with it.
        let sender = sender;
        for &due in &dues {
            sleep_until(due).await;
            sender.send(due).unwrap();
        }
    };
    let (result, ()) = tokio::join!(open_loop(arrivals, || (CallKind::Feed, answer())), pace);
    assert_stalled(&result);

    // The server answers at once, but the client was late.
    sleep_until(back_at).await;
    let arrivals = arrivals_at_once(dues);
    assert_stalled(&open_loop(arrivals, || (CallKind::Feed, async { Ok(()) })).await);
}

/// A step ends when too many calls have no answer. Their answers are waited for, and counted as late.
#[tokio::test(start_paused = true)]
async fn a_step_with_too_many_calls_without_an_answer_is_saturated() {
    let started = Instant::now();
    let arrivals = arrivals_at_once(vec![started; OUTSTANDING_MAX + 10]);
    let answer = move || async move {
        sleep_until(started + Duration::from_secs(3)).await;
        Ok(())
    };
    let result = open_loop(arrivals, || (CallKind::Publish, answer())).await;
    assert!(result.is_saturated());
    let calls = result.of(CallKind::Publish);
    assert_eq!((calls.due(), calls.answered_in_time()), (OUTSTANDING_MAX as u64, 0));
    assert!(calls.latency_us(0.01) >= 2_990_000, "{calls:?}");

    let enough = arrivals_at_once(vec![Instant::now(); OUTSTANDING_MAX]);
    let result = open_loop(enough, || (CallKind::Publish, async { Ok(()) })).await;
    assert!(!result.is_saturated());
}

/// Descriptions that cannot be used are refused, with the key and what to give instead.
#[test]
fn descriptions_that_cannot_be_used_are_refused() {
    assert!(Shape::from_toml(OWN).is_ok());
    for (from, to, problem) in [
        ("users = 20", "userz = 20", "unknown field `userz`"),
        ("users = 20", "", "missing field `users`"),
        ("users = 20", "users = \"many\"", "expected u64"),
        ("users = 20", "users = ", "TOML parse error"),
        ("users = 20", "users = 1", "`users` is 1: give a number from 2 to 4000000000"),
        ("scale = 1", "scale = 0", "`scale` is 0: give a number from 1"),
        ("page_items = 5", "page_items = 101", "`page_items` is 101: give a number from 1 to 100"),
        ("feed = 1", "feeds = 1", "unknown field `feeds`"),
        ("seconds = 1\n", "seconds = 0\n", "`load.seconds` is 0: give a number from 1 to 3600"),
        ("[100, 200]", "[]", "`load.rates` must have at least one rate, and rise"),
        ("[100, 200]", "[200, 100]", "`load.rates` must have at least one rate, and rise"),
        ("[100, 200]", "[0]", "`load.rates` is 0: give a number from 1"),
        ("p99_ms_max = 1", "p99_ms_max = 0", "`load.p99_ms_max` is 0"),
        ("audience_tail = 1.5", "audience_tail = 1.0", "`audience_tail` must be greater than 1"),
        ("audience_tail = 1.5", "audience_tail = nan", "`audience_tail` must be greater than 1"),
        ("mentions = [1, 2]", "mentions = [3, 2]", "must not be greater than the second"),
        ("mentions = [1, 2]", "mentions = [1, 17]", "`text.mentions` is 17"),
        ("chars = 30", "chars = 280", "give fewer `chars`"),
        ("link_bytes = 71", "link_bytes = 5", "`text.link_bytes` is 5: give a number from 32"),
        ("media = [1, 2]", "media = [1, 9]", "`text.media` is 9: give a number from 0 to 8"),
    ] {
        let changed = OWN.replacen(from, to, 1);
        assert_ne!(changed, OWN, "{from}");
        let refused = Shape::from_toml(&changed).expect_err(to).to_string();
        assert!(refused.contains(problem), "{to:?}: {refused}");
    }
    let no_calls = OWN.replace(
        "feed = 1\nuser_posts = 1\npublish = 1\nfollow = 1",
        "feed = 0\nuser_posts = 0\npublish = 0\nfollow = 0",
    );
    let refused = Shape::from_toml(&no_calls).unwrap_err().to_string();
    assert!(refused.contains("give at least one call a weight"), "{refused}");

    let own = Shape::from_toml(OWN).unwrap();
    assert!(own.clone().scaled(2).is_ok(), "10 users and 50 follows");
    // From 5 users and 25 follows on.
    for scale in [4, 10, 20, 1_000_000] {
        let refused = own.clone().scaled(scale).unwrap_err();
        assert!(matches!(refused, ShapeError::Conflict(why) if why.contains("smaller --scale")));
    }
}

/// Wrong command lines say what is possible.
#[test]
fn wrong_options_of_a_shape_are_refused() {
    let ran = |line: &str| Program::new().run(line);
    let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    ran("bench --shape friendster").failed(2, &names.join(", "));
    ran("bench --shape getstream --scale 9999999").failed(2, "give a smaller --scale");
    ran("bench --shape getstream --scale 0").failed(2, "give a whole number, 1 or more");
    ran("bench --scale 10").failed(2, "--shape");
    ran("bench --print-shape").failed(2, "--shape");
    ran("bench --shape getstream --only feed").failed(2, "cannot be used with");
    ran("bench --shape getstream --in-flight 64").failed(2, "cannot be used with");
}

/// A description is printed as it is written, to start one's own from; and as an object for machines.
#[test]
fn a_shape_is_printed_as_it_is_written() {
    for (name, text) in BUILT_IN {
        let printed = Program::new().run(&format!("bench --shape {name} --print-shape"));
        assert_eq!(printed.printed().trim_end(), text.trim_end());
        let help = Program::new().run("bench --help");
        assert!(help.printed().contains(name), "{name} is not in the help");
    }
    let lines = Program::new().run("bench --json --shape deathstarbench --print-shape").lines();
    assert_eq!(lines[0]["shape"]["users"], Value::from(962));
}

fn built_in(name: &str) -> Shape {
    let (_, text) = BUILT_IN.into_iter().find(|(known, _)| *known == name).expect(name);
    Shape::from_toml(text).unwrap()
}

/// How many followers each user has, rising. Panics if a follow is doubled, or of oneself.
fn audiences(shape: &Shape) -> Vec<u64> {
    let mut audiences: HashMap<u32, u64> = HashMap::new();
    let mut seen = HashSet::new();
    for edge in FollowGraph::new(shape).edges() {
        assert_ne!(edge.follower, edge.followee);
        assert!(edge.follower.max(edge.followee) < shape.users as u32, "{edge:?}");
        assert!(seen.insert(edge), "{edge:?} is there twice");
        *audiences.entry(edge.followee).or_default() += 1;
    }
    assert_eq!(seen.len() as u64, shape.follows);
    let mut sizes: Vec<_> = audiences.into_values().collect();
    sizes.sort_unstable();
    sizes
}

fn arrivals_at_once(dues: Vec<Instant>) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, arrivals) = mpsc::unbounded_channel();
    for due in dues {
        sender.send(due).unwrap();
    }
    arrivals
}

/// Ten calls, due each tenth of a second, were all answered at the end of the second.
fn assert_stalled(result: &StepResult) {
    let calls = result.of(CallKind::Feed);
    assert_eq!((calls.due(), calls.errors(), result.all().due()), (10, 0, 10));
    let hundredths = [0.1, 0.5, 1.0].map(|quantile| calls.latency_us(quantile) / 10_000);
    assert_eq!(hundredths, [0, 40, 90]);
}
