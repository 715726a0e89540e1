//! Tokens for development: an issuer on the same machine, whose private key is in the data folder. A
//! server trusts it only by a flag of its own. Who can read that folder can be everybody.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use zeroize::Zeroizing;

use super::caller::Role;
use super::settings::{ClaimPath, IssuerSettings, KeySettings};
use crate::model::UserId;
use crate::runtime::files::{self, FileError};

/// The file with the private key (PKCS #8), and that with the public one, in the data folder.
const PRIVATE_FILE: &str = "development-key.pk8";
const PUBLIC_FILE: &str = "development-key.json";
const LOCK: &str = "development-key.lock";

const ISSUER: &str = "whimbrel-development";
const AUDIENCE: &str = "whimbrel";
/// The subject of a token for a role that is no user.
const NOBODY: &str = "development";

/// The issuer of tokens for development.
#[derive(Debug)]
pub struct DevelopmentIssuer {
    key: EncodingKey,
    public_file: PathBuf,
}

/// Why a token for development cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file with the private key is damaged.
    #[error("{} is no private key: remove it, and a new one is made", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A key cannot be made, or cannot sign.
    #[error("the cryptographic library failed to make a key or a signature")]
    Failed,
    /// A role for one user needs a user, and others have none.
    #[error("{0}")]
    User(&'static str),
}

impl DevelopmentIssuer {
    /// The issuer of `data_dir`. Its key is made if there is none.
    ///
    /// # Errors
    /// The files with the key cannot be used.
    pub fn open(data_dir: &Path) -> Result<Self, MintError> {
        let failed = |source| FileError::Io { path: data_dir.to_owned(), source };
        std::fs::create_dir_all(data_dir).map_err(failed)?;
        let _lock = files::lock(&data_dir.join(LOCK))?;
        let private_file = data_dir.join(PRIVATE_FILE);
        let public_file = data_dir.join(PUBLIC_FILE);
        if !private_file.exists() {
            let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
            let key = key.map_err(|_| MintError::Failed)?;
            files::write_secret(&private_file, key.as_ref())?;
        }
        let private = files::read_secret(&private_file)?;
        let damaged = |_| MintError::Damaged { path: private_file.clone() };
        let pair = Ed25519KeyPair::from_pkcs8(&private).map_err(damaged)?;
        let public = URL_SAFE_NO_PAD.encode(pair.public_key());
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": public }] }).to_string();
        // Only if it is another, because servers read a changed file again.
        if files::read(&public_file).map_or(true, |there| *there != set.as_bytes()) {
            files::write_secret(&public_file, set.as_bytes())?;
        }
        Ok(Self { key: EncodingKey::from_ed_der(&private), public_file })
    }

    /// A token for `user` with `role`, at `now`, a time since 1970, for as long as `valid`.
    ///
    /// # Errors
    /// The role is for one user and there is none, or the reverse.
    pub fn mint(
        &self,
        role: Role,
        user: Option<&UserId>,
        now: Duration,
        valid: Duration,
    ) -> Result<Zeroizing<String>, MintError> {
        let subject = match (role.is_one_user(), user) {
            (true, Some(user)) => user.as_str(),
            (false, None) => NOBODY,
            (true, None) => return Err(MintError::User("this role is one user: name the user")),
            (false, Some(_)) => {
                return Err(MintError::User("this role acts for all users: name none"));
            }
        };
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "scope": role.name(),
            "iat": now.as_secs(),
            "exp": (now + valid).as_secs(),
        });
        let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.key);
        token.map(Zeroizing::new).map_err(|_| MintError::Failed)
    }

    /// The settings with which a server trusts the issuer.
    pub(super) fn settings(&self) -> IssuerSettings {
        IssuerSettings {
            issuer: ISSUER.into(),
            audience: vec![AUDIENCE.to_owned()],
            keys: KeySettings::Jwks(self.public_file.clone()),
            algorithm: None,
            user_claim: ClaimPath(vec!["sub".to_owned()]),
            user_prefix: String::new(),
            since_claim: None,
            role_claim: ClaimPath(vec!["scope".to_owned()]),
            roles: Role::ALL.map(|role| (role.name().to_owned(), role)).into(),
            default_role: None,
            leeway: Duration::ZERO,
        }
    }
}
