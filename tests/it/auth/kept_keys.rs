//! Keys of a provider that are kept over a restart: used while the provider is down, for a day at most,
//! and never with a key that is known to be withdrawn.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use tempfile::{TempDir, tempdir};
use whimbrel::auth::{Auth, Refusal};
use whimbrel::formats::PROGRAM;
use whimbrel::runtime::Clock;

use super::issuer::{NOW, SigningKey, claims, key_set};
use super::providers::{Answer, Provider, identify};
use crate::harness::eventually;
use crate::harness::wire::{NEWS_FEED, Wire, frame};
use crate::server::process::ServerProcess;

const DAY: u64 = 24 * 60 * 60;

/// A provider, and the data folder of a server that trusts it.
struct World {
    provider: Provider,
    folder: TempDir,
    clock: Clock,
}

impl World {
    /// The folder of a server that was served once with `keys`.
    async fn served_with(keys: &[&SigningKey]) -> Self {
        let world = Self {
            provider: Provider::start(Answer::Keys(key_set(keys))),
            folder: tempdir().unwrap(),
            clock: Clock::held_at(Duration::from_secs(NOW)),
        };
        world.serve_with(keys).await;
        world
    }

    /// Opens, and waits until the keys are fetched.
    async fn serve_with(&self, keys: &[&SigningKey]) {
        self.provider.answers(Answer::Keys(key_set(keys)));
        let auth = self.open();
        for key in keys {
            assert_eq!(self.calls(&auth, key).await, Ok(()));
        }
    }

    /// Opens while the provider is down.
    fn open_alone(&self) -> Auth {
        self.provider.answers(Answer::Error);
        self.open()
    }

    fn open(&self) -> Auth {
        self.provider.trusted_in(self.folder.path(), &self.clock)
    }

    /// Whether a token with `key` is taken.
    async fn calls(&self, auth: &Auth, key: &SigningKey) -> Result<(), Refusal> {
        let now = self.clock.since_epoch().unwrap().as_secs();
        identify(auth, &key.sign(&claims("alice", now))).await.map(|_| ())
    }

    /// The file with the keys.
    fn file(&self) -> PathBuf {
        let mut files = fs::read_dir(self.folder.path().join("provider-keys")).unwrap();
        let file = files.next().expect("keys are kept").unwrap().path();
        assert!(files.next().is_none(), "one file for one provider");
        file
    }
}

fn keys() -> [SigningKey; 2] {
    ["1", "2"].map(|id| SigningKey::new(Algorithm::ES256, id))
}

/// While the provider is down, a start takes the keys of before, and no others.
#[tokio::test]
async fn the_last_good_keys_outlive_a_restart() {
    let [known, unknown] = keys();
    let world = World::served_with(&[&known]).await;
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(world.file()), 0o600);
    assert_eq!(mode(world.folder.path().join("provider-keys")), 0o700);
    for trouble in [Answer::Error, Answer::Keys("{}".to_owned()), Answer::Keys(String::new())] {
        world.provider.answers(trouble);
        let auth = world.open();
        assert_eq!(world.calls(&auth, &known).await, Ok(()));
        assert_eq!(world.calls(&auth, &unknown).await, Err(Refusal::UnknownKey));
    }
}

/// A key that the provider has withdrawn, as this server knows, is not taken again: not while the
/// provider is there, and not at a start at which it is down.
#[tokio::test]
async fn a_withdrawn_key_does_not_come_back() {
    let [old, new] = keys();
    let world = World::served_with(&[&old]).await;
    world.serve_with(&[&new]).await;
    world.provider.answers(Answer::Keys(key_set(&[&new])));
    assert_eq!(world.calls(&world.open(), &old).await, Err(Refusal::UnknownKey));
    let alone = world.open_alone();
    assert_eq!(world.calls(&alone, &new).await, Ok(()));
    assert_eq!(world.calls(&alone, &old).await, Err(Refusal::UnknownKey));

    // Also if the set without it cannot be kept, here because it is too large.
    let mut large: serde_json::Value = serde_json::from_str(&key_set(&[&old])).unwrap();
    let more = "x".repeat((1 << 20) - 20 - large.to_string().len());
    large["more"] = more.into();
    world.provider.answers(Answer::Keys(large.to_string()));
    assert_eq!(world.calls(&world.open(), &old).await, Ok(()));
    assert_eq!(world.calls(&world.open_alone(), &new).await, Err(Refusal::NoKeys));
}

