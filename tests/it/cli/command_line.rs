//! The command line: accepted arguments, refusals, their messages and exit codes.

use clap::{Command, CommandFactory};
use whimbrel::cli::Cli;

use crate::harness::program::Program;
use crate::harness::{TestServer, id_at};

/// The variable of a flag accepts the usual words for yes and no, and nothing else. Each run gets as far
/// as the data folder, which cannot be created.
#[test]
fn the_flags_of_the_server_may_be_set_by_their_variables() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let data = file.path().join("data").display().to_string();
    let serve = |variable: &str, value: &str, listen: &str| {
        let arguments = ["serve", "--data", &data, "--listen", listen];
        Program::new().with(variable, value).run_with(&arguments)
    };
    for variable in ["WHIMBREL_INSECURE", "WHIMBREL_NO_REFLECTION"] {
        for value in ["1", "true", "YES", " on\n", "0", "false", "no", "OFF"] {
            serve(variable, value, "127.0.0.1:0").failed(4, &data);
        }
        for value in ["", "2", "maybe", "truthy"] {
            serve(variable, value, "127.0.0.1:0").failed(2, "1, true, yes or on");
        }
    }
    serve("WHIMBREL_INSECURE", "1", "0.0.0.0:0").failed(4, &data);
    serve("WHIMBREL_INSECURE", "0", "0.0.0.0:0").failed(4, "--insecure");
}

/// A log filter with a mistake is refused. A filter for one module still logs the others.
#[test]
fn a_mistaken_log_filter_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let data = file.path().join("data").display().to_string();
    let serve = |filter: &str| {
        Program::new().run_with(&[
            "serve",
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
            "--log",
            filter,
        ])
    };
    for (filter, why) in [
        ("inof", "\"inof\" is no level: give off, error, warn, info, debug or trace"),
        ("info,wihmbrel", "\"wihmbrel\" is no level"),
        ("whimbrel=debgu", "\"debgu\" of whimbrel is no level"),
        ("whimbrel=", "\"\" of whimbrel is no level"),
        ("=debug", "\"\" is no part"),
        ("whimbrel[span]=debug", "\"whimbrel[span]\" is no part"),
        ("6", "\"6\" is no level"),
    ] {
        serve(filter).failed(2, why);
    }
    for filter in ["", "off", "WARN", "whimbrel=debug", "warn, whimbrel::live=trace ,h2=off"] {
        serve(filter).failed(4, &data);
    }
}

/// `--addr` may stand before or after the verb. The later one counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_may_stand_before_the_verb() {
    let server = TestServer::start().await;
    let address = server.address();
    let elsewhere = || Program::new().with("WHIMBREL_ADDR", "127.0.0.1:1");
    for arguments in [
        format!("--addr {address} feed alice"),
        format!("feed --addr {address} alice"),
        format!("feed alice --addr {address}"),
        format!("--addr 127.0.0.1:1 feed alice --addr {address}"),
        format!("--addr {address} notifications alice"),
        format!("--addr {address} follow alice bob"),
    ] {
        elsewhere().run(&arguments).printed();
    }
    elsewhere().run("feed alice").failed(3, "127.0.0.1:1");

    // Verbs that call no server refuse the flag.
    let serve = format!("--addr {address} serve --listen 127.0.0.1:0");
    elsewhere().run(&serve).failed(2, "--listen");
    elsewhere().run(&format!("serve --addr {address}")).failed(2, "--listen");
    // They ignore the variable.
    let data = tempfile::NamedTempFile::new().unwrap().path().join("data").display().to_string();
    let bench = elsewhere().run_with(&["bench", "--only", "floor", "--data-in", &data]);
    bench.failed(1, &data);
    elsewhere().run(&format!("--addr {address} bench --data-in .")).failed(2, "--addr");
    elsewhere().run("bench --pid 1").failed(2, "--addr");
}

