//! The fixtures: what earlier programs wrote, packed.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tempfile::TempDir;

/// The folder with the fixtures.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/storage/versions")
}

/// The names of all fixtures.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = folders.map(|it| it.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// All data folders, as `NAME/stopped` or `NAME/killed`.
pub(crate) fn data_folders() -> Vec<String> {
    let both = |name: String| ["stopped", "killed"].map(|end| format!("{name}/{end}"));
    let all = names().into_iter().flat_map(both);
    all.filter(|folder| root().join(folder).is_dir()).collect()
}

/// A copy of a folder, unpacked.
pub(crate) fn unpack(folder: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    unpack_into(&root().join(folder), copy.path());
    copy
}

fn unpack_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(to.join(&name)).unwrap();
            unpack_into(&entry.path(), &to.join(&name));
        } else {
            let unpacked = name.strip_suffix(".gz").expect("all files are packed");
            fs::write(to.join(unpacked), read(&entry.path())).unwrap();
        }
    }
}

/// The text of a file of a fixture.
pub(crate) fn text(file: &str) -> String {
    String::from_utf8(read(&root().join(format!("{file}.gz")))).unwrap()
}

fn read(packed: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(File::open(packed).unwrap()).read_to_end(&mut content).unwrap();
    content
}
