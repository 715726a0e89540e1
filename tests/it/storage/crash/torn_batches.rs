//! A batch that a power cut tore is cut off by the next start. Never one that was acknowledged.

use whimbrel::model::{Change, Content, Event, PostText, Revision, Timestamp, UserId};
use whimbrel::storage::Log;

use crate::storage::fragile_folder::FragileFolder;
use crate::storage::log_history::open;

/// A text that only the torn batch has.
const SECRET: &str = "kestrel over the harbour";

/// No byte of the torn batch stays, nothing is written behind it, and its revisions are given again.
#[test]
fn a_torn_batch_is_cut_off_and_the_next_begins_a_segment() {
    let mut torn = 0;
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = FragileFolder::default();
        let log = open(&folder);
        log.append(Revision::ZERO, posts("curlew", 3)).unwrap();
        let ops = folder.ops();
        log.append(Revision::new(3), posts(SECRET, 12)).unwrap();
        // After the write, and before the flush.
        let cut = folder.cut(ops + 1, &mut random);
        let was_written = has_secret(&cut);
        let log = open(&cut);
        if log.head() == Revision::new(15) || !was_written {
            continue;
        }
        torn += 1;
        assert_eq!(log.head(), Revision::new(3));
        assert!(!has_secret(&cut), "a part of the batch is on the disk");
        let sealed = cut.bytes_of("0000000000000001.seg");
        log.append(Revision::new(3), posts("redshank", 2)).unwrap();
        assert_eq!(cut.bytes_of("0000000000000001.seg"), sealed);
        assert!(cut.names().contains(&"0000000000000002.seg".to_owned()));
        let read = log.read(Revision::ZERO, 100).unwrap();
        let events: Vec<_> = read.into_iter().map(|entry| entry.event).collect();
        assert_eq!(events, [posts("curlew", 3), posts("redshank", 2)].concat());
    }
    assert!(torn > 20, "{torn} torn batches");
}

fn has_secret(folder: &FragileFolder) -> bool {
    folder.names().iter().any(|name| {
        let content = folder.bytes_of(name);
        content.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
    })
}

fn posts(text: &str, count: usize) -> Vec<Event> {
    let post = |number: usize| {
        let text = format!("{text} {}", ".".repeat(10 * number));
        let content = Content::from_text(PostText::parse(&text).unwrap());
        let author = UserId::parse("alice").unwrap();
        Event::new(Timestamp::default(), Change::Publish { author, content, request_id: None })
    };
    (0..count).map(post).collect()
}
