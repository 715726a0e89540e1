//! The files of the person who calls: what `login` and `context` keep, in the folder whimbrel of
//! $XDG_CONFIG_HOME or ~/.config. Only that person can read them. Never keeps anything by itself.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::Error;
use crate::runtime::files::{self, FileError};

/// The content of the file `name`, or the default if there is none.
///
/// # Errors
/// It cannot be read, others may read it, or it is damaged.
pub(super) fn read<T: Default + DeserializeOwned>(name: &str) -> Result<T, Error> {
    path(name).map_or_else(|| Ok(T::default()), |path| read_at(&path))
}

/// Changes the content of the file `name`, which is written in one step. Nobody else changes it meanwhile.
///
/// # Errors
/// As for [`read`]; there is no folder for it; or it cannot be written.
pub(super) fn change<T, R>(
    name: &str,
    change: impl FnOnce(&mut T) -> Result<R, Error>,
) -> Result<R, Error>
where
    T: Default + DeserializeOwned + Serialize,
{
    let no_home = "there is no folder to keep it in: set HOME or XDG_CONFIG_HOME";
    let path = path(name).ok_or_else(|| Error::Usage(no_home.to_owned()))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|source| Error::File { file: folder.to_owned(), source })?;
    }
    let _lock = files::lock(&path.with_extension("lock"))?;
    let mut content: T = read_at(&path)?;
    let out = change(&mut content)?;
    let json = Zeroizing::new(serde_json::to_vec_pretty(&content).map_err(std::io::Error::from)?);
    files::write_secret(&path, &json)?;
    Ok(out)
}

/// `None` if the person has no home.
fn path(name: &str) -> Option<PathBuf> {
    let folder = |variable: &str| std::env::var_os(variable).filter(|it| !it.is_empty());
    let config = folder("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(Path::new(&folder("HOME")?).join(".config")))?;
    Some(config.join("whimbrel").join(name))
}

fn read_at<T: Default + DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = match files::read_secret(path) {
        Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(T::default());
        }
        bytes => bytes?,
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        let path = path.display();
        Error::Usage(format!("{path} is damaged ({error}): remove it, and make its content again"))
    })
}
