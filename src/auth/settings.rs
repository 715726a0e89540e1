//! The settings of who may call, as an operator writes them in TOML. Never opens a file that they
//! name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Deserializer};

use super::caller::Role;
use super::keys::ALGORITHMS;
use crate::model::{UserId, UserIdError};
use crate::runtime::files::{self, FileError};

/// Most that two clocks may differ.
const LEEWAY_MAX: Duration = Duration::from_secs(30);
const LEEWAY_DEFAULT: Duration = Duration::from_secs(10);
/// Most issuers and certificates: each token is looked up among them.
const ENTRIES_MAX: usize = 100;

/// Who may call, besides those with API keys.
///
/// # Examples
/// ```
/// use std::path::Path;
/// use whimbrel::auth::Settings;
///
/// let text = r#"
/// [[issuer]]
/// issuer = "https://login.example.org/"
/// audience = "feed"
/// jwks_url = "https://login.example.org/jwks.json"
/// roles = { "feed:write" = "service" }
///
/// [[certificate]]
/// name = "spiffe://example.org/ranker"
/// role = "service-reader"
/// "#;
/// assert!(Settings::parse(text, Path::new("/etc/whimbrel")).is_ok());
///
/// // An error names the setting and what to write.
/// let error = Settings::parse("[[issuer]]\nissuer = 'a'\naudience = 'b'", Path::new("/"));
/// assert!(error.unwrap_err().to_string().contains("jwks_url"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub(super) issuers: Vec<IssuerSettings>,
    pub(super) certificates: Vec<CertificateSettings>,
}

/// An issuer of tokens.
#[derive(Clone, Debug)]
pub(super) struct IssuerSettings {
    /// The claim `iss`, exactly.
    pub(super) issuer: Arc<str>,
    /// Of the claim `aud`, one must be among these.
    pub(super) audience: Vec<String>,
    pub(super) keys: KeySettings,
    /// The algorithm of keys that name none; `None` for the usual one.
    pub(super) algorithm: Option<Algorithm>,
    /// Where the user's id is.
    pub(super) user_claim: ClaimPath,
    /// What goes before it, so that users of two issuers are never taken for each other.
    pub(super) user_prefix: String,
    /// Where a token says when the account was made; `None` if it does not.
    pub(super) since_claim: Option<ClaimPath>,
    /// Where a token says what its bearer may do.
    pub(super) role_claim: ClaimPath,
    pub(super) roles: BTreeMap<String, Role>,
    /// The role of a bearer to whom `roles` gives none; `None` refuses them.
    pub(super) default_role: Option<Role>,
    pub(super) leeway: Duration,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub(super) enum KeySettings {
    /// A JSON Web Key Set at an address, and the file with the certificate authorities to trust.
    Url { url: String, ca_file: Option<PathBuf> },
    /// A file with a JSON Web Key Set.
    Jwks(PathBuf),
    /// Files with a public key in PEM each.
    Pem(Vec<PathBuf>),
    /// A file with a secret for HMAC.
    Secret(PathBuf),
}

/// A client certificate.
#[derive(Clone, Debug)]
pub(super) struct CertificateSettings {
    /// One of the certificate's alternative names: a DNS name or a URI.
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    pub(super) user: Option<UserId>,
}

/// The names of a claim and of the members in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimPath(pub(super) Vec<String>);

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The text is no TOML with the known settings.
    #[error("{0}")]
    Toml(String),
    /// A setting of an issuer.
    #[error("the issuer {issuer:?}: {problem}")]
    Issuer {
        /// The issuer.
        issuer: String,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// A setting of a certificate.
    #[error("the certificate {name:?}: {problem}")]
    Certificate {
        /// The name.
        name: String,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// Too many entries.
    #[error("there are more than {ENTRIES_MAX} issuers or certificates")]
    TooMany,
}

/// The settings as text has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSettings {
    #[serde(default)]
    issuer: Vec<RawIssuer>,
    #[serde(default)]
    certificate: Vec<RawCertificate>,
}

/// The same in a text with others.
#[derive(Deserialize)]
struct RawAmongOthers {
    #[serde(default)]
    issuer: Vec<RawIssuer>,
    #[serde(default)]
    certificate: Vec<RawCertificate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIssuer {
    issuer: String,
    #[serde(deserialize_with = "one_or_more")]
    audience: Vec<String>,
    jwks_url: Option<String>,
    ca_file: Option<PathBuf>,
    jwks_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "one_or_more")]
    pem_files: Vec<String>,
    secret_file: Option<PathBuf>,
    algorithm: Option<String>,
    user_claim: Option<RawPath>,
    #[serde(default)]
    user_prefix: String,
    since_claim: Option<RawPath>,
    role_claim: Option<RawPath>,
    #[serde(default)]
    roles: BTreeMap<String, String>,
    default_role: Option<String>,
    leeway_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCertificate {
    name: String,
    role: String,
    user: Option<String>,
}

/// A name, or the names on the way to a member.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawPath {
    One(String),
    Many(Vec<String>),
}

