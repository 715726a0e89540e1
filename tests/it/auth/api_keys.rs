//! API keys: made, listed, revoked, expired, and kept as hashes only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::tempdir;
use whimbrel::auth::{ApiKeys, KeyId, KeyTableError, NewKey, Refusal, Role, Settings};
use whimbrel::model::UserId;

use super::issuer::{NOW, answer, open};

fn new_key(role: Role, user: Option<&str>, expires: Option<u64>) -> NewKey {
    let user = user.map(|user| UserId::parse(user).unwrap());
    NewKey { name: "a backend".to_owned(), role, user, expires }
}

/// Each role has its keys; a secret that differs anywhere is none.
#[test]
fn a_key_is_its_caller() {
    let folder = tempdir().unwrap();
    let create = |role: Role| {
        let user = role.is_one_user().then_some("alice");
        ApiKeys::create(folder.path(), new_key(role, user, None), NOW).unwrap()
    };
    let keys = Role::ALL.map(create);
    let (auth, _) = open(Settings::default(), folder.path());
    for ((key, secret), role) in keys.iter().zip(Role::ALL) {
        let user = if role.is_one_user() { " alice" } else { "" };
        assert_eq!(answer(&auth, secret), Ok(format!("{role}{user}")));
        assert!(secret.starts_with(&format!("whk_{}_", key.id)), "{}", secret.as_str());
        for at in 0..secret.len() {
            let mut changed = secret.as_bytes().to_vec();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(answer(&auth, &changed).is_err(), "byte {at} of {}", secret.as_str());
        }
    }
    assert_eq!(ApiKeys::list(folder.path()).unwrap().len(), Role::ALL.len());
}

/// No secret is in the data folder, and nobody else may read the file.
#[test]
fn only_hashes_are_kept() {
    let folder = tempdir().unwrap();
    let new = new_key(Role::Service, None, None);
    let (key, secret) = ApiKeys::create(folder.path(), new, NOW).unwrap();
    let random = secret.splitn(3, '_').nth(2).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(random), "{} has the secret", path.display());
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
    assert!(!format!("{key:?}").contains(random));
}

/// A running server notices keys that are made and revoked, and when one expires.
#[test]
fn keys_come_and_end_at_run_time() {
    let folder = tempdir().unwrap();
    let (auth, clock) = open(Settings::default(), folder.path());
    let new = new_key(Role::Service, None, Some(NOW + 60));
    let (key, secret) = ApiKeys::create(folder.path(), new, NOW).unwrap();
    // At once, because the operator tries it at once.
    assert_eq!(answer(&auth, &secret), Ok("service".to_owned()));
    clock.pass(Duration::from_secs(60));
    assert_eq!(answer(&auth, &secret), Err(Refusal::KeyExpired));
    clock.set(Duration::from_secs(NOW));
    assert!(answer(&auth, &secret).is_ok());

    let revoked = ApiKeys::revoke(folder.path(), &key.id, NOW + 1).unwrap();
    assert_eq!(revoked.revoked.map(u64::from), Some(NOW + 1));
    // Also if the file is read again for another reason first.
    let (_, other) =
        ApiKeys::create(folder.path(), new_key(Role::Service, None, None), NOW).unwrap();
    assert!(answer(&auth, &other).is_ok());
    eventually_is(|| answer(&auth, &secret), &Err(Refusal::Revoked));
    // Again, which changes nothing.
    let again = ApiKeys::revoke(folder.path(), &key.id, NOW + 9).unwrap();
    assert_eq!(again.revoked.map(u64::from), Some(NOW + 1));
    ApiKeys::delete(folder.path(), &key.id).unwrap();
    eventually_is(|| answer(&auth, &secret), &Err(Refusal::NoSuchKey));
    let error = ApiKeys::delete(folder.path(), &key.id).unwrap_err();
    assert!(matches!(error, KeyTableError::NotFound { .. }), "{error}");
}

