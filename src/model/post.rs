//! Posts, their names, and what they say.

use std::fmt;

use super::{Attachment, Facets, Lang, PostText, Revision, Timestamp, UserId};

/// A post's name: its revision, in a form of its own.
///
/// Because it tells where the post is in the log, no index from names to posts is needed. To
/// clients it is opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PostId(Revision);

/// Why a text is not a post's name. Its `Display` says what one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostIdError {
    /// Nothing was given.
    #[error("must not be empty: name a post")]
    Empty,
    /// No post has such a name.
    #[error("must be a post_id exactly as this server gave it, but is none")]
    Malformed,
}

/// A post, and who published it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostRef {
    /// Which.
    pub id: PostId,
    /// Whose.
    pub author: UserId,
}

/// What a reply answers, and the beginning of the thread it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The post it answers.
    pub parent: PostRef,
    /// The first post of the thread, which answers none. It may be the parent.
    pub root: PostRef,
}

/// What a post says, and what it refers to. Cheap to clone while it is only a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its text; empty only beside attachments.
    pub text: PostText,
    /// What it answers, if it is a reply.
    pub reply_to: Option<Box<ReplyTo>>,
    /// What it quotes.
    pub quote: Option<PostRef>,
    /// Its attachments.
    pub attachments: Box<[Attachment]>,
    /// The languages it is in.
    pub langs: Box<[Lang]>,
    /// What parts of its text are.
    pub facets: Facets,
    /// Who is notified because its text mentions them: users when it was published.
    pub mentioned: Box<[UserId]>,
}

/// A post as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Where it is in the log.
    pub revision: Revision,
    /// Who published it.
    pub author: UserId,
    /// What it says.
    pub content: Content,
    /// When the server accepted it.
    pub time: Timestamp,
}

impl PostId {
    /// The name of the post that was published at `revision`.
    #[must_use]
    pub const fn from_revision(revision: Revision) -> Self {
        Self(revision)
    }

    /// Where the post is in the log, if there is one.
    #[must_use]
    pub const fn revision(self) -> Revision {
        self.0
    }

    /// Checks that `text` has the form of a post's name.
    ///
    /// # Errors
    /// Says what it would have to be.
    pub fn parse(text: &str) -> Result<Self, PostIdError> {
        if text.is_empty() {
            return Err(PostIdError::Empty);
        }
        let number = text.strip_prefix('p').and_then(|digits| digits.parse().ok());
        let id = number.map(|number| Self(Revision::new(number))).ok_or(PostIdError::Malformed)?;
        // A post has one name: no sign, no leading zeros.
        if id.0 > Revision::ZERO && id.to_string() == text {
            Ok(id)
        } else {
            Err(PostIdError::Malformed)
        }
    }
}

impl Content {
    /// A post that is only a text.
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

    /// What is left of a post that was erased: what it answered and quoted.
    #[must_use]
    pub fn erased(reply_to: Option<Box<ReplyTo>>, quote: Option<PostRef>) -> Self {
        Self { reply_to, quote, ..Self::from_text(PostText::empty()) }
    }

    /// Whether it depends on whom a follower of `author` also follows and hides if they see a post
    /// of `author` with this content: it answers somebody outside of the author's own thread, or
    /// quotes somebody else.
    #[must_use]
    pub fn is_conditional(&self, author: &UserId) -> bool {
        let is_reply = self.reply_to.as_ref().is_some_and(|to| !to.continues_thread_of(author));
        is_reply || self.quote.as_ref().is_some_and(|quote| quote.author != *author)
    }

    /// The users, other than `author`, whom a post of `author` with this content may notify: those
    /// it answers, quotes or mentions. Each once.
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

    /// Whether an author who asks for `other` with the request id of this asks for the same post.
    /// What was found in the text, and who was a user at the time, is no part of what they ask.
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

    /// The bytes of all its texts and names.
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
    /// Whether a reply of `author`'s continues a thread of their own: one that they began, and
    /// where they answer themselves.
    #[must_use]
    pub fn continues_thread_of(&self, author: &UserId) -> bool {
        self.parent.author == *author && self.root.author == *author
    }
}

impl Post {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> PostId {
        PostId(self.revision)
    }

    /// It, and whose it is.
    #[must_use]
    pub fn reference(&self) -> PostRef {
        PostRef { id: self.id(), author: self.author.clone() }
    }
}

impl fmt::Display for PostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}