/// A number out of range is refused with the range, negative numbers too.
#[test]
fn a_number_out_of_range_is_refused_with_the_range() {
    for (arguments, range) in [
        ("feed alice --page-size -1", "0 or more"),
        ("feed alice --page-size=-1", "0 or more"),
        ("notifications alice --page-size -1", "0 or more"),
        ("likes alice p1 --page-size ten", "0 or more"),
        ("feed alice --page-size 99999999999", "too large"),
        ("chain x", "0 or more"),
        ("chain 99999999999999999999", "too large"),
        ("thread alice p1 --depth-max -1", "0 or more"),
        ("thread alice p1 --replies-max -5", "0 or more"),
        ("watch alice --snapshot -1", "0 or more"),
        ("watch alice --limit -1", "1 or more"),
        ("watch alice --limit 0", "1 or more"),
        ("watch alice --heartbeat -1", "from 1 to 3600"),
        ("import --posts x --in-flight -1", "from 1 to 1024"),
        ("import --posts x --retry-for -1", "from 0 to 86400"),
        ("bench --seconds -1", "from 1 to 3600"),
        ("bench --connections 0", "from 1 to 1024"),
        ("serve --follows-max -1", "1 or more"),
        ("serve --follows-max 0", "1 or more"),
        ("serve --threads 0", "1 or more"),
        ("serve --disk-free-min -1", "from 0 to 1073741824"),
        ("serve --post-cache 99999999999999999999", "from 0 to 1073741824"),
        ("serve --compact-every 0", "from 1 to 3153600000"),
        ("serve --drain-notice 18446744073709551615", "from 0 to 3153600000"),
    ] {
        let ran = Program::new().run(arguments);
        ran.failed(2, range).failed(2, "invalid value");
        assert!(!ran.stderr.contains("tip:"), "{arguments}: {ran:?}");
        let is_large = ran.stderr.contains("too large");
        assert_eq!(is_large, range == "too large", "{arguments}: {ran:?}");
    }
}

/// A reply to nothing would be a post. A shell gives nothing for a variable that is not set.
#[test]
fn an_empty_reference_is_refused() {
    for arguments in [
        &["reply", "alice", "", "text"],
        &["quote", "alice", "", "text"],
        &["publish", "alice", "text", "--reply-to="],
        &["publish", "alice", "text", "--quote="],
    ] {
        Program::new().run_with(arguments).failed(2, "it is empty: give the id of a post");
    }
}

/// What cannot work is refused before anything is called or watched, with the reason.
#[test]
fn what_does_not_exist_is_refused_at_once() {
    let unreachable = || Program::new().with("WHIMBREL_ADDR", "127.0.0.1:1");
    let ran = unreachable().run("watch alice --cursor-file nowhere/cursor");
    ran.failed(1, "cannot use nowhere: ");
    let ran = unreachable().run("bench --addr 127.0.0.1:1 --pid 4294967295");
    ran.failed(2, "process 4294967295");
    let ran = unreachable().run("bench --addr 127.0.0.1:1 --only floor");
    assert_eq!(ran.failed(3, "cannot reach").stdout, "", "no table without rows");
}

/// Every number in range is accepted: these runs fail later, for another reason.
#[test]
fn a_number_in_range_is_accepted() {
    let unreachable = || Program::new().with("WHIMBREL_ADDR", "127.0.0.1:1");
    for arguments in [
        "feed alice --page-size 7",
        "thread alice p1 --depth-max 3 --replies-max 0",
        "watch alice --snapshot 5 --limit 1 --heartbeat 3600",
        "bench --addr 127.0.0.1:1 --pid 1 --seconds 1 --connections 1 --in-flight 4096 --watchers 4 \
         --posts 100000",
    ] {
        unreachable().run(arguments).failed(3, "cannot reach 127.0.0.1:1");
    }
    let nowhere = "import --posts nowhere --in-flight 1024 --retry-for 0";
    unreachable().run(nowhere).failed(1, "nowhere");
    let file = tempfile::NamedTempFile::new().unwrap();
    let data = file.path().join("data").display().to_string();
    let serve = format!(
        "serve --data {data} --disk-free-min 1 --post-cache 1 --follows-max 1 --user-streams-max 1 \
         --streams-max 1 --connections-max 1 --address-connections-max 1 --threads 1 \
         --compact-every 1 --drain-notice 0 --keepalive 1"
    );
    Program::new().run(&serve).failed(4, &data);
}

