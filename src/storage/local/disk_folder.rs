//! A folder of this machine's file system. A file that cannot be opened because too many others are
//! open is waited for; never for any other error.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::folder::{Folder, StorageFile};
use crate::storage::free_space;

/// How long a file is waited for while the process, or the machine, may not open another one. The server
/// spares some for its log, so only something else can have taken them, and that may end soon; an error
/// of the log ends the server.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(30);
const OPEN_RETRY_DELAY: Duration = Duration::from_millis(20);

/// A folder of the file system.
#[derive(Debug)]
pub(super) struct DiskFolder {
    path: PathBuf,
}

#[derive(Debug)]
struct DiskFile {
    file: File,
    /// The device and the inode.
    id: (u64, u64),
}

impl DiskFolder {
    /// The folder at `path`, which is there.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn file(&self, name: &str) -> PathBuf {
        debug_assert!(!name.contains('/'), "a name has no path");
        self.path.join(name)
    }

    fn open_with(&self, name: &str, options: &OpenOptions) -> io::Result<Arc<dyn StorageFile>> {
        let path = self.file(name);
        Ok(Arc::new(DiskFile::new(patiently(&path, || options.open(&path))?)?))
    }
}

/// What `open` gives, which opens `path` and does nothing else, once a file may be opened again.
fn patiently<T>(path: &Path, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let begun = Instant::now();
    let mut is_reported = false;
    loop {
        match open() {
            Err(error) if has_too_many_files(&error) && begun.elapsed() < OPEN_WAIT_MAX => {
                if !std::mem::replace(&mut is_reported, true) {
                    let seconds = OPEN_WAIT_MAX.as_secs();
                    tracing::warn!(%error, path = %path.display(), "waiting up to {seconds} s");
                }
                sleep(OPEN_RETRY_DELAY);
            }
            done => return done,
        }
    }
}

fn has_too_many_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

impl DiskFile {
    fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { file, id: (metadata.dev(), metadata.ino()) })
    }
}

impl Folder for DiskFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names =
            patiently(&self.path, || fs::read_dir(&self.path))?.map(|entry| Ok(entry?.file_name()));
        // Names that are no text are not ours.
        let text = |name: io::Result<std::ffi::OsString>| match name {
            Ok(name) => name.into_string().ok().map(Ok),
            Err(error) => Some(Err(error)),
        };
        names.filter_map(text).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.open_with(name, OpenOptions::new().read(true).write(true))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.open_with(name, OpenOptions::new().read(true).write(true).create_new(true))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file(from), self.file(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.file(name))
    }

    fn sync(&self) -> io::Result<()> {
        patiently(&self.path, || File::open(&self.path))?.sync_all()
    }

    fn is_name_of(&self, name: &str, file: &dyn StorageFile) -> io::Result<bool> {
        match fs::metadata(self.file(name)) {
            Ok(metadata) => Ok((metadata.dev(), metadata.ino()) == file.id()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn bytes_free(&self) -> io::Result<Option<u64>> {
        free_space::bytes_free(&self.path).map(Some)
    }
}

impl StorageFile for DiskFile {
    fn id(&self) -> (u64, u64) {
        self.id
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
