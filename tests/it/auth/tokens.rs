//! Each thing that can be wrong with a token, and each kind of key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::tempdir;
use whimbrel::auth::{Refusal, Settings};
use whimbrel::model::UserIdError;

use super::issuer::{AUDIENCE, ISSUER, NOW, SigningKey, answer, claims, key_set, open, settings};

/// Claims like those of a good token of alice, with some that differ; `null` removes one.
fn claims_with(changes: Value) -> Value {
    let mut claims = claims("alice", NOW);
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// A token with these parts and no right signature.
fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// Keys of all kinds verify tokens.
#[test]
fn each_kind_of_key_verifies() {
    for algorithm in [
        Algorithm::EdDSA,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::RS256,
        Algorithm::RS512,
        Algorithm::PS256,
    ] {
        let folder = tempdir().unwrap();
        let key = SigningKey::new(algorithm, "a");
        let (auth, _) = open(settings(folder.path(), &[&key], ""), folder.path());
        let token = key.sign(&claims("alice", NOW));
        assert_eq!(answer(&auth, &token), Ok("user alice".to_owned()), "{algorithm:?}");
        // Again, from the tokens that were seen.
        assert_eq!(answer(&auth, &token), Ok("user alice".to_owned()), "{algorithm:?}");
        // Of another key with the same id.
        let forged = SigningKey::new(algorithm, "a").sign(&claims("alice", NOW));
        assert_eq!(answer(&auth, &forged), Err(Refusal::Signature), "{algorithm:?}");
    }
}

/// Claims that are missing, of the wrong type, or not for this server.
#[test]
fn each_bad_claim_is_refused() {
    let folder = tempdir().unwrap();
    let key = SigningKey::new(Algorithm::EdDSA, "a");
    let (auth, _) = open(settings(folder.path(), &[&key], ""), folder.path());
    let claim = |claim: &str| Refusal::Claim { claim: claim.to_owned() };
    let times = || claim("exp, nbf or sub");
    let cases = [
        (json!({ "exp": null }), times()),
        (json!({ "exp": "1800003600" }), times()),
        (json!({ "exp": -1 }), times()),
        (json!({ "exp": true }), times()),
        (json!({ "exp": NOW - 3_600 }), Refusal::Expired),
        // The clocks may differ by ten seconds.
        (json!({ "exp": NOW - 10 }), Refusal::Expired),
        (json!({ "nbf": NOW + 11 }), Refusal::NotYetValid),
        (json!({ "nbf": "now" }), times()),
        (json!({ "sub": null }), times()),
        (json!({ "sub": 7 }), times()),
        (
            json!({ "sub": "" }),
            Refusal::User { claim: "sub".to_owned(), problem: UserIdError::Empty },
        ),
        (
            json!({ "sub": "a b" }),
            Refusal::User { claim: "sub".to_owned(), problem: UserIdError::BadCharacter { at: 1 } },
        ),
        (json!({ "aud": null }), claim("aud")),
        (json!({ "aud": "other" }), claim("aud")),
        (json!({ "aud": ["other", "another"] }), claim("aud")),
        (json!({ "aud": [] }), claim("aud")),
        (json!({ "aud": 7 }), claim("aud")),
        (json!({ "iss": "https://login.example.org" }), Refusal::Issuer),
        (json!({ "iss": "https://evil.example.org/" }), Refusal::Issuer),
        (json!({ "iss": [ISSUER] }), Refusal::Malformed),
        (json!({ "iss": null }), Refusal::Malformed),
    ];
    for (changes, refusal) in cases {
        let token = key.sign(&claims_with(changes.clone()));
        assert_eq!(answer(&auth, &token), Err(refusal), "{changes}");
    }
    for changes in [
        json!({}),
        json!({ "exp": NOW - 9 }),
        json!({ "exp": NOW as f64 + 0.5 }),
        json!({ "nbf": NOW + 10 }),
        json!({ "aud": ["other", AUDIENCE] }),
        json!({ "scope": ["nothing"], "roles": 7 }),
        // Later than any time that a clock shows.
        json!({ "exp": 1e18 }),
    ] {
        let token = key.sign(&claims_with(changes.clone()));
        assert_eq!(answer(&auth, &token), Ok("user alice".to_owned()), "{changes}");
    }
}

/// A token ends by the server's clock, also one that was seen before, and begins by it.
#[test]
fn the_clock_decides() {
    let folder = tempdir().unwrap();
    let key = SigningKey::new(Algorithm::EdDSA, "a");
    let (auth, clock) = open(settings(folder.path(), &[&key], "leeway_seconds = 0"), folder.path());
    let token = key.sign(&claims_with(json!({ "nbf": NOW, "exp": NOW + 60 })));
    assert!(answer(&auth, &token).is_ok());
    clock.pass(Duration::from_secs(59));
    assert!(answer(&auth, &token).is_ok());
    clock.pass(Duration::from_secs(1));
    assert_eq!(answer(&auth, &token), Err(Refusal::Expired));
    clock.set(Duration::from_secs(NOW - 1));
    let unseen = key.sign(&claims_with(json!({ "nbf": NOW, "exp": NOW + 61 })));
    assert_eq!(answer(&auth, &unseen), Err(Refusal::NotYetValid));
    clock.set(None);
    assert_eq!(answer(&auth, &token), Err(Refusal::Clock));
}

/// The header of a token never chooses how a key is used.
#[test]
fn no_header_chooses_its_own_check() {
    let folder = tempdir().unwrap();
    let rsa = SigningKey::new(Algorithm::RS256, "rsa");
    let ed = SigningKey::new(Algorithm::EdDSA, "ed");
    let (auth, _) = open(settings(folder.path(), &[&rsa, &ed], ""), folder.path());
    let good = claims("alice", NOW);

    for algorithm in ["none", "None", "NONE", "", "HS1"] {
        let header = json!({ "alg": algorithm, "typ": "JWT" });
        for signature in ["", "AAAA"] {
            let token = unsigned(&header, &good, signature);
            assert_eq!(answer(&auth, &token), Err(Refusal::Malformed), "{algorithm:?}");
        }
    }
    // The public key as the secret of an HMAC, as it is published and as bytes.
    let published = rsa.jwk();
    let modulus = URL_SAFE_NO_PAD.decode(published["n"].as_str().unwrap()).unwrap();
    for secret in [modulus, published.to_string().into_bytes(), Vec::new()] {
        let header = Header { kid: Some("rsa".to_owned()), ..Header::new(Algorithm::HS256) };
        let token =
            jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(&secret)).unwrap();
        assert_eq!(answer(&auth, &token), Err(Refusal::UnknownKey));
    }
    // The id of one key with the algorithm of another; a key in the header; an unknown extension.
    let of_other = Header { kid: Some("rsa".to_owned()), ..Header::new(Algorithm::EdDSA) };
    assert_eq!(answer(&auth, &ed.sign_with(&of_other, &good)), Err(Refusal::UnknownKey));
    let own = SigningKey::new(Algorithm::EdDSA, "own");
    let jwk = serde_json::from_value(own.jwk()).unwrap();
    let with_key = Header { jwk: Some(jwk), kid: None, ..own.header() };
    assert_eq!(answer(&auth, &own.sign_with(&with_key, &good)), Err(Refusal::Signature));
    let jku = Some("http://127.0.0.1:1/jwks.json".to_owned());
    let with_address = Header { jku, ..own.header() };
    assert_eq!(answer(&auth, &own.sign_with(&with_address, &good)), Err(Refusal::UnknownKey));
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..ed.header() };
    assert_eq!(answer(&auth, &ed.sign_with(&critical, &good)), Err(Refusal::Malformed));
}