/// A malformed cursor or token is a final error: it is not retried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_cursor_is_final() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cursor");
    let kept = file.display();
    std::fs::write(&file, "abc\n").unwrap();
    for arguments in [
        "watch alice --after abc",
        "notifications alice --watch --after abc",
        &format!("watch alice --cursor-file {kept}"),
        "feed alice --page-token abc",
        "feed alice --at-least abc",
        "posts alice --page-token abc",
        "followers alice --page-token abc",
        "notifications alice --page-token abc",
        "seen alice abc",
    ] {
        let ran = Program::calling(server.address()).run(arguments);
        ran.failed(1, "MALFORMED");
        assert!(!ran.stderr.contains("trying again"), "{arguments}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{arguments}: {ran:?}");
    }
    std::fs::write(&file, "\n").unwrap();
    let ran = Program::calling(server.address()).run(&format!("watch alice --cursor-file {kept}"));
    ran.failed(1, "holds no cursor").failed(1, &kept.to_string());
}

/// A verb for one thing ends with 1 if that is not found. An empty list is no error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_has_its_exit_code() {
    let server = TestServer::start().await;
    let post = server.user("alice").publishes("hi").await.post_id;
    let gone = id_at(999, &post);
    let run = |arguments: &str| Program::calling(server.address()).run(arguments);
    for verb in ["thread", "likes", "reposts", "replies", "quotes", "like", "repost", "delete"] {
        run(&format!("{verb} alice {gone}")).failed(1, &gone);
    }
    for verb in ["reply", "quote"] {
        run(&format!("{verb} alice {gone} text")).failed(1, &gone);
    }
    run(&format!("show alice {gone}"))
        .failed(1, &format!("there is no {gone}"))
        .failed(1, "not found: 1 of 1");
    let partly = run(&format!("show alice {post} {gone}"));
    partly.failed(1, "not found: 1 of 2");
    assert!(partly.stdout.contains(&post), "the other post is shown: {partly:?}");
    run(&format!("show alice {post}")).printed();
    for arguments in ["feed nobody", "posts nobody", "followers nobody", "profile nobody"] {
        run(arguments).printed();
    }
    run(&format!("likes alice {post}")).printed();
}

/// Help fits a terminal, and has the exit codes and the form of JSON. Usage has only the required
/// arguments, not those with a variable.
#[test]
fn help_fits_and_usage_is_plain() {
    let help = Program::new().run("help");
    assert!(help.printed().lines().all(|line| line.chars().count() <= 100), "{help:?}");
    let cli = Cli::command();
    let verbs = cli.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name);
    let verbs: Vec<_> = verbs.collect();
    assert!(verbs.len() > 30, "{verbs:?}");
    let groups = help.printed().split("\nOptions:").next().unwrap();
    for verb in verbs {
        let line = format!("\n  {verb} ");
        assert_eq!(groups.matches(&line).count(), 1, "{verb} is in one group");
        for help in [format!("{verb} -h"), format!("{verb} --help"), format!("help {verb}")] {
            let help = Program::new().with("COLUMNS", "300").run(&help);
            for line in help.printed().lines() {
                assert!(line.chars().count() <= 100, "{verb}: {line}");
            }
        }
    }
    for expected in
        ["1  refused, not found, or not all done", "response   the answer", "as grpcurl prints"]
    {
        assert!(Program::new().run("--help").printed().contains(expected), "{expected}");
    }

    let set = || {
        let set = Program::new().with("WHIMBREL_ADDR", "127.0.0.1:1").with("WHIMBREL_DATA", "x");
        set.with("WHIMBREL_OUTPUT", "json")
    };
    for (arguments, usage) in [
        ("feed", "Usage: whimbrel feed [OPTIONS] <USER>\n"),
        ("like alice", "Usage: whimbrel like [OPTIONS] <USER> <POST>\n"),
        ("serve --oops", "Usage: whimbrel serve [OPTIONS]\n"),
        ("import", "Usage: whimbrel import [OPTIONS] <--follows <FILE>|--posts <FILE>>\n"),
    ] {
        set().run(arguments).failed(2, usage);
    }
}

/// A byte order mark at the start of a text is not part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_order_mark_is_no_content() {
    let server = TestServer::start().await;
    let program = || Program::calling(server.address());
    program().run_on("\u{feff}hello\n", &["post", "alice", "-"]).printed();
    assert_eq!(server.user("alice").feed().await.texts(), ["hello"]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cursor");
    let lines = program().run("--json feed alice").lines();
    let cursor = lines[1]["page"]["cursor"].as_str().unwrap();
    std::fs::write(&file, format!("\u{feff}{cursor}\r\n")).unwrap();
    program().run("post alice again").printed();
    let watch = format!("watch alice --limit 1 --cursor-file {}", file.display());
    assert!(program().run(&watch).printed().contains("again"));
}