impl Settings {
    /// The settings in `file`.
    ///
    /// # Errors
    /// The file cannot be read, or the first setting that is refused.
    pub fn read(file: &Path) -> Result<Self, SettingsError> {
        let bytes = files::read(file)?;
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|_| SettingsError::Toml("it is no text in UTF-8".to_owned()))?;
        Self::parse(text, file.parent().unwrap_or(file))
    }

    /// Parses settings. Relative paths in them are relative to `folder`.
    ///
    /// # Errors
    /// The first setting that is refused.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, SettingsError> {
        Self::from_raw(toml::from_str(text).map_err(toml_error)?, folder)
    }

    /// As [`Settings::parse`], of a text that also has settings of other parts.
    ///
    /// # Errors
    /// As [`Settings::parse`].
    pub fn parse_among_others(text: &str, folder: &Path) -> Result<Self, SettingsError> {
        let RawAmongOthers { issuer, certificate } = toml::from_str(text).map_err(toml_error)?;
        Self::from_raw(RawSettings { issuer, certificate }, folder)
    }

    fn from_raw(raw: RawSettings, folder: &Path) -> Result<Self, SettingsError> {
        if raw.issuer.len().max(raw.certificate.len()) > ENTRIES_MAX {
            return Err(SettingsError::TooMany);
        }
        let mut settings = Self::default();
        for raw in raw.issuer {
            let name = raw.issuer.clone();
            let problem = |problem| SettingsError::Issuer { issuer: name.clone(), problem };
            if settings.issuers.iter().any(|other| *other.issuer == *name) {
                return Err(problem("it is there twice: give it all its keys at once".to_owned()));
            }
            settings.issuers.push(issuer(raw, folder).map_err(problem)?);
        }
        for raw in raw.certificate {
            let name = raw.name.clone();
            let problem = |problem| SettingsError::Certificate { name: name.clone(), problem };
            if settings.certificates.iter().any(|other| *other.name == *name) {
                return Err(problem("it is there twice".to_owned()));
            }
            settings.certificates.push(certificate(raw).map_err(problem)?);
        }
        Ok(settings)
    }
}

fn toml_error(error: toml::de::Error) -> SettingsError {
    SettingsError::Toml(error.to_string())
}