/// A token that was cut, changed or made up.
#[test]
fn no_damaged_token_is_accepted() {
    let folder = tempdir().unwrap();
    let key = SigningKey::new(Algorithm::EdDSA, "a");
    let (auth, _) = open(settings(folder.path(), &[&key], ""), folder.path());
    let token = key.sign(&claims("alice", NOW));
    for end in 0..token.len() {
        assert!(answer(&auth, &token[..end]).is_err(), "the first {end} bytes");
    }
    let dots = |at: usize| token.as_bytes()[at] == b'.';
    for at in (0..token.len()).filter(|&at| !dots(at)) {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        // The last character has bits that are no part of the signature.
        if at + 1 < token.len() {
            assert!(answer(&auth, &changed).is_err(), "byte {at}");
        }
    }
    for made_up in ["a", "a.b", "a.b.c", "..", "....", "e30.e30.", "whk_", "whk_a_b", "\u{e9}"] {
        assert!(answer(&auth, made_up).is_err(), "{made_up:?}");
    }
    let long = key.sign(&claims_with(json!({ "more": "x".repeat(8 << 10) })));
    let refusal = Refusal::TooLong { bytes: long.len(), bytes_max: 8 << 10 };
    assert_eq!(answer(&auth, &long), Err(refusal));
    assert!(answer(&auth, &token).is_ok());
}

