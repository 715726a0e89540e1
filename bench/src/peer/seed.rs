//! Fills a Whimbrel log with its library, for data that would take an hour by calls. It never
//! writes an event that the server would not write for the same calls.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use whimbrel::model::{
    Change, Content, Event, PostId, PostRef, PostText, ReplyTo, Revision, Timestamp, UserId,
};
use whimbrel::runtime::Clock;
use whimbrel::storage::{LocalLog, Log, LogOptions};

use crate::data::{self, Action, Data, UserAction};
use crate::error::Error;

/// Events of one transaction.
const BATCH_EVENTS: usize = 20_000;
/// As the server has it by default.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Age of the events: older than any request id that the server remembers.
const AGE: Duration = Duration::from_secs(48 * 60 * 60);

/// Appends `data` to the log in `dir`: the edges, then the posts, then the actions.
pub(super) fn seed(dir: &Path, data: &Data) -> Result<(), Error> {
    let options = LogOptions { disk_free_bytes_min: 0, segment_bytes_max: SEGMENT_BYTES_MAX };
    let log: Arc<dyn Log> = Arc::new(LocalLog::open(dir, options)?);
    let start = Clock::system().since_epoch().unwrap_or_default().saturating_sub(AGE);
    let start_ns = Timestamp::since_epoch(start).unwrap_or_default().as_nanos();
    let mut users = Users::default();
    let mut writer = Writer { log, after: Revision::ZERO, start_ns, events: Vec::new() };
    writer.after = writer.log.head();
    for &(follower, followee) in &data.edges {
        let (follower, followee) = (users.id(follower)?, users.id(followee)?);
        writer.add(Change::Follow { follower, followee })?;
    }
    for post in 0..data.posts {
        let author = users.id(data.author_of(post))?;
        writer.add(Change::Publish { author, content: content(post), request_id: None })?;
    }
    for (number, UserAction { user, action }) in data.actions.iter().enumerate() {
        let (user, number) = (users.id(*user)?, data.posts + number as u64);
        let mut post = |(revision, author): (u64, u32)| {
            let id = PostId::from_revision(Revision::new(revision));
            Ok::<_, Error>(PostRef { id, author: users.id(author)? })
        };
        writer.add(match action {
            Action::Post => {
                Change::Publish { author: user, content: content(number), request_id: None }
            }
            Action::Reply(to) => {
                let parent = post((to.revision, to.author))?;
                let reply_to = Some(Box::new(ReplyTo { parent, root: post(to.root)? }));
                let content = Content { reply_to, ..content(number) };
                Change::Publish { author: user, content, request_id: None }
            }
            Action::Like(to) => Change::Like { user, post: post((to.revision, to.author))? },
            Action::Repost(to) => Change::Repost { user, post: post((to.revision, to.author))? },
        })?;
    }
    writer.flush()
}

fn content(post: u64) -> Content {
    Content::from_text(PostText::from_stored(&data::text(post)))
}

/// The ids so far: all events share the id of a user.
#[derive(Default)]
struct Users(Vec<Option<UserId>>);

struct Writer {
    log: Arc<dyn Log>,
    after: Revision,
    start_ns: u64,
    events: Vec<Event>,
}

impl Users {
    fn id(&mut self, user: u32) -> Result<UserId, Error> {
        let at = user as usize;
        if at >= self.0.len() {
            self.0.resize(at + 1, None);
        }
        match &self.0[at] {
            Some(id) => Ok(id.clone()),
            None => Ok(self.0[at].insert(UserId::parse(&data::user_name(user))?).clone()),
        }
    }
}

impl Writer {
    fn add(&mut self, change: Change) -> Result<(), Error> {
        let revision = self.after.get() + self.events.len() as u64;
        let time = Timestamp::from_nanos(self.start_ns + revision * 1_000);
        self.events.push(Event::new(time, change));
        if self.events.len() == BATCH_EVENTS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.events.is_empty() {
            let events = std::mem::take(&mut self.events);
            let count = events.len() as u64;
            self.log.append(self.after, events)?;
            self.after = Revision::new(self.after.get() + count);
        }
        Ok(())
    }
}
