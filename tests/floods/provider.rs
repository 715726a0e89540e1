//! An identity provider: it signs tokens, serves its keys, and counts how often they are fetched.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use whimbrel::runtime::Clock;

const ISSUER: &str = "https://login.example.org/";
const AUDIENCE: &str = "feed";
/// The id of the one key.
const KEY: &str = "key";
/// The scope of a backend, which may act for all users.
const BACKEND: &str = "backend";

/// A provider that runs, on the runtime that it was started on. It ends when it is dropped.
pub(crate) struct Provider {
    key: EncodingKey,
    fetches: Arc<AtomicUsize>,
    url: String,
    _serving: JoinSet<()>,
}

impl Provider {
    /// Starts it on a port of its own.
    pub(crate) async fn start() -> Self {
        let key = signing_key();
        let mut jwk = serde_json::to_value(
            Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a key of this algorithm"),
        )
        .expect("a key is JSON");
        jwk["kid"] = json!(KEY);
        let keys = json!({ "keys": [jwk] }).to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/keys", listener.local_addr().expect("it is bound"));
        let fetches = Arc::new(AtomicUsize::new(0));
        let fetched = Arc::clone(&fetches);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                fetched.fetch_add(1, Ordering::Relaxed);
                let _ = serve(client, &keys).await;
            }
        });
        Self { key, fetches, url, _serving: serving }
    }

    /// How often the keys were fetched.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    /// Writes the settings of a server that trusts it.
    pub(crate) fn write_settings(&self, file: &Path) {
        let settings = format!(
            "[[issuer]]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\njwks_url = '{}'\n\
             roles = {{ {BACKEND} = 'service' }}\n",
            self.url
        );
        std::fs::write(file, settings).expect("the folder is there");
    }

    /// A good token of a user.
    pub(crate) fn token_of(&self, user: &str) -> String {
        self.sign(KEY, user, "")
    }

    /// A good token of a backend.
    pub(crate) fn token_of_backend(&self) -> String {
        self.sign(KEY, "backend", BACKEND)
    }

    /// A token like a good one, signed with a key that the provider does not have.
    pub(crate) fn token_of_unknown_key(&self, number: usize) -> String {
        self.sign(&format!("unknown{number}"), "attacker", "")
    }

    /// Tokens like a good one, each with another signature, all of which are wrong.
    pub(crate) fn tokens_with_wrong_signatures(&self) -> impl Iterator<Item = String> + use<> {
        let good = self.token_of("attacker");
        let (signed, _) = good.rsplit_once('.').expect("three parts");
        let signed = signed.to_owned();
        (1_u64..).map(move |number| {
            let signature = [number.to_be_bytes(); 8].concat();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        })
    }

    fn sign(&self, key: &str, user: &str, scope: &str) -> String {
        let now = Clock::system().since_epoch().expect("after 1970").as_secs();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": user, "scope": scope, "exp": now + 3_600,
        });
        let header = Header { kid: Some(key.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &self.key).expect("it can sign")
    }
}

fn signing_key() -> EncodingKey {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    EncodingKey::from_ec_der(document.expect("a new key").as_ref())
}

/// Answers one request over HTTP/1.1, whatever it asks for.
async fn serve(mut client: TcpStream, body: &str) -> std::io::Result<()> {
    let mut request = [0; 2_048];
    let _ = client.read(&mut request).await?;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    client.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await
}
