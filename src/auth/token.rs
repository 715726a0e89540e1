//! Verifies JSON Web Tokens (RFC 7519, with the rules of RFC 8725). Never keeps one, and never uses
//! an address or a key that a token names.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::caller::{Caller, Role, Source};
use super::error::Refusal;
use super::issuer::Issuer;
use super::keys::{Key, KeySet};
use super::settings::{ClaimPath, IssuerSettings};
use crate::model::UserId;

/// Longest token: those of providers have some 1 to 4 KB.
pub(super) const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Most keys that are tried for a token that names none.
const CANDIDATES_MAX: usize = 8;
/// Claims that every token must have. `sub` also if the user is in another one.
const REQUIRED: [&str; 4] = ["exp", "iss", "aud", "sub"];

/// The parts of a token that say which key to verify it with. Nothing in them is trusted yet.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    pub(super) issuer: &'a Issuer,
    header: Header,
    token: &'a str,
}

/// The claim that names the issuer.
#[derive(Deserialize)]
struct IssuerClaim {
    iss: String,
}

/// The claims of a token whose signature is right.
#[derive(Deserialize)]
struct Claims {
    exp: NumericDate,
    nbf: Option<NumericDate>,
    sub: String,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Seconds since 1970 (RFC 7519, section 2): a number, never a text.
#[derive(Deserialize)]
#[serde(try_from = "f64")]
struct NumericDate(Duration);

impl TryFrom<f64> for NumericDate {
    type Error = std::time::TryFromFloatSecsError;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        Duration::try_from_secs_f64(seconds).map(Self)
    }
}

impl<'a> Unverified<'a> {
    /// Finds the issuer of `token` among `issuers`.
    ///
    /// # Errors
    /// It is no token that could be verified.
    pub(super) fn parse(token: &'a str, issuers: &'a [Issuer]) -> Result<Self, Refusal> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
        // What is critical would have to be understood, and no extension is (RFC 7515, section
        // 4.1.11). An encrypted token is no signed one.
        if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
            return Err(Refusal::Malformed);
        }
        let claims: IssuerClaim = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| Refusal::Malformed)?;
        let issuer = issuers.iter().find(|issuer| *issuer.settings.issuer == *claims.iss);
        let issuer = issuer.ok_or(Refusal::Issuer)?;
        Ok(Self { issuer, header, token })
    }

    /// Verifies the token with one of `keys`, at `now`, a time since 1970.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] if none of `keys` is for it, or why it is refused.
    pub(super) fn verify(&self, keys: &KeySet, now: Duration) -> Result<Caller, Refusal> {
        let id = self.header.kid.as_deref();
        let mut refusal = Refusal::UnknownKey;
        for key in keys.candidates(id, self.header.alg).take(CANDIDATES_MAX) {
            match verify_with(self.token, key, &self.issuer.settings) {
                Ok(claims) => return caller(claims, key, &self.issuer.settings, now),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

/// Checks the signature, the issuer and the audience.
fn verify_with(token: &str, key: &Key, settings: &IssuerSettings) -> Result<Claims, Refusal> {
    let mut validation = Validation::new(key.algorithm);
    validation.set_required_spec_claims(&REQUIRED);
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&settings.audience);
    // By the server's clock, in `caller`.
    validation.validate_exp = false;
    let verified = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation);
    verified.map(|token| token.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::MissingRequiredClaim(claim) => Refusal::Claim { claim: claim.clone() },
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Claim { claim: "aud".to_owned() },
        // The claims have another form than these have in every token.
        ErrorKind::Json(_) => Refusal::Claim { claim: "exp, nbf or sub".to_owned() },
        _ => Refusal::Malformed,
    })
}

/// The caller that the claims describe.
fn caller(
    claims: Claims,
    key: &Key,
    settings: &IssuerSettings,
    now: Duration,
) -> Result<Caller, Refusal> {
    // A sum that is too great is never reached.
    let expires_at = claims.exp.0.checked_add(settings.leeway).unwrap_or(Duration::MAX);
    if expires_at <= now {
        return Err(Refusal::Expired);
    }
    if claims.nbf.as_ref().is_some_and(|nbf| nbf.0 > now + settings.leeway) {
        return Err(Refusal::NotYetValid);
    }
    let role = role(&claims, settings).ok_or(Refusal::NoRole)?;
    let user = if role.is_one_user() { Some(user(&claims, settings)?) } else { None };
    let source = Source::Token {
        issuer: settings.issuer.clone(),
        subject: claims.sub.as_str().into(),
        key: key.fingerprint,
    };
    // No account is made later than now, whatever a token says.
    let since =
        settings.since_claim.as_ref().map(|path| since(&claims, path).unwrap_or(now).min(now));
    Ok(Caller::since_time(role, user, source, Some(expires_at), since))
}

/// When the account was made; `None` if the token does not say, as if it were made now. Seconds since
/// 1970, or a time in RFC 3339.
fn since(claims: &Claims, path: &ClaimPath) -> Option<Duration> {
    match member(claims, path)? {
        Value::Number(seconds) => Duration::try_from_secs_f64(seconds.as_f64()?).ok(),
        Value::String(time) => {
            let time: prost_types::Timestamp = time.parse().ok()?;
            u64::try_from(time.seconds).ok().map(Duration::from_secs)
        }
        _ => None,
    }
}

/// The greatest role that a value of the role claim has.
fn role(claims: &Claims, settings: &IssuerSettings) -> Option<Role> {
    let claim = member(claims, &settings.role_claim);
    let role_of = |value: &str| settings.roles.get(value).copied();
    let greatest = match claim {
        // Scopes are one text, with spaces between them (RFC 8693, section 4.2).
        Some(Value::String(text)) => text.split(' ').filter_map(role_of).max(),
        Some(Value::Array(values)) => {
            values.iter().filter_map(Value::as_str).filter_map(role_of).max()
        }
        _ => None,
    };
    greatest.or(settings.default_role)
}

fn user(claims: &Claims, settings: &IssuerSettings) -> Result<UserId, Refusal> {
    let claim = || settings.user_claim.0.join(".");
    let id = match settings.user_claim.0.as_slice() {
        [name] if name == "sub" => claims.sub.as_str(),
        _ => member(claims, &settings.user_claim)
            .and_then(Value::as_str)
            .ok_or_else(|| Refusal::Claim { claim: claim() })?,
    };
    // The prefix alone is no user.
    let id = if id.is_empty() { String::new() } else { format!("{}{id}", settings.user_prefix) };
    UserId::parse(&id).map_err(|problem| Refusal::User { claim: claim(), problem })
}

fn member<'a>(claims: &'a Claims, path: &ClaimPath) -> Option<&'a Value> {
    let (first, rest) = path.0.split_first()?;
    rest.iter().try_fold(claims.others.get(first)?, |value, name| value.get(name))
}
