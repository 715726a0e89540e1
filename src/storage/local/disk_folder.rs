//! A folder of this machine's file system.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::{Folder, StorageFile};
use crate::storage::free_space;

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
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name()));
        // Names that are no text are not ours.
        let text = |name: io::Result<std::ffi::OsString>| match name {
            Ok(name) => name.into_string().ok().map(Ok),
            Err(error) => Some(Err(error)),
        };
        names.filter_map(text).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.file(name))?;
        Ok(Arc::new(DiskFile::new(file)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(self.file(name))?;
        Ok(Arc::new(DiskFile::new(file)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file(from), self.file(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.file(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
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
