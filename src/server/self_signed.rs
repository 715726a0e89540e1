//! A certificate for a try on one machine, kept in the data folder: for `localhost`, 127.0.0.1 and
//! ::1, with an authority of its own for clients to trust. Never signs a second one: the key of the
//! authority is forgotten at once, so nobody can use it to pretend to be another server.
//!
//! ```text
//!   DATA/tls/ca.pem     the authority's certificate, for clients
//!   DATA/tls/cert.pem   the server's certificate
//!   DATA/tls/key.pem    its key, for the owner alone
//! ```

use std::error::Error;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::tls::TlsError;
use crate::runtime::Clock;

/// The names of this machine that it has on every machine.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Ten years: a try ends before, and nobody is there to renew it.
const VALID_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// How long before it is made the certificate is valid, for clients with a clock that is slow.
const CLOCK_ERROR_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A key is for its owner alone.
const KEY_MODE: u32 = 0o600;
/// Everybody on the machine may be a client.
const FOLDER_MODE: u32 = 0o755;
const AUTHORITY_FILE: &str = "ca.pem";
const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

type BoxError = Box<dyn Error + Send + Sync>;

/// The files of the certificate.
#[derive(Debug)]
pub(super) struct SelfSigned {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) authority: Authority,
}

/// The authority that clients must trust to call a server with a self-signed certificate.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The PEM file for clients.
    pub file: PathBuf,
    /// The SHA-256 of the certificate in it, as `openssl x509 -fingerprint -sha256` prints it.
    pub sha256: String,
}

impl SelfSigned {
    /// The certificate in `data_dir`. It is made if there is none.
    ///
    /// # Errors
    /// It cannot be made, or its authority cannot be read.
    pub(super) fn in_folder(data_dir: &Path) -> Result<Self, TlsError> {
        let folder = data_dir.join("tls");
        let failed = |source| TlsError::SelfSigned { path: folder.clone(), source };
        if !folder.exists() {
            make(data_dir, &folder).map_err(failed)?;
        }
        let file = folder.join(AUTHORITY_FILE);
        let sha256 = fingerprint(&file).map_err(failed)?;
        let [certificate, key] = [CERTIFICATE_FILE, KEY_FILE].map(|name| folder.join(name));
        Ok(Self { certificate, key, authority: Authority { file, sha256 } })
    }
}

/// Makes all files in another folder and renames it, so that there are all of them or none.
fn make(data_dir: &Path, folder: &Path) -> Result<(), BoxError> {
    fs::create_dir_all(data_dir)?;
    let readable = Permissions::from_mode(FOLDER_MODE);
    let new =
        tempfile::Builder::new().prefix("tls.new-").permissions(readable).tempdir_in(data_dir)?;
    let file = |name| new.path().join(name);
    let (authority, issuer) = authority()?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    set_validity(&mut params);
    params.distinguished_name.push(DnType::CommonName, NAMES[0]);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    fs::write(file(AUTHORITY_FILE), authority.pem())?;
    fs::write(file(CERTIFICATE_FILE), params.signed_by(&key, &issuer)?.pem())?;
    let mut options = OpenOptions::new();
    let mut key_file = options.write(true).create_new(true).mode(KEY_MODE).open(file(KEY_FILE))?;
    key_file.write_all(Zeroizing::new(key.serialize_pem()).as_bytes())?;
    fs::rename(new.path(), folder)?;
    Ok(())
}

/// A new authority, which can sign until the issuer is dropped.
fn authority() -> Result<(Certificate, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut params = CertificateParams::default();
    set_validity(&mut params);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Whimbrel on this machine");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?, Issuer::new(params, key)))
}

/// Makes a certificate valid from now on; from 1970 on if the clock is set to a time before.
fn set_validity(params: &mut CertificateParams) {
    let now = date_time_ymd(1970, 1, 1) + Clock::system().since_epoch().unwrap_or_default();
    (params.not_before, params.not_after) = (now - CLOCK_ERROR_MAX, now + VALID_TIME);
}

/// The SHA-256 of the first certificate in `file`, in pairs of hexadecimal digits.
fn fingerprint(file: &Path) -> Result<String, BoxError> {
    let certificate = CertificateDer::from_pem_file(file)?;
    let digits = Sha256::digest(&certificate);
    let digits: Vec<_> = digits.iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(digits.join(":"))
}
