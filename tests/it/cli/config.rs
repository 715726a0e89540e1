//! The settings of a server: in a file, in the environment and as flags, and the verb `config`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use serde_json::{Value, json};
use tempfile::TempDir;
use whimbrel::cli::Cli;

use crate::harness::program::{Program, Ran};

/// A file with `text`.
fn file(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whimbrel.toml");
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

fn run(arguments: &[&str]) -> Ran {
    Program::new().run_with(arguments)
}

/// The settings in force by key, with `variables` and `arguments`.
fn in_force(variables: &[(String, String)], arguments: &[&str]) -> BTreeMap<String, Value> {
    let program =
        variables.iter().fold(Program::new(), |program, (name, value)| program.with(name, value));
    let ran = program.run_with(&[&["config", "print", "--json"], arguments].concat());
    ran.printed();
    let settings = ran.lines()[0]["config"]["settings"].as_array().unwrap().clone();
    settings.into_iter().map(|it| (it["key"].as_str().unwrap().to_owned(), it)).collect()
}

/// The settings of `serve`, by the command line's own list: flag, variable and key.
fn settings() -> Vec<(String, String, String)> {
    let cli = Cli::command();
    let flags = cli.find_subcommand("serve").unwrap().get_arguments();
    let flags = flags.filter(|flag| !flag.is_hide_set() && flag.get_id() != "config");
    let named = |flag: &clap::Arg| {
        let long = flag.get_long().unwrap();
        let variable = flag.get_env().unwrap().to_str().unwrap();
        (long.to_owned(), variable.to_owned(), long.replace('-', "_"))
    };
    flags.map(named).collect()
}

/// A value of a setting that is not its default, by its schema; another for each `turn`.
fn another(key: &str, schema: &Value, turn: u64) -> Value {
    match &schema["type"] {
        Value::String(kind) if kind == "boolean" => json!(turn.is_multiple_of(2)),
        Value::String(kind) if kind == "integer" => {
            json!(schema["default"].as_u64().unwrap_or(10) + 1 + turn)
        }
        Value::String(kind) if kind == "number" => json!([0.25, 0.5, 0.75][turn as usize]),
        Value::Array(_) if key == "cors_origin" => {
            json!([format!("https://app{turn}.example.org")])
        }
        Value::Array(_) => json!([format!("10.{turn}.0.0/16")]),
        _ if key.ends_with("listen") => json!(format!("127.0.0.1:{}", 1 + turn)),
        _ if key == "log" => json!(["warn", "debug", "off"][turn as usize]),
        _ if key == "otlp_endpoint" => json!(format!("http://collector:{}", 1 + turn)),
        _ if key.starts_with("node_") && key.ends_with("address") => {
            json!(format!("https://node:{}", 1 + turn))
        }
        _ if key == "slow_call" => json!(["2s", "250ms", "0"][turn as usize]),
        _ if key == "console" => json!(["on", "off", "on"][turn as usize]),
        _ if key == "log_format" => json!(["text", "json", "text"][turn as usize]),
        _ if key == "forwarded_header" => {
            json!(["forwarded", "x-forwarded-for", "forwarded"][turn as usize])
        }
        _ => json!(format!("/x/{key}{turn}")),
    }
}

/// Each setting can be set by a file, a variable and a flag: a flag goes before a variable, and that
/// before a file.
#[test]
fn each_setting_has_three_sources_in_order() {
    let schema = run(&["config", "schema", "--json"]).lines()[0]["schema"].clone();
    let all = settings();
    assert!(all.len() > 30, "the flags were not found: {all:?}");
    let value = |key: &str, turn| another(key, &schema["properties"][key], turn);
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts[0].as_str().unwrap().to_owned(),
        other => other.to_string(),
    };
    let lines: String =
        all.iter().map(|(.., key)| format!("{key} = {}\n", value(key, 0))).collect();
    let (_folder, path) = file(&lines);
    let variables: Vec<_> =
        all.iter().map(|(_, name, key)| (name.clone(), text(&value(key, 1)))).collect();
    let flags: Vec<_> =
        all.iter().map(|(long, _, key)| format!("--{long}={}", text(&value(key, 2)))).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let with_file = ["--config", &path];

    let of_default = in_force(&[], &[]);
    let of_file = in_force(&[], &with_file);
    let of_variable = in_force(&variables, &with_file);
    let of_flag = in_force(&variables, &[&with_file[..], &flags].concat());
    for (line, (.., key)) in all.iter().enumerate() {
        assert_eq!(of_default[key]["source"], "default", "{key}");
        assert_eq!(
            (&of_file[key]["value"], &of_file[key]["source"]),
            (&value(key, 0), &json!("file"))
        );
        assert_eq!(of_file[key]["line"], line + 1);
        let found = (&of_variable[key]["value"], &of_variable[key]["source"]);
        assert_eq!(found, (&value(key, 1), &json!("environment")));
        let found = (&of_flag[key]["value"], &of_flag[key]["source"]);
        assert_eq!(found, (&value(key, 2), &json!("flag")));
    }
}

