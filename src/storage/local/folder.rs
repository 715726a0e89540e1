//! The files of a local log as the log uses them: all that it needs of a disk. Tests implement it
//! with a disk that loses what was not flushed. Never knows what a file means.

use std::io;
use std::path::Path;
use std::sync::Arc;

/// A folder of files. Names have no path. Calls block the thread.
///
/// A new name, a rename and a removal are durable after [`Folder::sync`], the content of a file
/// after [`StorageFile::sync`]. Before that a power cut may undo any of them, in any order.
pub trait Folder: Send + Sync + std::fmt::Debug + 'static {
    /// The path, for errors.
    fn path(&self) -> &Path;

    /// The names of all files.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// There is no such file, or it cannot be opened.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Creates an empty file.
    ///
    /// # Errors
    /// There is such a file already, or it cannot be created.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Gives a file another name. A file that had this name is removed.
    ///
    /// # Errors
    /// The file cannot be renamed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. A handle of it can still be used.
    ///
    /// # Errors
    /// There is no such file, or it cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable.
    ///
    /// # Errors
    /// It is not known which names are durable.
    fn sync(&self) -> io::Result<()>;

    /// Whether `name` is the name of `file`. `false` if no file has the name.
    ///
    /// # Errors
    /// It cannot be found out.
    fn is_name_of(&self, name: &str, file: &dyn StorageFile) -> io::Result<bool>;

    /// Bytes that are free for new files. `None` if there is no limit.
    ///
    /// # Errors
    /// It cannot be found out.
    fn bytes_free(&self) -> io::Result<Option<u64>>;
}

/// An open file. Calls block the thread; several threads may use one handle.
pub trait StorageFile: Send + Sync + std::fmt::Debug {
    /// Two numbers that no other file has while this one is open.
    fn id(&self) -> (u64, u64);

    /// The length in bytes.
    ///
    /// # Errors
    /// It cannot be found out.
    fn bytes(&self) -> io::Result<u64>;

    /// Fills `bytes` with the content from `offset` on.
    ///
    /// # Errors
    /// The file ends earlier, or cannot be read.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Some of it may be written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or extends it by zeros.
    ///
    /// # Errors
    /// The length is as before.
    fn set_bytes(&self, bytes: u64) -> io::Result<()>;

    /// Makes the content and the length durable.
    ///
    /// # Errors
    /// It is not known what is durable. Trying again does not help: the system may have dropped what
    /// it could not write.
    fn sync(&self) -> io::Result<()>;
}