/// Kept keys are good for a day after they were fetched, and end at that moment.
#[tokio::test]
async fn kept_keys_are_good_for_a_day() {
    let [key, _] = keys();
    let world = World::served_with(&[&key]).await;
    let at = |seconds: u64| world.clock.set(Duration::from_secs(seconds));
    at(NOW + DAY - 1);
    let auth = world.open_alone();
    assert_eq!(world.calls(&auth, &key).await, Ok(()));
    at(NOW + DAY);
    eventually("the keys to be forgotten", async || {
        (world.calls(&auth, &key).await == Err(Refusal::NoKeys)).then_some(())
    })
    .await;
    assert_eq!(world.calls(&world.open_alone(), &key).await, Err(Refusal::NoKeys));

    // Fetched in the future, by a clock that was wrong.
    at(NOW - 61);
    assert_eq!(world.calls(&world.open_alone(), &key).await, Err(Refusal::NoKeys));
    at(NOW - 60);
    assert_eq!(world.calls(&world.open_alone(), &key).await, Ok(()));
}

/// A file that is damaged, of another provider or open to others is not used, and replaced by the
/// next keys.
#[tokio::test]
async fn a_bad_file_is_not_used_and_is_replaced() {
    let [key, _] = keys();
    let world = World::served_with(&[&key]).await;
    let file = world.file();
    let good = fs::read_to_string(&file).unwrap();
    for bad in [
        "garbage".to_owned(),
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replace("\"format\":1", "\"format\":2"),
        good.replace("http://", "https://"),
        good.replace("login.example.org", "login.example.com"),
        good.replace("\"keys\":[{", "\"keys\":[{\"kty\":\"oct\"},{").replace("\"EC\"", "\"RSA\""),
        good.replace(&format!("\"fetched\":{NOW}"), "\"fetched\":18446744073709551615"),
        "x".repeat((1 << 20) + 1),
    ] {
        assert_ne!(bad, good);
        fs::write(&file, &bad).unwrap();
        assert_eq!(world.calls(&world.open_alone(), &key).await, Err(Refusal::NoKeys), "{bad:.80}");
        assert!(fs::read_to_string(&file).unwrap() == bad, "the file was changed");
    }
    fs::write(&file, &good).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(world.calls(&world.open_alone(), &key).await, Err(Refusal::NoKeys));

    world.serve_with(&[&key]).await;
    assert_eq!(fs::read_to_string(world.file()).unwrap(), good);
    assert_eq!(world.calls(&world.open_alone(), &key).await, Ok(()));
}

