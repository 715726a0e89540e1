//! Entry points for the fuzzers in `fuzz/`: each takes any bytes and panics where a promise of this
//! module is broken. Never part of a server: behind the feature `fuzzing`.

#![expect(clippy::expect_used, reason = "to panic is how a finding is reported")]

use std::path::Path;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use tempfile::TempDir;

use super::api_keys::{ApiKeys, KEY_MARK, NewKey};
use super::caller::{Caller, Role};
use super::error::Refusal;
use super::key_table;
use super::service::{Auth, Options};
use super::settings::Settings;
use crate::runtime::files;
use crate::runtime::{Clock, CriticalThreads};

/// The time at which tokens are verified, in seconds since 1970.
const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a secret that only the fuzzer has";
const SETTINGS: &str = "
[[issuer]]
issuer = 'issuer'
audience = 'feed'
secret_file = 'secret'
leeway_seconds = 0
roles = { all = 'service' }
default_role = 'user'
";

/// A server that knows one issuer and one API key.
struct Known {
    auth: Auth,
    /// The id of the API key, which is no secret.
    key_id: String,
    _folder: TempDir,
}

/// Any bytes are refused as a bearer token. If they are signed with the key of an issuer, what they
/// claim is a caller or refused.
///
/// The first two line feeds separate a header, claims and a signature, which are then encoded.
pub fn token(bytes: &[u8]) {
    let known = known();
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let mut part = || URL_SAFE_NO_PAD.encode(parts.next().unwrap_or_default());
    let (header, claims, signature) = (part(), part(), part());
    if let Ok(text) = std::str::from_utf8(bytes) {
        is_nobody(known, text);
        is_nobody(known, &format!("{KEY_MARK}{}_{text}", known.key_id));
    }
    let unsigned = format!("{header}.{claims}");
    is_nobody(known, &format!("{unsigned}.{signature}"));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(unsigned.as_bytes(), &key, Algorithm::HS256);
    let signature = signature.expect("a secret signs everything");
    if let Ok(caller) = identified(known, &format!("{unsigned}.{signature}")) {
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("it was just encoded");
        may_be(&caller, &claims);
    }
}

/// Any bytes are a table of API keys or an error, and a table survives writing.
pub fn api_keys_file(bytes: &[u8]) {
    let Ok(keys) = key_table::parse(bytes) else { return };
    let written = key_table::written(keys).expect("a table can be written");
    let read = key_table::parse(&written).expect("a table that was written can be read");
    let again = key_table::written(read).expect("a table can be written");
    assert_eq!(written, again, "writing changes a table");
}

fn is_nobody(known: &Known, token: &str) {
    let identified = identified(known, token);
    assert!(identified.is_err(), "{token:?} is {identified:?}");
}

fn identified(known: &Known, token: &str) -> Result<Caller, Refusal> {
    let identified = pin!(known.auth.identify(Some(token), &[]));
    match identified.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(caller) => Ok(caller?.expect("a token is a caller or refused")),
        Poll::Pending => unreachable!("no key is fetched"),
    }
}

/// Checks what must be true of the claims of a caller.
fn may_be(caller: &Caller, claims: &[u8]) {
    let claims: serde_json::Value = serde_json::from_slice(claims).expect("claims are JSON");
    assert_eq!(claims["iss"], "issuer", "another issuer");
    let expires = claims["exp"].as_f64().expect("a caller has an end");
    assert!(expires > NOW as f64, "an old token");
    let subject = claims["sub"].as_str().expect("a caller has a subject");
    let user = caller.user().map(crate::model::UserId::as_str);
    assert!(user.is_none_or(|user| user == subject), "the user is another");
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let key_id = fill(folder.path());
        let settings = Settings::parse(SETTINGS, folder.path()).expect("good settings");
        let options = Options { settings, development: false };
        let clock = Clock::held_at(Duration::from_secs(NOW));
        let auth = Auth::open(options, folder.path(), clock, &CriticalThreads::new());
        Known { auth: auth.expect("a server that knows callers"), key_id, _folder: folder }
    })
}

/// Writes the secret of the issuer and an API key. Returns the id of the key.
fn fill(folder: &Path) -> String {
    files::write_secret(&folder.join("secret"), SECRET).expect("a file");
    let new = NewKey { name: "key".to_owned(), role: Role::Service, user: None, expires: None };
    ApiKeys::create(folder, new, NOW).expect("a new key").0.id.to_string()
}