/// The role is the greatest that the claim gives, wherever the claim is.
#[test]
fn the_claim_gives_the_role() {
    let folder = tempdir().unwrap();
    let key = SigningKey::new(Algorithm::EdDSA, "a");
    let more = "user_claim = 'uid'\nuser_prefix = 'x:'\nrole_claim = ['realm', 'roles']\n\
                default_role = 'none'\n\
                roles = { w = 'service', m = 'moderator', r = 'user-reader', a = 'admin' }";
    let (auth, _) = open(settings(folder.path(), &[&key], more), folder.path());
    let with = |roles: Value| {
        let claims = claims_with(json!({ "uid": "al", "realm": { "roles": roles } }));
        answer(&auth, &key.sign(&claims))
    };
    assert_eq!(with(json!(["m"])), Ok("moderator x:al".to_owned()));
    assert_eq!(with(json!(["other", "w", "m", 7])), Ok("service".to_owned()));
    assert_eq!(with(json!("r m")), Ok("moderator x:al".to_owned()));
    assert_eq!(with(json!("a")), Ok("admin".to_owned()));
    for nothing in [json!([]), json!("x"), json!(7), json!({ "w": true }), json!(null)] {
        assert_eq!(with(nothing), Err(Refusal::NoRole));
    }
    let no_user = claims_with(json!({ "realm": { "roles": "m" } }));
    let refusal = Refusal::Claim { claim: "uid".to_owned() };
    assert_eq!(answer(&auth, &key.sign(&no_user)), Err(refusal));
}

/// A key that is taken out of its file is none any more, also for tokens that were seen; a bad file
/// changes nothing.
#[test]
fn a_changed_key_file_is_read_again() {
    let folder = tempdir().unwrap();
    let (old, new) =
        (SigningKey::new(Algorithm::EdDSA, "1"), SigningKey::new(Algorithm::ES256, "2"));
    let (auth, _) = open(settings(folder.path(), &[&old], ""), folder.path());
    let [by_old, by_new] = [&old, &new].map(|key| key.sign(&claims("alice", NOW)));
    assert!(answer(&auth, &by_old).is_ok());
    assert_eq!(answer(&auth, &by_new), Err(Refusal::UnknownKey));
    let file = folder.path().join("jwks.json");

    fs::write(&file, "{ \"keys\": [").unwrap();
    fs::write(folder.path().join("next"), key_set(&[&old, &new])).unwrap();
    fs::rename(folder.path().join("next"), &file).unwrap();
    until("the new key is read", || answer(&auth, &by_new).is_ok());
    assert!(answer(&auth, &by_old).is_ok());
    fs::write(&file, key_set(&[&new])).unwrap();
    until("the old key is gone", || answer(&auth, &by_old) == Err(Refusal::UnknownKey));
    assert!(answer(&auth, &by_new).is_ok());
}

