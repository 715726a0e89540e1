//! Objects in a folder: files that get their name once they are whole and durable. Never changes a file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::destination::ListedObject;

/// The beginning of the name of a file that is not whole. [`list`] leaves it out.
const UNFINISHED: &str = ".unfinished";

pub(super) fn put(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(dir) = file.parent() else { return Err(ErrorKind::InvalidInput.into()) };
    fs::create_dir_all(dir)?;
    let mut unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir)?;
    unfinished.write_all(bytes)?;
    unfinished.as_file().sync_all()?;
    unfinished.persist(file).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()?;
    // The folder may be new.
    dir.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
}

pub(super) fn get(file: &Path) -> io::Result<Option<Vec<u8>>> {
    found(fs::read(file))
}

pub(super) fn list(dir: &Path) -> io::Result<Vec<ListedObject>> {
    let Some(entries) = found(fs::read_dir(dir))? else { return Ok(Vec::new()) };
    let mut objects = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with(UNFINISHED)
            // It may have been removed meanwhile.
            && let Some(file) = found(fs::metadata(entry.path()))?
        {
            objects.push(ListedObject { name, bytes: file.len() });
        }
    }
    Ok(objects)
}

/// Removes what writes left that were killed. None may be under way.
pub(super) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    let Some(entries) = found(fs::read_dir(dir))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED)) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn remove(file: &Path) -> io::Result<()> {
    found(fs::remove_file(file)).map(drop)
}

/// `None` if there is no such file.
fn found<T>(call: io::Result<T>) -> io::Result<Option<T>> {
    match call {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        call => call.map(Some),
    }
}