/// A mistake in a file is refused with its line and what to write.
#[test]
fn a_mistake_is_refused_with_its_line() {
    for (line, why) in [
        ("drain-notice = 5", "drain-notice is no setting; the nearest is drain_notice"),
        ("WHIMBREL_DATA = 'x'", "the nearest is data"),
        ("user_read_max = 5", "the nearest is user_reads_max"),
        ("zzz = 5", "zzz is no setting: `whimbrel config example`"),
        ("drain_notice = '5'", "drain_notice: write a whole number, and no string"),
        ("drain_notice = 0.5", "drain_notice: write a whole number, and no float"),
        ("drain_notice = -1", "drain_notice: give a whole number from 0 to"),
        ("drain_notice = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "drain_notice: it is too large"),
        ("slow_call = '1'", "slow_call: give a time of an hour at most, such as 1s"),
        ("slow_call = '3601s'", "slow_call: give a time of an hour at most"),
        ("trace_sampling = '0.5'", "trace_sampling: write a number, and no string"),
        ("trace_sampling = 1.5", "trace_sampling: give a number from 0 to 1"),
        ("trace_sampling = -1", "trace_sampling: give a number from 0 to 1"),
        ("trace_sampling = nan", "trace_sampling: give a number from 0 to 1"),
        ("log_format = 'xml'", "log_format: write one of auto, text, json"),
        ("auth = 'yes'", "auth: write true or false, and no string"),
        ("data = ''", "data: write the path"),
        ("behind_tls_proxy = [1]", "behind_tls_proxy: write a list of texts"),
        ("behind_tls_proxy = ['0.0.0.0/0']", "is everybody"),
        ("listen = '50051'", "listen: this is only a port"),
        ("log = 'inof'", "\"inof\" is no level"),
        ("auth = true\nauth = true", "duplicate key"),
        ("auth =", ""),
        ("issuer = []", "write it as tables, [[issuer]]"),
    ] {
        let (_folder, path) = file(&format!("# A comment.\n\n{line}\n"));
        let at = if line.contains('\n') { 4 } else { 3 };
        for verb in [&["config", "check"][..], &["config", "print"], &["serve"]] {
            let ran = run(&[verb, &["--config", &path]].concat());
            ran.failed(2, &format!("whimbrel.toml:{at}: ")).failed(2, why);
        }
    }
    let (_folder, path) = file("[[issuer]]\nissuer = 'a'\naudience = 'b'\n");
    run(&["config", "check", "--config", &path]).failed(2, "jwks_url");
    let (_folder, path) = file("[[issuer]]\nisuer = 'a'\n");
    run(&["config", "check", "--config", &path]).failed(2, "line 2").failed(2, "`isuer`");
    run(&["config", "check", "--config", "/x/none.toml"]).failed(2, "/x/none.toml");
    // What is right in each line, and wrong in all.
    let (_folder, path) = file("reflection = true\nno_reflection = true\n");
    run(&["config", "check", "--config", &path]).failed(2, "exclude each other");
    let no_longer = ["config", "check", "--config", &path, "--no-reflection=false"];
    run(&no_longer).printed();
    let (_folder, path) = file("streams_max = 99999999999\n");
    run(&["config", "check", "--config", &path]).failed(2, "the limit streams_max");
    let (_folder, path) = file("listen = '0.0.0.0:0'\n");
    run(&["config", "check", "--config", &path]).failed(4, "--insecure");
}

/// Issuers may be in the file, which has callers asked who they are; not in two files.
#[test]
fn issuers_may_be_in_the_file() {
    let issuer = "[[issuer]]\nissuer = 'a'\naudience = 'b'\njwks_file = 'keys.json'\n";
    let (folder, path) = file(&format!("drain_notice = 1\n\n{issuer}"));
    run(&["config", "check", "--config", &path]).printed();
    let elsewhere = folder.path().join("auth.toml");
    fs::write(&elsewhere, issuer).unwrap();
    let both = ["config", "check", "--config", &path, "--auth-file", elsewhere.to_str().unwrap()];
    run(&both).failed(2, "leave out one");
    // The address of the keys is in the file, so its start fails there, and not at the open network.
    let serve = ["serve", "--config", &path, "--listen", "127.0.0.1:0", "--data"];
    let data = folder.path().join("data").display().to_string();
    run(&[&serve[..], &[&data]].concat()).failed(4, "keys.json");
}

/// What is printed can be used as a file, from anywhere, and is in force then.
#[test]
fn what_is_printed_can_be_used_as_a_file() {
    let issuer = "[[issuer]]\nissuer = 'a'\naudience = 'b'\njwks_file = '/x/keys.json'\n";
    let given = format!(
        "tls_cert = \"a \\\"b\\\" \\u007f.pem\"\nbehind_tls_proxy = '10.0.0.0/8, ::1'\n{issuer}"
    );
    let (_folder, path) = file(&given);
    let printed = run(&["config", "print", "--config", &path, "--streams-max", "7"]);
    let (_other, copy) = file(printed.printed());
    let values = |path: &str, more: &[&str]| -> BTreeMap<String, Value> {
        let all = in_force(&[], &[&["--config", path], more].concat());
        all.into_iter().map(|(key, it)| (key, it["value"].clone())).collect()
    };
    assert_eq!(values(&copy, &[]), values(&path, &["--streams-max", "7"]));
    assert!(printed.printed().ends_with(issuer), "{}", printed.printed());
    assert!(printed.printed().contains("streams_max = 7 # flag\n"));
    assert!(printed.printed().contains(&format!("# {path}:1\n")));
}

/// The example is made from the flags, and what it has are the defaults.
#[test]
fn the_example_has_the_defaults() {
    let example = run(&["config", "example"]).printed().to_owned();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/whimbrel.toml");
    assert_eq!(
        fs::read_to_string(kept).unwrap(),
        example,
        "make it again: whimbrel config example > deploy/whimbrel.toml"
    );
    let is_value = |line: &&str| {
        let key = line.strip_prefix("# ").and_then(|line| line.split_once(" = "));
        key.is_some_and(|(key, value)| !key.contains(' ') && !value.starts_with('…'))
    };
    let before_callers = example.split("\n# Who may call, instead").next().unwrap();
    let lines: Vec<_> = before_callers.lines().filter(is_value).map(|line| &line[2..]).collect();
    assert!(lines.len() > 20, "{lines:?}");
    let (folder, path) = file(&lines.join("\n"));
    run(&["config", "check", "--config", &path]).printed();
    let (defaults, with_file) = (in_force(&[], &[]), in_force(&[], &["--config", &path]));
    for (key, setting) in &with_file {
        if key == "data" {
            // Relative to the file.
            assert_eq!(setting["value"], json!(folder.path().join("whimbrel-data")));
        } else {
            assert_eq!(setting["value"], defaults[key]["value"], "{key}");
        }
    }
}

/// No setting is a secret: those about keys are paths. So there is none to be printed, and an address
/// with a password is refused.
#[test]
fn no_setting_is_a_secret() {
    let of_secrets = ["key", "secret", "token", "password", "credential"];
    let (set, mut found) = (in_force(&[], &["--tls-key", "x", "--auth-file", "x"]), 0);
    for (long, _, key) in settings() {
        if !of_secrets.iter().any(|word| key.contains(word)) {
            continue;
        }
        found += 1;
        // A path is printed as an absolute one.
        let path = in_force(&[], &[&format!("--{long}=true")])[&key]["value"].clone();
        let is_path = path.as_str().is_some_and(|path| path.starts_with('/'));
        assert!(path == json!(true) || is_path, "{key} = {path}");
    }
    assert!(found > 1 && set["tls_key"]["value"].as_str().unwrap().starts_with('/'));
    let url = "jwks_url = 'https://me:hunter2@login.example.org/keys'";
    let issuer = format!("[[issuer]]\nissuer = 'a'\naudience = 'b'\n{url}\n");
    let collector = "otlp_endpoint = 'https://me:hunter2@collector:4317'".to_owned();
    for (text, verb) in
        [&issuer, &collector].into_iter().flat_map(|it| [(it, "check"), (it, "print")])
    {
        let (_folder, path) = file(text);
        let ran = run(&["config", verb, "--config", &path]);
        ran.failed(2, "no name and no password");
        assert!(!ran.stderr.contains("hunter2") && ran.stdout.is_empty(), "{ran:?}");
    }
}

/// The schema knows each setting, with the range that the parser takes.
#[test]
fn the_schema_has_the_ranges() {
    let schema = run(&["config", "schema"]);
    let schema: Value = serde_json::from_str(schema.printed()).unwrap();
    for (.., key) in settings() {
        assert!(schema["properties"][&key]["description"].is_string(), "{key}");
    }
    let number = |key: &str| {
        let it = &schema["properties"][key];
        (it["minimum"].as_u64(), it["maximum"].as_u64(), it["default"].as_u64())
    };
    assert_eq!(number("user_reads_max"), (Some(1), Some(1_000_000), Some(50)));
    assert_eq!(number("disk_free_min"), (Some(0), Some(1 << 30), Some(256)));
    assert_eq!(number("threads"), (Some(1), None, None));
    assert_eq!(schema["additionalProperties"], json!(false));
}
