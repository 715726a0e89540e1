//! The program: a server for a try on one machine, the flags that need each other, and the command
//! line as a client.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::program::Program;
use crate::harness::tls::TestAuthority;
use crate::server::process::ServerProcess;

/// Runs a verb of the command line that calls `server` over TLS.
fn calling(server: &ServerProcess) -> Program {
    let address = format!("https://localhost:{}", server.address().port());
    Program::new().with("WHIMBREL_ADDR", &address)
}

fn start(folder: &Path, variables: &[(&str, &str)]) -> ServerProcess {
    ServerProcess::start_tracing(&folder.join("data"), variables, &folder.join("log.txt"))
}

/// A server with a certificate of its own making serves the command line, also after a restart,
/// with the same certificate.
#[test]
fn a_self_signed_server_serves_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[("WHIMBREL_TLS_SELF_SIGNED", "1")]);
    let tls = folder.path().join("data/tls");
    let file = |name| tls.join(name);
    let mode = fs::metadata(file("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let authority = file("ca.pem");
    let trusting = |server: &ServerProcess| {
        calling(server).with("WHIMBREL_CA_FILE", authority.to_str().unwrap())
    };
    trusting(&server).run("follow alice bob").printed();
    let by_flag = format!("publish bob hello --ca-file {}", authority.display());
    calling(&server).run(&by_flag).printed();
    for host in ["127.0.0.1", "localhost"] {
        let by_address = format!("feed alice --addr https://{host}:{}", server.address().port());
        let page = trusting(&server).run(&by_address);
        assert!(page.printed().contains("hello"), "{page:?}");
    }
    let key = fs::read(file("key.pem")).unwrap();
    assert_eq!(server.terminate(), Some(0));

    let server = start(folder.path(), &[("WHIMBREL_TLS_SELF_SIGNED", "1")]);
    assert!(fs::read(file("key.pem")).unwrap() == key, "a second key was made");
    assert!(trusting(&server).run("feed alice").printed().contains("hello"));
    // The key of the authority is nowhere.
    let mut names: Vec<_> =
        fs::read_dir(&tls).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["ca.pem", "cert.pem", "key.pem"]);

    // Without trust, nothing is sent, and the error says what to do.
    let untrusting = calling(&server).run("follow alice carol");
    untrusting.failed(1, "--ca-file");
    let wrong = format!("follow alice carol --ca-file {}", file("key.pem").display());
    calling(&server).run(&wrong).failed(1, "has no certificate");
    let missing = format!("follow alice carol --ca-file {}", file("nothing").display());
    calling(&server).run(&missing).failed(1, "cannot read");
    let clear = Program::calling(server.address()).run("follow alice carol");
    clear.failed(3, "This port speaks TLS: call https://");
}

/// The file that clients need is printed, with what `openssl` prints of it.
#[test]
fn the_file_for_clients_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_whimbrel"));
    let data = folder.path().join("data");
    program.env("WHIMBREL_ADMIN_LISTEN", "none");
    program.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--log",
        "off",
        "--tls-self-signed",
        "--data",
    ]);
    let mut child = program.arg(&data).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap());
    let printed: Vec<_> = std::io::BufRead::lines(lines).take(4).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let file = data.join("tls/ca.pem");
    assert!(printed[1].starts_with("console: https://127.0.0.1:"), "{printed:#?}");
    assert!(printed[2].contains(&format!("--ca-file {}", file.display())), "{printed:#?}");
    assert!(printed[3].contains(&format!("-cacert {}", file.display())), "{printed:#?}");
    let (_, digits) = printed[2].split_once("SHA-256 ").unwrap();
    let (digits, _) = digits.split_once(')').unwrap();
    assert_eq!(digits.split(':').count(), 32, "{printed:#?}");
}

/// With a certificate of the caller, whose files need each other.
#[test]
fn the_command_line_shows_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, clients) = (TestAuthority::new(), TestAuthority::new());
    let files = servers.signs_server();
    let variables = [
        ("WHIMBREL_TLS_CERT", files.certificate.to_str().unwrap()),
        ("WHIMBREL_TLS_KEY", files.key.to_str().unwrap()),
    ];
    let (authority, trusted) = (clients.file(), servers.file());
    let required = [&variables[..], &[("WHIMBREL_TLS_CLIENT_CA", authority.to_str().unwrap())]];
    let server = start(folder.path(), &required.concat());
    let trusting = || calling(&server).with("WHIMBREL_CA_FILE", trusted.to_str().unwrap());
    let own = clients.signs(&["backend.example.org"]);
    let certificate = format!("--client-cert {}", own.certificate.display());
    let key = format!("--client-key {}", own.key.display());
    trusting().run(&format!("follow alice bob {certificate} {key}")).printed();
    trusting().run(&format!("follow alice bob {certificate}")).failed(2, "need each other");
    trusting().run(&format!("follow alice bob {key}")).failed(2, "need each other");
    trusting().run("follow alice bob").failed(1, "--client-cert");
}

/// Flags of the server that need each other, or exclude each other, are refused before anything is
/// touched.
#[test]
fn flags_that_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (flags, why) in [
        ("--tls-cert a.pem", "need each other"),
        ("--tls-key a.pem", "need each other"),
        ("--tls-self-signed --tls-cert a.pem --tls-key b.pem", "makes its own certificate"),
        ("--tls-client-ca a.pem", "needs TLS"),
        ("--tls-cert a --tls-key b --tls-client-optional", "need --tls-client-ca"),
        ("--tls-cert a --tls-key b --tls-client-crl c", "need --tls-client-ca"),
        ("--forwarded-header forwarded", "--behind-tls-proxy"),
        ("--behind-tls-proxy 10.0.0.0/8 --forwarded-header x-real-ip", "x-forwarded-for"),
        ("--behind-tls-proxy 10.0.0.0/33", "is no network"),
        ("--behind-tls-proxy 10.0.0.1,somewhere", "is no network"),
        ("--behind-tls-proxy 10.0.0.1,", "is no network"),
        ("--proxy-protocol-from 0.0.0.0/0", "is everybody"),
        ("--proxy-protocol-from 10.0.0.1,::/0", "is everybody"),
    ] {
        let serve = format!("serve --listen 127.0.0.1:0 --data {} {flags}", data.display());
        Program::new().run(&serve).failed(2, why);
    }
    assert!(!data.exists());
}
