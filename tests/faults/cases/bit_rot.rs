//! Bit rot: a byte of any file of a data folder is not what it was.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::case::{Case, Missing, Outcome, block_on};
use crate::model::Model;
use crate::server::{Setup, program};

pub(crate) const ANY_FILE: Case = Case {
    name: "bit rot",
    how: "a bit is changed in each file of a closed data folder, in the text of a post if it has one, at its \
          first and last byte, and at others that are used, of the index at five at once; and a server is started \
          on that",
    holds: "the start is refused with code 4 and names the file, or reads are refused, or all is right; never \
            a wrong answer",
    short: 18,
    long: 90,
    run: |times| Ok::<_, Missing>(block_on(damage_each(times))),
};

/// Changes before the damage: so many that each writer has more posts than memory keeps in order, and older
/// ones are found by the index.
const CHANGES: u64 = 1_000;
/// Segments that are closed and rewritten, which no start reads whole, besides two that one may.
const CLOSED_SEGMENTS: usize = 2;
/// Bits that are changed at once in the index, of which a reader looks at a few blocks only.
const INDEX_FLIPS: usize = 5;
/// In the text of each post.
const TEXT: &[u8] = b" number ";

/// The part of a file that has a content: the rest of a new segment is zeros.
const BEGIN_BYTES: u64 = 2 << 20;

/// A file to damage.
struct Target {
    file: PathBuf,
    bytes: u64,
    /// The places of digits in texts of posts.
    texts: Vec<u64>,
    /// Those of bytes that are not zero. A segment that is prepared has none.
    used: Vec<u64>,
}

#[derive(Default)]
struct Counts {
    starts_refused: usize,
    reads_refused: usize,
    right: usize,
}

async fn damage_each(times: usize) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::new(folder.path());
    let server = setup.clone().variable("WHIMBREL_COMPACT_EVERY", "1").start();
    let mut model = Model::new(server.address).await.grow(server.address, CHANGES).await;
    let data = setup.data();
    while segments(data) < CLOSED_SEGMENTS + 2 {
        model = model.grow(server.address, CHANGES / 10).await;
    }
    model.check(server.address).await;
    server.stop().await;
    let key = ["key", "create", "--name", "backend", "--role", "service", "--data"];
    program(&[&key[..], &[data.to_str().expect("UTF-8")]].concat());
    let kept = folder.path().join("kept");
    copy(data, &kept);
    let files: Vec<_> = files_of(&kept).into_iter().map(|file| Target::new(&kept, file)).collect();
    assert!(files.len() >= 5 && files.iter().filter(|it| !it.texts.is_empty()).count() > 1);
    let mut counts = Counts::default();
    for number in 0..times {
        let Target { file, bytes, texts, used } = &files[number % files.len()];
        let at = match number / files.len() {
            1 => 0,
            2 => bytes - 1,
            // Most of a new segment and of the index is zeros, which nothing reads.
            round => {
                let places = if round % 2 == 0 && !texts.is_empty() { texts } else { used };
                fastrand::choice(places).copied().unwrap_or(bytes / 2)
            }
        };
        fs::remove_dir_all(data).expect("it is ours");
        copy(&kept, data);
        flip(&data.join(file), at);
        let is_index = file.to_string_lossy().starts_with("index");
        for _ in 1..if is_index && number / files.len() > 2 { INDEX_FLIPS } else { 1 } {
            flip(&data.join(file), *fastrand::choice(used).expect("it has a content"));
        }
        let with_keys = file.to_string_lossy().starts_with("api-keys");
        find(&setup, &model, file, at, with_keys, &mut counts).await;
    }
    fs::remove_dir_all(data).expect("it is ours");
    copy(&kept, data);
    let server = setup.start();
    model.check(server.address).await;
    server.stop().await;
    let Counts { starts_refused, reads_refused, right } = counts;
    assert!(starts_refused > 0 && right > 0, "the damage was not where it matters");
    let notes = format!(
        "{} files; {starts_refused} starts and {reads_refused} reads refused, {right} all right",
        files.len()
    );
    Outcome::of(times, &model).noting(notes)
}

/// Starts a server on the damage, and sees what it does.
async fn find(
    setup: &Setup,
    model: &Model,
    file: &Path,
    at: u64,
    with_keys: bool,
    counts: &mut Counts,
) {
    let setup = setup.clone();
    let setup = if with_keys { setup.argument("--auth") } else { setup };
    match setup.try_start() {
        Err(ended) => {
            assert_eq!(ended.status.code(), Some(4), "{file:?} at {at}: {ended:?}");
            // A damaged end of a segment may be found by what the checkpoint says of it.
            let name = file.file_name().expect("a file").to_string_lossy();
            let is_named = ended.log.contains(&*name) || ended.log.contains("checkpoint");
            assert!(is_named, "{file:?} at {at} is not named: {}", ended.log);
            counts.starts_refused += 1;
        }
        // Who has no key is refused, whatever the file of keys says.
        Ok(server) if with_keys => {
            let refused = model.compare(server.address).await.expect_err("nobody has a key");
            let whimbrel::client::Error::Call(refused) = refused else { panic!("{refused}") };
            assert_eq!(refused.code, "UNAUTHENTICATED", "{file:?} at {at}");
            counts.right += 1;
        }
        Ok(mut server) => {
            if model.compare(server.address).await.is_ok() {
                counts.right += 1;
            } else {
                counts.reads_refused += 1;
                // What is read again, after a repair or not, is right or refused as well.
                drop(model.compare(server.address).await);
            }
            assert!(server.runs(), "{file:?} at {at}: a read ended it: {}", server.log());
            server.kill();
        }
    }
}

impl Target {
    fn new(folder: &Path, file: PathBuf) -> Self {
        let path = folder.join(&file);
        let bytes = fs::metadata(&path).expect("it is there").len();
        let mut begin = Vec::new();
        let opened = fs::File::open(path).expect("it is ours");
        opened.take(BEGIN_BYTES).read_to_end(&mut begin).expect("it is ours");
        let texts = begin.windows(TEXT.len()).zip(TEXT.len() as u64..);
        let texts = texts.filter(|(bytes, _)| *bytes == TEXT).map(|(_, at)| at).collect();
        let used = begin.iter().zip(0..).filter(|(byte, _)| **byte != 0).map(|(_, at)| at);
        Self { file, bytes, texts, used: used.collect() }
    }
}

/// How many segments the log of a data folder has.
fn segments(data: &Path) -> usize {
    let names = files_of(&data.join("log"));
    names.iter().filter(|name| name.extension().is_some_and(|it| it == "seg")).count()
}

fn flip(file: &Path, at: u64) {
    use std::os::unix::fs::FileExt as _;
    let opened = fs::File::options().read(true).write(true).open(file).expect("it is there");
    let mut byte = [0];
    opened.read_exact_at(&mut byte, at).expect("it is within the file");
    byte[0] ^= 1 << fastrand::u32(..8);
    opened.write_all_at(&byte, at).expect("it is ours");
}

/// All files with a content, as paths below `folder`, in order.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("it is ours") {
            let path = entry.expect("it is ours").path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::metadata(&path).expect("it is there").len() > 0 {
                files.push(path.strip_prefix(folder).expect("it is below").to_owned());
            }
        }
    }
    files.sort();
    files
}

/// Copies a folder, with holes where there are some.
fn copy(from: &Path, to: &Path) {
    let arguments =
        ["--archive".as_ref(), "--sparse=always".as_ref(), from.as_os_str(), to.as_os_str()];
    crate::machine::run("cp", &arguments).expect("there is room");
}
