//! An issuer of tokens, with keys of its own.

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use whimbrel::auth::{self, Auth, Refusal, Settings};
use whimbrel::runtime::{Clock, CriticalThreads};

pub(crate) const ISSUER: &str = "https://login.example.org/";
pub(crate) const AUDIENCE: &str = "feed";
/// When the tests of tokens take place, in seconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000;

/// A key that signs tokens.
pub(crate) struct SigningKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) id: Option<String>,
    encoding: EncodingKey,
}

impl SigningKey {
    /// A new key with the id `id`.
    pub(crate) fn new(algorithm: Algorithm, id: &str) -> Self {
        let encoding = match algorithm {
            Algorithm::EdDSA => {
                let key = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
                EncodingKey::from_ed_der(key.as_ref())
            }
            Algorithm::ES256 | Algorithm::ES384 => {
                let curve = match algorithm {
                    Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
                    _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
                };
                let key = EcdsaKeyPair::generate(curve).unwrap();
                EncodingKey::from_ec_der(key.to_pkcs8v1().unwrap().as_ref())
            }
            _ => {
                let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().unwrap();
                let pem = STANDARD.encode(der.as_ref());
                let pem =
                    format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
                EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
            }
        };
        Self { algorithm, id: Some(id.to_owned()), encoding }
    }

    /// The same key by another name.
    pub(crate) fn with_id(&self, id: &str) -> Self {
        let (algorithm, encoding) = (self.algorithm, self.encoding.clone());
        Self { algorithm, id: Some(id.to_owned()), encoding }
    }

    /// The key as an issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.encoding, self.algorithm).unwrap())
                .unwrap();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn header(&self) -> Header {
        Header { kid: self.id.clone(), ..Header::new(self.algorithm) }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    pub(crate) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.encoding).unwrap()
    }
}

/// A set of the public keys.
pub(crate) fn key_set(keys: &[&SigningKey]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// The claims of a good token of the user `sub`, which is valid for an hour after `now`.
pub(crate) fn claims(sub: &str, now: u64) -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": sub, "iat": now, "exp": now + 3_600 })
}

/// Settings with the one issuer, whose keys are in `folder`, and with `more` lines of its table.
pub(crate) fn settings(folder: &Path, keys: &[&SigningKey], more: &str) -> Settings {
    fs::write(folder.join("jwks.json"), key_set(keys)).unwrap();
    let text = format!(
        "[[issuer]]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\njwks_file = 'jwks.json'\n{more}\n"
    );
    Settings::parse(&text, folder).unwrap()
}

/// Who may call by `settings`, on a clock that stands at [`NOW`].
pub(crate) fn open(settings: Settings, data_dir: &Path) -> (Auth, Clock) {
    let clock = Clock::held_at(Duration::from_secs(NOW));
    let options = auth::Options { settings, development: false };
    let auth = Auth::open(options, data_dir, clock.clone(), &CriticalThreads::new()).unwrap();
    (auth, clock)
}

/// How `auth` answers `token`: with a caller in words, or a refusal.
pub(crate) fn answer(auth: &Auth, token: &str) -> Result<String, Refusal> {
    // No key is fetched, so it never waits.
    let Poll::Ready(identified) =
        pin!(auth.identify(Some(token), &[])).poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("it waits for keys that are in files");
    };
    let caller = identified?.expect("there is a token");
    let user = caller.user().map_or_else(String::new, |user| format!(" {user}"));
    Ok(format!("{}{user}", caller.role()))
}
