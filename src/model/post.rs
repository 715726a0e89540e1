//! Posts: their ids, content and references. A post here never has counts, and never says whether a
//! reader may see it.

use std::fmt;

use super::{Attachment, Encoded, Facets, Lang, PostText, Revision, Timestamp, UserId};

/// The id of a post: the revision at which it was published.
///
/// It is a position in the log, so no index from ids to posts is needed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PostId(Revision);

/// A reference to a post, with its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostRef {
    /// The post.
    pub id: PostId,
    /// The author of the post.
    pub author: UserId,
}

/// The position of a reply in its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The post that the reply answers.
    pub parent: PostRef,
    /// The first post of the thread, which is no reply. May be the parent.
    pub root: PostRef,
}

/// The content of a post. Cheap to clone if it is only a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The text; empty only if there are attachments.
    pub text: PostText,
    /// The parent and the root, if the post is a reply.
    pub reply_to: Option<Box<ReplyTo>>,
    /// The post that it quotes.
    pub quote: Option<PostRef>,
    /// At most [`ATTACHMENTS_MAX`](super::bounds::ATTACHMENTS_MAX).
    pub attachments: Box<[Attachment]>,
    /// The languages of the text, at most [`LANGS_MAX`](super::bounds::LANGS_MAX).
    pub langs: Box<[Lang]>,
    /// The mentions, links and hashtags in the text.
    pub facets: Facets,
    /// The users that the mentions notify: only names that were users when the post was published.
    pub mentioned: Box<[UserId]>,
}

/// A post with its author and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The position of its event in the log.
    pub revision: Revision,
    /// The author.
    pub author: UserId,
    /// The content.
    pub content: Content,
    /// The server's clock when the post was accepted.
    pub time: Timestamp,
    encoded: Encoded,
}

impl PostId {
    /// The id of the post that was published at `revision`.
    #[must_use]
    pub const fn from_revision(revision: Revision) -> Self {
        Self(revision)
    }

    /// The revision of the post. The log may have no post there.
    #[must_use]
    pub const fn revision(self) -> Revision {
        self.0
    }
}

/// As `p` and the revision. Clients get a text that names the epoch, too, from the API.
impl fmt::Debug for PostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl Content {
    /// The content of a post that is only a text.
    #[must_use]
    pub fn from_text(text: PostText) -> Self {
        Self {
            text,
            reply_to: None,
            quote: None,
            attachments: Box::default(),
            langs: Box::default(),
            facets: Facets::default(),
            mentioned: Box::default(),
        }
    }

    /// The content of an erased post: only its references.
    #[must_use]
    pub fn erased(reply_to: Option<Box<ReplyTo>>, quote: Option<PostRef>) -> Self {
        Self { reply_to, quote, ..Self::from_text(PostText::empty()) }
    }

    /// Whether a follower of `author` sees a post with this content only under conditions: they
    /// depend on the follower's other follows, blocks and mutes. True for a reply outside of
    /// the author's own thread, and for a quote of another user.
    #[must_use]
    pub fn is_conditional(&self, author: &UserId) -> bool {
        let is_reply = self.reply_to.as_ref().is_some_and(|to| !to.continues_thread_of(author));
        is_reply || self.quote.as_ref().is_some_and(|quote| quote.author != *author)
    }

    /// The users that a post of `author` with this content may notify: the authors of the parent
    /// and the quoted post, and the mentioned users. Each once, and never `author`.
    #[must_use]
    pub fn notified(&self, author: &UserId) -> Vec<UserId> {
        let parent = self.reply_to.as_ref().map(|reply_to| &reply_to.parent);
        let referred = parent.into_iter().chain(&self.quote).map(|post| &post.author);
        let mut notified = Vec::new();
        for user in referred.chain(&self.mentioned) {
            if user != author && !notified.contains(user) {
                notified.push(user.clone());
            }
        }
        notified
    }

    /// Whether two publishes with one request id request the same post. Facets that the server
    /// found and the notified users are not part of a request.
    #[must_use]
    pub fn is_same_request(&self, other: &Self) -> bool {
        let Self { text, reply_to, quote, attachments, langs, facets, mentioned: _ } = self;
        *text == other.text
            && *reply_to == other.reply_to
            && *quote == other.quote
            && *attachments == other.attachments
            && *langs == other.langs
            && facets.is_same_request(&other.facets)
    }

    /// Bytes of all texts and user ids.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let reply_to = self
            .reply_to
            .as_ref()
            .map_or(0, |to| to.parent.author.as_str().len() + to.root.author.as_str().len());
        let quote = self.quote.as_ref().map_or(0, |quote| quote.author.as_str().len());
        let attachments: usize = self.attachments.iter().map(Attachment::bytes).sum();
        let langs: usize = self.langs.iter().map(|lang| lang.as_str().len()).sum();
        let mentioned: usize = self.mentioned.iter().map(|user| user.as_str().len()).sum();
        let of_text = self.text.as_str().len() + self.facets.bytes() + mentioned;
        of_text + reply_to + quote + attachments + langs
    }
}

impl ReplyTo {
    /// Whether a reply of `author` continues a thread of their own: they published the root and the
    /// parent.
    #[must_use]
    pub fn continues_thread_of(&self, author: &UserId) -> bool {
        self.parent.author == *author && self.root.author == *author
    }
}

impl Post {
    /// The post that was published at `revision`.
    #[must_use]
    pub fn new(revision: Revision, author: UserId, content: Content, time: Timestamp) -> Self {
        Self { revision, author, content, time, encoded: Encoded::default() }
    }

    /// The cell of the post's bytes on the wire.
    #[must_use]
    pub fn encoded(&self) -> &Encoded {
        &self.encoded
    }

    /// The id of the post.
    #[must_use]
    pub fn id(&self) -> PostId {
        PostId(self.revision)
    }

    /// The id and the author.
    #[must_use]
    pub fn reference(&self) -> PostRef {
        PostRef { id: self.id(), author: self.author.clone() }
    }
}