fn eventually_is<T: PartialEq + std::fmt::Debug>(value: impl Fn() -> T, wanted: &T) {
    let started = std::time::Instant::now();
    loop {
        let now = value();
        if now == *wanted {
            return;
        }
        assert!(started.elapsed() < crate::harness::PATIENCE, "still {now:?}, not {wanted:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As many keys as there may be, with the longest names, are read; one more is refused.
#[test]
fn a_full_table_is_read() {
    const KEYS: usize = 1_000;
    let folder = tempdir().unwrap();
    let (name, user) = ("\u{1f426}".repeat(100), format!("u{}", "x".repeat(127)));
    let longest = || NewKey { name: name.clone(), ..new_key(Role::User, Some(&user), Some(NOW)) };
    let (key, _) = ApiKeys::create(folder.path(), longest(), NOW).unwrap();
    ApiKeys::revoke(folder.path(), &key.id, NOW).unwrap();
    let file = folder.path().join("api-keys.json");
    let mut table: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let keys = table["keys"].as_array_mut().unwrap();
    for number in 1..KEYS - 1 {
        let mut other = keys[0].clone();
        other["id"] = format!("{number:010}").into();
        keys.push(other);
    }
    fs::write(&file, serde_json::to_vec_pretty(&table).unwrap()).unwrap();
    ApiKeys::create(folder.path(), longest(), NOW).unwrap();
    let one_more = ApiKeys::create(folder.path(), longest(), NOW).unwrap_err();
    assert!(matches!(one_more, KeyTableError::TooMany), "{one_more}");
    assert_eq!(ApiKeys::list(folder.path()).unwrap().len(), KEYS);
}

/// What cannot be a key makes none, and a damaged file is refused and kept.
#[test]
fn bad_keys_and_files_are_refused() {
    let folder = tempdir().unwrap();
    let create = |new: NewKey| ApiKeys::create(folder.path(), new, NOW).map(|_| ());
    let named = |name: &str| NewKey { name: name.to_owned(), ..new_key(Role::Service, None, None) };
    for name in ["", "a\nb", &"x".repeat(101)] {
        assert!(matches!(create(named(name)), Err(KeyTableError::Name)), "{name:?}");
    }
    assert!(create(new_key(Role::User, None, None)).is_err());
    assert!(create(new_key(Role::Service, Some("alice"), None)).is_err());
    assert!(!folder.path().join("api-keys.json").exists());

    create(named("good")).unwrap();
    let file = folder.path().join("api-keys.json");
    let good = fs::read_to_string(&file).unwrap();
    for bad in [
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replace("\"format\": 1", "\"format\": 2"),
        good.replace("\"service\"", "\"root\""),
        good.replace("\"service\"", "\"user\""),
        good.replace("sha256\": \"", "sha256\": \"A"),
        good.replace(&format!("\"created\": {NOW}"), "\"created\": 253402300800"),
        good.replace(&format!("\"created\": {NOW}"), "\"expires\": 18446744073709551615"),
        good.replace("\"created\"", "\"revoked\": 253402300800, \"created\""),
    ] {
        fs::write(&file, &bad).unwrap();
        let error = ApiKeys::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("api-keys.json"), "{error}");
        assert!(create(named("another")).is_err());
        assert!(ApiKeys::revoke(folder.path(), &KeyId::from("x"), NOW).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), bad, "the file was changed");
    }
    fs::write(&file, &good).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(ApiKeys::open(folder.path()).unwrap_err().to_string().contains("chmod 600"));
}

/// The times of a key are those that have a text: of others no key is made, and none is read.
#[test]
fn times_beyond_the_year_9999_are_refused() {
    const LAST: u64 = 253_402_300_799;
    let folder = tempdir().unwrap();
    let until = |expires, now| {
        ApiKeys::create(folder.path(), new_key(Role::Service, None, Some(expires)), now)
    };
    for (expires, now) in [(LAST + 1, NOW), (u64::MAX, NOW), (LAST, LAST + 1)] {
        let error = until(expires, now).map(|_| ()).unwrap_err();
        assert!(matches!(error, KeyTableError::Time(_)), "{error}");
    }
    let (key, _) = until(LAST, NOW).unwrap();
    assert_eq!(key.expires.unwrap().to_string(), "9999-12-31T23:59:59Z");
    let error = ApiKeys::revoke(folder.path(), &key.id, LAST + 1).unwrap_err();
    assert!(matches!(error, KeyTableError::Time(_)), "{error}");
    assert!(ApiKeys::list(folder.path()).unwrap()[0].revoked.is_none());
}

/// Keys that several processes make at once are all there.
#[test]
fn no_key_is_lost_to_another() {
    let folder = tempdir().unwrap();
    let path: &Path = folder.path();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..4 {
                    ApiKeys::create(path, new_key(Role::Service, None, None), NOW).unwrap();
                }
            });
        }
    });
    assert_eq!(ApiKeys::list(path).unwrap().len(), 32);
}