/// Waits until `is_so`.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < crate::harness::PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Secrets in files, and public keys in PEM.
#[test]
fn secrets_and_pem_files_are_keys() {
    let folder = tempdir().unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    let file = folder.path().join("secret");
    let text = format!(
        "[[issuer]]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\nsecret_file = 'secret'\n"
    );
    fs::write(&file, format!("{secret}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let parsed = || Settings::parse(&text, folder.path()).unwrap();
    let error = open_error(parsed(), folder.path());
    assert!(error.contains("chmod 600"), "{error}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (auth, _) = open(parsed(), folder.path());
    let sign = |secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::default(), &claims("alice", NOW), &key).unwrap()
    };
    assert_eq!(answer(&auth, &sign(secret)), Ok("user alice".to_owned()));
    assert_eq!(answer(&auth, &sign("another")), Err(Refusal::Signature));

    fs::write(&file, "too short").unwrap();
    let error = open_error(parsed(), folder.path());
    assert!(error.contains("shorter than 32 bytes"), "{error}");
}

fn open_error(settings: Settings, data_dir: &std::path::Path) -> String {
    use whimbrel::auth::{Auth, Options};
    use whimbrel::runtime::{Clock, CriticalThreads};

    let options = Options { settings, development: false };
    let opened = Auth::open(options, data_dir, Clock::system(), &CriticalThreads::new());
    opened.expect_err("the settings are refused").to_string()
}

/// Settings that are refused, each with what to write instead.
#[test]
fn each_bad_setting_is_refused() {
    let issuer = |more: &str| format!("[[issuer]]\nissuer = 'a'\naudience = 'b'\n{more}\n");
    let file = "jwks_file = 'f'";
    let cases = [
        ("[[issuer]]\nissuer = 'a'\njwks_file = 'f'".to_owned(), "audience"),
        (issuer(""), "jwks_url, jwks_file, pem_files and secret_file"),
        (issuer("jwks_file = 'f'\nsecret_file = 's'"), "give one of"),
        (issuer("jwks_file = 'f'\nca_file = 's'"), "jwks_url only"),
        (issuer(&format!("{file}\naudiance = 'x'")), "audiance"),
        (issuer(&format!("{file}\nleeway_seconds = 31")), "at most 30"),
        (issuer(&format!("{file}\ndefault_role = 'admin'")), "act for everybody"),
        (issuer(&format!("{file}\nroles = {{ x = 'root' }}")), "not a role"),
        (issuer(&format!("{file}\nalgorithm = 'none'")), "not one of"),
        (issuer(&format!("{file}\nuser_claim = []")), "user_claim"),
        (issuer(file).repeat(2), "twice"),
        (
            "[[issuer]]\nissuer = 'a'\naudience = []\njwks_file = 'f'".to_owned(),
            "audience is empty",
        ),
        ("[[certificate]]\nname = 'a'\nrole = 'user'".to_owned(), "give its user"),
        ("[[certificate]]\nname = 'a'\nrole = 'admin'\nuser = 'b'".to_owned(), "leave user out"),
        ("[[certificate]]\nname = ''\nrole = 'admin'".to_owned(), "DNS name or a URI"),
        ("nonsense".to_owned(), "expected"),
    ];
    for (text, says) in cases {
        let error = Settings::parse(&text, std::path::Path::new("/")).expect_err(&text).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    let folder = tempdir().unwrap();
    let parsed = |more: &str| Settings::parse(&issuer(more), folder.path()).unwrap();
    fs::write(folder.path().join("empty"), "{\"keys\":[]}").unwrap();
    for (more, says) in [
        ("jwks_url = 'http://login.example.org/jwks'", "no https address"),
        ("jwks_url = 'file:///etc/passwd'", "no https address"),
        ("jwks_file = 'missing'", "No such file"),
        ("jwks_file = 'empty'", "no key that can verify"),
        ("pem_files = 'empty'", "no public key in PEM"),
    ] {
        let error = open_error(parsed(more), folder.path());
        assert!(error.contains(says), "{more}: {error}");
    }
}
