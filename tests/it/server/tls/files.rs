//! Files with which a server with TLS does not start: each is named, with what to do, before
//! anything is opened.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use whimbrel::config::{Config, Transport};
use whimbrel::server::{Error, Server};

use crate::harness::Setup;
use crate::harness::tls::{CertificateFiles, TestAuthority};

/// The error of a start with `transport`, which touches no data.
async fn refusal(transport: Transport) -> String {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let config = Config { transport, ..Setup::new().config(&data_dir) };
    let error = Server::open(config).await.expect_err("it must not start");
    assert!(matches!(error, Error::Tls(_)), "{error}");
    assert!(!data_dir.exists(), "the data were touched");
    error.to_string()
}

/// Checks that a start is refused with the path of `blamed`, and with `why`.
async fn blames(files: &CertificateFiles, blamed: &Path, why: &str) {
    let error = refusal(files.transport()).await;
    assert!(error.contains(&blamed.display().to_string()) && error.contains(why), "{error}");
}

/// A key that others may read is not secret any more.
#[tokio::test]
async fn a_key_that_others_may_use_is_refused() {
    let authority = TestAuthority::new();
    let files = authority.signs_server();
    if fs::metadata(&files.key).unwrap().uid() == 0 {
        // The files of root have a rule of their own.
        chown(&files.key, Some(1), None).unwrap();
    }
    for mode in [0o644, 0o640, 0o604, 0o660, 0o602] {
        fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
        blames(&files, &files.key, &format!("mode {mode:03o}")).await;
        blames(&files, &files.key, "chmod 600").await;
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
        Setup::new().transport(files.transport()).start().await;
    }
}

/// The group of a file of root may read it: so secrets of Kubernetes and of `/etc` are given to a service.
#[tokio::test]
async fn a_key_of_root_may_be_read_by_its_group() {
    let authority = TestAuthority::new();
    let files = authority.signs_server();
    let is_root = fs::metadata(&files.key).unwrap().uid() == 0;
    for mode in [0o640, 0o440] {
        fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
        match is_root {
            true => drop(Setup::new().transport(files.transport()).start().await),
            false => blames(&files, &files.key, "chmod 600").await,
        }
    }
    for mode in [0o660, 0o644, 0o641, 0o450] {
        fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
        blames(&files, &files.key, "chmod 600").await;
    }
}

/// Missing, empty, wrong and exchanged files.
#[tokio::test]
async fn files_that_cannot_be_used_are_refused_by_name() {
    let authority = TestAuthority::new();
    let good = authority.signs_server();
    let other = authority.signs_server();
    let with_certificate =
        |path: &Path| CertificateFiles { certificate: path.into(), ..good.clone() };
    let with_key = |path: &Path| CertificateFiles { key: path.into(), ..good.clone() };
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pem");
    for files in [with_certificate(&missing), with_key(&missing)] {
        blames(&files, &missing, "cannot use").await;
    }
    blames(&with_certificate(folder.path()), folder.path(), "no regular file").await;
    blames(&with_certificate(&good.key), &good.key, "has no certificate in PEM").await;
    blames(&with_key(&other.key), &other.key, "the key its own").await;
    let key = folder.path().join("key.pem");
    for content in
        ["", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"]
    {
        crate::harness::tls::write_key(&key, content, 0o600);
        blames(&with_key(&key), &key, "without a password").await;
    }
    crate::harness::tls::write_key(&key, "-----BEGIN PRIVATE KEY-----\nAAAA", 0o600);
    blames(&with_key(&key), &key, "is no PEM file").await;

    let error = refusal(good.transport_for(&authority, false, Some(good.key.clone()))).await;
    assert!(error.contains("no revocation list in PEM"), "{error}");
    Setup::new().transport(good.transport()).start().await;
}
