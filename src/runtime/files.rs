//! The files with keys and secrets: reads them whole within a limit, and writes them so that a crash
//! leaves the old one or the new one. Never follows what is in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Largest file that is read: a set of a hundred keys has some 100 KB.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bits of a file's mode that let others than its owner read or change it.
const OTHERS: u32 = 0o077;
/// Those bits, but for that of reading by the file's group.
const OTHERS_THAN_GROUP: u32 = 0o037;
/// The user id of root.
const ROOT: u32 = 0;
/// The mode of a file with a secret.
const PRIVATE: u32 = 0o600;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refuses.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{} is no regular file: it could not be read again when it changes", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than any of its kind.
    #[error("{} has more than {FILE_BYTES_MAX} bytes: is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner can read a file with a secret.
    #[error(
        "{} has a secret, and others than its owner may use it (mode {mode:o}): run `chmod 600` on \
         it, and think about a new secret",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// The bytes of a file that anybody may read.
///
/// # Errors
/// See [`FileError`].
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_checked(path, |_, _| Ok(()))
}

/// The bytes of a file that only its owner may read; or its group, too, if it is root's. So a service reads a secret
/// that it cannot change: Kubernetes mounts one, and `/etc` has one, as a file of root and of the service's group.
///
/// # Errors
/// See [`FileError`].
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_checked(path, |mode, owner| {
        match mode & if owner == ROOT { OTHERS_THAN_GROUP } else { OTHERS } {
            0 => Ok(()),
            _ => Err(FileError::Exposed { path: path.to_owned(), mode }),
        }
    })
}

fn read_checked(
    path: &Path,
    check_mode: impl FnOnce(u32, u32) -> Result<(), FileError>,
) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    // Before it is opened, because that would wait for the writer of a pipe.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(FileError::NotRegular { path: path.to_owned() });
    }
    let file = File::open(path).map_err(failed)?;
    // Of the open file, so that it is the one that is read.
    let metadata = file.metadata().map_err(failed)?;
    check_mode(metadata.permissions().mode() & 0o777, metadata.uid())?;
    // All at once, because a vector that grows leaves copies behind.
    let capacity = metadata.len().min(FILE_BYTES_MAX + 1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity as usize));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Replaces the file at `path`, or makes it, readable for its owner only. Durable on return.
///
/// # Errors
/// It cannot be written.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    let folder = folder_of(path);
    let mut new = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(PRIVATE))
        .tempfile_in(folder)
        .map_err(failed)?;
    new.write_all(bytes).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    new.persist(path).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Removes the file at `path`, if there is one. Durable on return.
///
/// # Errors
/// It may still be there.
pub fn remove(path: &Path) -> Result<(), FileError> {
    let removed = match fs::remove_file(path) {
        Ok(()) => File::open(folder_of(path)).and_then(|folder| folder.sync_all()),
        Err(error) => match error.kind() {
            // What should be the folder may be a file.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(()),
            _ => Err(error),
        },
    };
    removed.map_err(|source| FileError::Io { path: path.to_owned(), source })
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Holds a lock until it is dropped, so that two processes do not both change the file at `path`.
///
/// # Errors
/// It cannot be made or locked.
pub fn lock(path: &Path) -> Result<File, FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(PRIVATE).open(path);
    let file = file.map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}