/// A file of a later version, whatever else is in it: the program says which version it is and that the keys are
/// fetched again, takes no token by it, and leaves it as it is until they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_later_version_is_fetched_again() {
    let [key, _] = keys();
    let provider = Provider::start(Answer::Keys(key_set(&[&key])));
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("auth.toml"), provider.settings()).unwrap();
    let settings = path("auth.toml");
    let variables = [("WHIMBREL_AUTH_FILE", settings.to_str().unwrap())];
    let serve = || ServerProcess::start_tracing(&path("data"), &variables, &path("log"));
    let kept = || {
        let mut files = fs::read_dir(path("data/provider-keys")).unwrap();
        files.next().map(|file| file.unwrap().path())
    };
    let is_kept = async |format: &str| {
        let file = fs::read_dir(path("data/provider-keys")).ok()?.next()?.unwrap().path();
        fs::read_to_string(file).ok()?.starts_with(format).then_some(())
    };
    let sentence = format!(
        ".json has version 2 of the format `provider keys`, written by a later whimbrel; this is \
         whimbrel {PROGRAM}, which reads version 1; it is fetched again"
    );
    for is_of_another_shape in [false, true] {
        let server = serve();
        eventually("the keys to be kept", async || is_kept("{\"format\":1,").await).await;
        assert_eq!(server.terminate(), Some(0));
        let file = kept().expect("keys are kept");
        let later = match is_of_another_shape {
            true => "{\"format\":2,\"providers\":[]}".to_owned(),
            false => fs::read_to_string(&file).unwrap().replace("\"format\":1", "\"format\":2"),
        };
        fs::write(&file, &later).unwrap();

        provider.answers(Answer::Error);
        let server = serve();
        let is_said =
            async || fs::read_to_string(path("log")).unwrap().contains(&sentence).then_some(());
        eventually("the version in the log", is_said).await;
        let wire = Wire::connect(server.address()).await;
        let now = Clock::system().since_epoch().unwrap().as_secs();
        let bearer = format!("Bearer {}", key.sign(&claims("alice", now)));
        let headers: [(&'static str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
        let refusal = wire.call(NEWS_FEED, &headers, frame(b"")).await.unwrap_err();
        assert!(format!("{refusal:?}").contains("KEYS_UNAVAILABLE"), "{refusal:?}");
        drop(wire);
        assert_eq!(server.terminate(), Some(0));
        assert_eq!(fs::read_to_string(&file).unwrap(), later);
        provider.answers(Answer::Keys(key_set(&[&key])));
    }
    let server = serve();
    eventually("the keys to be fetched again", async || is_kept("{\"format\":1,").await).await;
    assert_eq!(server.terminate(), Some(0));
}

/// That keys cannot be kept keeps nobody out.
#[tokio::test]
async fn keys_that_cannot_be_kept_are_used() {
    let [key, _] = keys();
    let world = World::served_with(&[&key]).await;
    let folder = world.folder.path().join("provider-keys");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "a file").unwrap();
    world.serve_with(&[&key]).await;
    assert_eq!(world.calls(&world.open_alone(), &key).await, Err(Refusal::NoKeys));
}

/// The program says that it serves by kept keys, and says nothing of them otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_says_that_it_serves_by_kept_keys() {
    let [key, _] = keys();
    let provider = Provider::start(Answer::Keys(key_set(&[&key])));
    let folder = tempdir().unwrap();
    let file = folder.path().join("auth.toml");
    fs::write(&file, provider.settings()).unwrap();
    let log = folder.path().join("log");
    let now = Clock::system().since_epoch().unwrap().as_secs();
    let bearer = format!("Bearer {}", key.sign(&claims("alice", now)));
    let serves = async |answer: Answer| {
        provider.answers(answer);
        let variables = [("WHIMBREL_AUTH_FILE", file.to_str().unwrap())];
        let data = folder.path().join("data");
        let server = ServerProcess::start_tracing(&data, &variables, &log);
        let wire = Wire::connect(server.address()).await;
        let headers: [(&'static str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
        wire.call(NEWS_FEED, &headers, frame(b"")).await.expect("the token is taken");
        drop(wire);
        assert_eq!(server.terminate(), Some(0));
        fs::read_to_string(&log).unwrap()
    };
    let good = Answer::Keys(key_set(&[&key]));
    assert!(!serves(good.clone()).await.contains("fetched before this start"));
    let alone = serves(Answer::Error).await;
    let lines: Vec<_> =
        alone.lines().filter(|line| line.contains("fetched before this start")).collect();
    assert!(lines.len() == 1 && lines[0].contains("WARN"), "{lines:?}");
    assert!(!serves(good).await.contains("fetched before this start"));
}
