//! The keys that verify tokens, each with the one algorithm it is for. Never fetches a key.
//!
//! The algorithm of a token's header only has to match: it never chooses how a key is used, so that
//! a public key is never taken as the secret of an HMAC (RFC 8725, section 3.1).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Most keys of an issuer: providers publish two to four.
const KEYS_MAX: usize = 100;
/// Shortest secret of an HMAC with SHA-256 (RFC 7518, section 3.2).
pub(super) const SECRET_BYTES_MIN: usize = 32;
/// Length of an uncompressed point on P-256, and on P-384.
const POINT_BYTES: [(usize, Algorithm); 2] = [(65, Algorithm::ES256), (97, Algorithm::ES384)];

/// The algorithms for tokens. Of one with a curve or a hash below 256 bits there is none.
pub(super) const ALGORITHMS: [Algorithm; 10] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::HS256,
];

/// Why keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("it is no JSON Web Key Set (RFC 7517): {0}")]
    NotAKeySet(String),
    #[error("it has more than {KEYS_MAX} keys")]
    TooMany,
    #[error(
        "it has no key that can verify tokens: use RSA keys of 2,048 bits or more, EC keys on P-256 \
         or P-384, or Ed25519"
    )]
    NoUsableKey,
    #[error(
        "it is no public key in PEM: it must be an RSA key, an EC key on P-256 or P-384, or an \
         Ed25519 key"
    )]
    NotAPem,
    #[error("it is shorter than {SECRET_BYTES_MIN} bytes: make a random secret of that length")]
    ShortSecret,
    #[error("the algorithm {0:?} is not one for this key")]
    WrongAlgorithm(Algorithm),
}

/// A key, with its one algorithm.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
    /// Identifies the key itself, also if it gets another id.
    pub(super) fingerprint: [u8; 32],
}

/// The keys of an issuer.
#[derive(Clone, Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Keys in a JSON Web Key Set (RFC 7517). Those that are not for signatures, or of a kind that
    /// this server does not take, are left out. `algorithm` is that of keys that name none.
    ///
    /// # Errors
    /// It is no such set, or has no usable key.
    pub(super) fn from_jwks(json: &[u8], algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let set: JwkSet = serde_json::from_slice(json)
            .map_err(|error| KeyError::NotAKeySet(error.to_string()))?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        // One by one, so that a key of an unknown kind does not spoil the others.
        let keys: Vec<_> = set.keys.into_iter().filter_map(|it| from_jwk(it, algorithm)).collect();
        if keys.is_empty() { Err(KeyError::NoUsableKey) } else { Ok(Self(keys)) }
    }

    /// One public key in PEM.
    ///
    /// # Errors
    /// It is no such key, or `algorithm` is not for it.
    pub(super) fn from_pem(pem: &[u8], algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let decoding = DecodingKey::from_rsa_pem(pem)
            .or_else(|_| DecodingKey::from_ec_pem(pem))
            .or_else(|_| DecodingKey::from_ed_pem(pem))
            .map_err(|_| KeyError::NotAPem)?;
        let usual = usual_algorithm(&decoding).ok_or(KeyError::NotAPem)?;
        let algorithm = algorithm.unwrap_or(usual);
        check_algorithm(&decoding, algorithm)?;
        Ok(Self(vec![Key { id: None, algorithm, decoding, fingerprint: fingerprint(pem) }]))
    }

    /// One secret for HMAC with SHA-256, with or without a line break at its end.
    ///
    /// # Errors
    /// It is too short.
    pub(super) fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        let secret = secret.trim_ascii_end();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::ShortSecret);
        }
        let decoding = DecodingKey::from_secret(secret);
        let (algorithm, fingerprint) = (Algorithm::HS256, fingerprint(secret));
        Ok(Self(vec![Key { id: None, algorithm, decoding, fingerprint }]))
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The keys that a token may be signed with whose header has this id and algorithm. Without an
    /// id these are all of the algorithm.
    pub(super) fn candidates(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Key> {
        let has_id = move |key: &Key| match (id, &key.id) {
            // A key from a PEM file has no id, whatever its issuer calls it.
            (_, None) | (None, _) => true,
            (Some(id), Some(own)) => own == id,
        };
        self.0.iter().filter(move |key| key.algorithm == algorithm && has_id(key))
    }

    /// Whether both have the same keys, with the same ids and algorithms.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        // A fingerprint is of all that was published of a key.
        let fingerprints = |set: &Self| set.0.iter().map(|key| key.fingerprint).collect::<Vec<_>>();
        fingerprints(self) == fingerprints(other)
    }

    /// Whether one of the keys has this fingerprint.
    pub(super) fn has(&self, fingerprint: &[u8; 32]) -> bool {
        self.0.iter().any(|key| key.fingerprint == *fingerprint)
    }
}

/// `None` if the key is not for signatures, or of a kind that this server does not take.
fn from_jwk(json: serde_json::Value, algorithm: Option<Algorithm>) -> Option<Key> {
    let fingerprint = fingerprint(json.to_string().as_bytes());
    let jwk: Jwk = serde_json::from_value(json).ok()?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    // A secret does not belong into a set that is published.
    let is_public = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => true,
        AlgorithmParameters::EllipticCurve(it) => {
            matches!(it.curve, EllipticCurve::P256 | EllipticCurve::P384)
        }
        AlgorithmParameters::OctetKeyPair(it) => it.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let decoding = DecodingKey::from_jwk(&jwk).ok().filter(|_| is_public)?;
    let algorithm = match jwk.common.key_algorithm {
        Some(named) => Algorithm::try_from(named).ok()?,
        None => algorithm.or_else(|| usual_algorithm(&decoding))?,
    };
    check_algorithm(&decoding, algorithm).ok()?;
    Some(Key { id: jwk.common.key_id, algorithm, decoding, fingerprint })
}

/// The algorithm that providers use with such a key.
fn usual_algorithm(key: &DecodingKey) -> Option<Algorithm> {
    use jsonwebtoken::AlgorithmFamily;

    match key.family() {
        AlgorithmFamily::Rsa => Some(Algorithm::RS256),
        AlgorithmFamily::Ed => Some(Algorithm::EdDSA),
        AlgorithmFamily::Ec => {
            let bytes = key.try_get_as_bytes().ok()?.len();
            POINT_BYTES.iter().find(|(point, _)| *point == bytes).map(|(_, algorithm)| *algorithm)
        }
        AlgorithmFamily::Hmac => None,
    }
}

fn check_algorithm(key: &DecodingKey, algorithm: Algorithm) -> Result<(), KeyError> {
    use jsonwebtoken::AlgorithmFamily;

    let fits = match key.family() {
        // The curve decides.
        AlgorithmFamily::Ec => usual_algorithm(key) == Some(algorithm),
        family => family == algorithm.family(),
    };
    if fits { Ok(()) } else { Err(KeyError::WrongAlgorithm(algorithm)) }
}

fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