fn issuer(raw: RawIssuer, folder: &Path) -> Result<IssuerSettings, String> {
    if raw.issuer.is_empty() {
        return Err("it is empty: write the claim `iss` of its tokens".to_owned());
    }
    if raw.audience.is_empty() || raw.audience.iter().any(String::is_empty) {
        return Err(
            "its audience is empty: write the claim `aud` of tokens for this server, so that \
                    tokens for others are not taken here"
                .to_owned(),
        );
    }
    let keys = keys(&raw, folder)?;
    let algorithm = raw.algorithm.map(|name| algorithm(&name)).transpose()?;
    let mut roles = BTreeMap::new();
    for (value, role) in raw.roles {
        roles.insert(value, role.parse().map_err(|error| format!("roles: {error}"))?);
    }
    let default_role = match raw.default_role.as_deref() {
        None => Some(Role::User),
        Some("none") => None,
        Some(name) => {
            let role: Role = name.parse().map_err(|error| format!("default_role: {error}"))?;
            if !role.is_one_user() {
                return Err(format!(
                    "default_role: {role} would let every bearer of a token act for everybody: give \
                     it to a value of role_claim, under roles"
                ));
            }
            Some(role)
        }
    };
    let leeway = raw.leeway_seconds.map_or(LEEWAY_DEFAULT, Duration::from_secs);
    if leeway > LEEWAY_MAX {
        return Err(format!("leeway_seconds must be at most {}", LEEWAY_MAX.as_secs()));
    }
    Ok(IssuerSettings {
        issuer: raw.issuer.into(),
        audience: raw.audience,
        keys,
        algorithm,
        user_claim: path(
            "user_claim",
            raw.user_claim.unwrap_or_else(|| RawPath::One("sub".to_owned())),
        )?,
        user_prefix: raw.user_prefix,
        since_claim: raw.since_claim.map(|raw| path("since_claim", raw)).transpose()?,
        role_claim: path(
            "role_claim",
            raw.role_claim.unwrap_or_else(|| RawPath::One("scope".to_owned())),
        )?,
        roles,
        default_role,
        leeway,
    })
}

/// Where the keys are: exactly one of the settings says so.
fn keys(raw: &RawIssuer, folder: &Path) -> Result<KeySettings, String> {
    let has_user_info = |url: &String| {
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
    };
    if raw.jwks_url.as_ref().is_some_and(has_user_info) {
        return Err("jwks_url: write no name and no password into it, as no setting is a secret \
                    (the keys are public)"
            .to_owned());
    }
    let pem_files = || raw.pem_files.iter().map(|file| folder.join(file)).collect();
    let given = [
        raw.jwks_url.as_ref().map(|url| KeySettings::Url {
            url: url.clone(),
            ca_file: raw.ca_file.as_ref().map(|file| folder.join(file)),
        }),
        raw.jwks_file.as_ref().map(|file| KeySettings::Jwks(folder.join(file))),
        (!raw.pem_files.is_empty()).then(|| KeySettings::Pem(pem_files())),
        raw.secret_file.as_ref().map(|file| KeySettings::Secret(folder.join(file))),
    ];
    let mut given = given.into_iter().flatten();
    let (Some(keys), None) = (given.next(), given.next()) else {
        return Err("give one of jwks_url, jwks_file, pem_files and secret_file".to_owned());
    };
    if raw.ca_file.is_some() && raw.jwks_url.is_none() {
        return Err("ca_file is for jwks_url only".to_owned());
    }
    Ok(keys)
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    let known = ALGORITHMS.iter().find(|algorithm| format!("{algorithm:?}") == name);
    known.copied().ok_or_else(|| {
        format!(
            "algorithm: {name:?} is not one of {}",
            ALGORITHMS.map(|it| format!("{it:?}")).join(", ")
        )
    })
}

fn path(setting: &str, raw: RawPath) -> Result<ClaimPath, String> {
    let names = match raw {
        RawPath::One(name) => vec![name],
        RawPath::Many(names) => names,
    };
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err(format!(
            "{setting}: write the name of a claim, or the names on the way into it"
        ));
    }
    Ok(ClaimPath(names))
}

fn certificate(raw: RawCertificate) -> Result<CertificateSettings, String> {
    if raw.name.is_empty() {
        return Err("it is empty: write a DNS name or a URI of the certificate".to_owned());
    }
    let role: Role = raw.role.parse().map_err(|error| format!("role: {error}"))?;
    let user = raw.user.map(|user| UserId::parse(&user)).transpose();
    let user = user.map_err(|error: UserIdError| format!("user {error}"))?;
    match (role.is_one_user(), user.is_some()) {
        (true, false) => Err(format!("a caller with the role {role} is one user: give its user")),
        (false, true) => {
            Err(format!("a caller with the role {role} acts for all users: leave user out"))
        }
        _ => Ok(CertificateSettings { name: raw.name.into(), role, user }),
    }
}

/// A text, or a list of them.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match RawPath::deserialize(deserializer)? {
        RawPath::One(text) => vec![text],
        RawPath::Many(texts) => texts,
    })
}
