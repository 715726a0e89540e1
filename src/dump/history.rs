//! What the lines before a line say, as far as the next may depend on it: each must be a change that a server
//! could have made. Never reads or writes a file. Takes memory as the state of a server does.

use std::collections::{HashMap, HashSet};

use super::line::{self, ChangeLine, PostLine, parsed, user_id};
use crate::model::bounds::{ATTACHMENTS_MAX, FACETS_MAX, LANGS_MAX, MENTIONS_MAX};
use crate::model::{
    Attachment, Change, Content, Facets, Lang, PostId, PostRef, PostText, Relation, ReplyTo,
    RequestId, Revision, SeveredFollows, UserId,
};

/// The history up to a line.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The last revision.
    last: u64,
    users: HashSet<UserId>,
    /// By revision.
    posts: HashMap<u64, KnownPost>,
    /// The relations that hold, and since when.
    relations: HashMap<Relation, Revision>,
    seen: HashMap<UserId, Revision>,
    /// Posts without content that were not deleted so far.
    erased: HashSet<u64>,
}

#[derive(Debug)]
struct KnownPost {
    reference: PostRef,
    reply_to: Option<Box<ReplyTo>>,
    quote: Option<PostRef>,
    /// Whom it may have notified; `None` if its content is erased.
    notified: Option<Vec<UserId>>,
    is_deleted: bool,
}

impl History {
    pub(super) fn last(&self) -> Revision {
        Revision::new(self.last)
    }

    /// Why the history may not end here.
    pub(super) fn unfinished(&self) -> Option<String> {
        let post = self.erased.iter().min()?;
        Some(format!("the post of revision {post} is erased, and no line deletes it"))
    }

    /// Takes the next change.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn add(&mut self, change: ChangeLine) -> Result<Change, String> {
        let change = self.change(change)?;
        self.last += 1;
        self.apply(&change);
        Ok(change)
    }

    fn change(&self, line: ChangeLine) -> Result<Change, String> {
        Ok(match line {
            ChangeLine::Publish(post) => self.publish(*post)?,
            ChangeLine::Erased { author, reply_to, quote, request_id } => {
                let author = user_id(&author)?;
                let reply_to = reply_to.map(|parent| self.reply_to(&author, parent)).transpose()?;
                let quote = quote.map(|quote| self.target(&author, quote)).transpose()?;
                let request_id = request_id.map(|id| parsed(RequestId::parse(&id))).transpose()?;
                Change::Erased { author, reply_to, quote, request_id }
            }
            ChangeLine::Delete { post, notified } => self.delete(post, notified)?,
            ChangeLine::Follow { follower, followee } => {
                let (follower, followee) = two(&follower, &followee)?;
                self.not_blocked(&follower, &followee)?;
                self.not_set(&Relation::Follow(follower.clone(), followee.clone()))?;
                Change::Follow { follower, followee }
            }
            ChangeLine::Unfollow { follower, followee } => {
                let (follower, followee) = two(&follower, &followee)?;
                let since = self.set(&Relation::Follow(follower.clone(), followee.clone()))?;
                Change::Unfollow { follower, followee, since: Some(since) }
            }
            ChangeLine::Like { user, post } => {
                let (user, post) = self.reaction(&user, post, true)?;
                self.not_set(&Relation::Like(user.clone(), post.id))?;
                Change::Like { user, post }
            }
            ChangeLine::Unlike { user, post } => {
                let (user, post) = self.reaction(&user, post, false)?;
                let since = Some(self.set(&Relation::Like(user.clone(), post.id))?);
                Change::Unlike { user, post, since }
            }
            ChangeLine::Repost { user, post } => {
                let (user, post) = self.reaction(&user, post, true)?;
                self.not_set(&Relation::Repost(user.clone(), post.id))?;
                Change::Repost { user, post }
            }
            ChangeLine::Unrepost { user, post } => {
                let (user, post) = self.reaction(&user, post, false)?;
                let since = Some(self.set(&Relation::Repost(user.clone(), post.id))?);
                Change::Unrepost { user, post, since }
            }
            ChangeLine::Block { blocker, blocked } => {
                let (blocker, blocked) = two(&blocker, &blocked)?;
                self.not_set(&Relation::Block(blocker.clone(), blocked.clone()))?;
                let severed = SeveredFollows {
                    following: self.follows(&blocker, &blocked),
                    follower: self.follows(&blocked, &blocker),
                };
                Change::Block { blocker, blocked, severed }
            }
            ChangeLine::Unblock { blocker, blocked } => {
                let (blocker, blocked) = two(&blocker, &blocked)?;
                self.set(&Relation::Block(blocker.clone(), blocked.clone()))?;
                Change::Unblock { blocker, blocked }
            }
            ChangeLine::Mute { muter, muted } => {
                let (muter, muted) = two(&muter, &muted)?;
                self.not_set(&Relation::Mute(muter.clone(), muted.clone()))?;
                Change::Mute { muter, muted }
            }
            ChangeLine::Unmute { muter, muted } => {
                let (muter, muted) = two(&muter, &muted)?;
                self.set(&Relation::Mute(muter.clone(), muted.clone()))?;
                let follows = self.follows(&muter, &muted);
                Change::Unmute { muter, muted, follows }
            }
            ChangeLine::See { user, until } => self.see(&user, until)?,
        })
    }

    fn see(&self, user: &str, until: u64) -> Result<Change, String> {
        let (user, until) = (user_id(user)?, Revision::new(until));
        let seen = self.seen.get(&user).copied().unwrap_or(Revision::ZERO);
        if until <= seen || until > self.last() {
            let last = self.last;
            return Err(format!("until must be above {seen}, which is seen, and at most {last}"));
        }
        Ok(Change::See { user, until })
    }

    fn publish(&self, line: PostLine) -> Result<Change, String> {
        let author = user_id(&line.author)?;
        let at_most = |field: &str, count: usize, max: usize| match count > max {
            true => Err(format!("{field} has {count} entries, and may have {max}")),
            false => Ok(()),
        };
        at_most("attachments", line.attachments.len(), ATTACHMENTS_MAX)?;
        at_most("langs", line.langs.len(), LANGS_MAX)?;
        at_most("facets", line.facets.as_ref().map_or(0, Vec::len), FACETS_MAX)?;
        at_most("mentioned", line.mentioned.as_ref().map_or(0, Vec::len), MENTIONS_MAX)?;
        let text = match line.text.is_empty() && !line.attachments.is_empty() {
            true => PostText::empty(),
            false => PostText::parse(&line.text).map_err(|error| format!("the text {error}"))?,
        };
        let is_user = |user: &UserId| *user == author || self.users.contains(user);
        let facets = match line.facets {
            None => Facets::scan(&text, is_user),
            Some(lines) => {
                // Also those that a server found keep the rules.
                let checked = Facets::from_author(&text, line::facets(&lines)?);
                let checked = checked.map_err(|error| error.to_string())?;
                match line.facets_from_author {
                    true => checked,
                    false => Facets::from_scan(checked.all().into()),
                }
            }
        };
        let mentioned = match line.mentioned {
            None => facets.mentioned(is_user),
            Some(names) => names.iter().map(|name| user_id(name)).collect::<Result<_, _>>()?,
        };
        let attachment =
            |it: &line::AttachmentLine| parsed(Attachment::parse(&it.uri, &it.media_type, &it.alt));
        let content = Content {
            text,
            reply_to: line.reply_to.map(|parent| self.reply_to(&author, parent)).transpose()?,
            quote: line.quote.map(|quote| self.target(&author, quote)).transpose()?,
            attachments: line.attachments.iter().map(attachment).collect::<Result<_, _>>()?,
            langs: line.langs.iter().map(|it| parsed(Lang::parse(it))).collect::<Result<_, _>>()?,
            facets,
            mentioned,
        };
        let request_id = line.request_id.map(|id| parsed(RequestId::parse(&id))).transpose()?;
        Ok(Change::Publish { author, content, request_id })
    }

    fn delete(&self, post: u64, notified: Option<Vec<String>>) -> Result<Change, String> {
        let known = self.post(post)?;
        let given = notified
            .map(|names| names.iter().map(|name| user_id(name)).collect::<Result<Vec<_>, _>>())
            .transpose()?;
        let notified = match (&known.notified, given) {
            (Some(known), Some(given)) if *known != given => {
                return Err("notified has others than the post may have notified".to_owned());
            }
            (Some(known), _) => known.clone(),
            (None, Some(given)) => given,
            (None, None) => {
                return Err("notified is missing: the content of the post is erased".to_owned());
            }
        };
        Ok(Change::Delete {
            post: known.reference.clone(),
            reply_to: known.reply_to.as_ref().map(|to| to.parent.id),
            quote: known.quote.as_ref().map(|quote| quote.id),
            notified,
        })
    }

    fn reaction(&self, user: &str, post: u64, on: bool) -> Result<(UserId, PostRef), String> {
        let user = user_id(user)?;
        let post = if on { self.target(&user, post)? } else { self.post(post)?.reference.clone() };
        Ok((user, post))
    }

    fn reply_to(&self, author: &UserId, parent: u64) -> Result<Box<ReplyTo>, String> {
        let reference = self.target(author, parent)?;
        let above = self.post(parent)?.reply_to.as_ref();
        let root = above.map_or_else(|| reference.clone(), |above| above.root.clone());
        Ok(Box::new(ReplyTo { parent: reference, root }))
    }

    /// A post that `user` may refer to.
    fn target(&self, user: &UserId, post: u64) -> Result<PostRef, String> {
        let reference = self.post(post)?.reference.clone();
        self.not_blocked(user, &reference.author)?;
        Ok(reference)
    }

    fn post(&self, post: u64) -> Result<&KnownPost, String> {
        let known = self.posts.get(&post).filter(|known| !known.is_deleted);
        known.ok_or_else(|| format!("there is no post of revision {post}, or it is deleted"))
    }

    fn follows(&self, follower: &UserId, followee: &UserId) -> bool {
        self.relations.contains_key(&Relation::Follow(follower.clone(), followee.clone()))
    }

    fn not_blocked(&self, one: &UserId, other: &UserId) -> Result<(), String> {
        let blocks = |one: &UserId, other: &UserId| {
            self.relations.contains_key(&Relation::Block(one.clone(), other.clone()))
        };
        match blocks(one, other) || blocks(other, one) {
            true => Err(format!("one of {one} and {other} blocks the other")),
            false => Ok(()),
        }
    }

    fn not_set(&self, relation: &Relation) -> Result<(), String> {
        match self.relations.get(relation) {
            Some(since) => Err(format!("that holds since revision {since}")),
            None => Ok(()),
        }
    }

    fn set(&self, relation: &Relation) -> Result<Revision, String> {
        self.relations.get(relation).copied().ok_or_else(|| "there is nothing to end".to_owned())
    }

    fn apply(&mut self, change: &Change) {
        if let Some((relation, on)) = change.relation() {
            self.users.insert(relation.user().clone());
            self.users.extend(relation.other().cloned());
            match on {
                true => drop(self.relations.insert(relation, Revision::new(self.last))),
                false => drop(self.relations.remove(&relation)),
            }
        }
        match change {
            Change::Publish { author, content, .. } => {
                let notified = Some(content.notified(author));
                self.add_post(author, content.reply_to.clone(), content.quote.clone(), notified);
            }
            Change::Erased { author, reply_to, quote, .. } => {
                self.erased.insert(self.last);
                self.add_post(author, reply_to.clone(), quote.clone(), None);
            }
            Change::Delete { post, .. } => {
                let revision = post.id.revision().get();
                self.erased.remove(&revision);
                if let Some(known) = self.posts.get_mut(&revision) {
                    known.is_deleted = true;
                }
            }
            Change::Block { blocker, blocked, .. } => {
                self.relations.remove(&Relation::Follow(blocker.clone(), blocked.clone()));
                self.relations.remove(&Relation::Follow(blocked.clone(), blocker.clone()));
            }
            Change::See { user, until } => {
                self.users.insert(user.clone());
                self.seen.insert(user.clone(), *until);
            }
            _ => {}
        }
    }

    fn add_post(
        &mut self,
        author: &UserId,
        reply_to: Option<Box<ReplyTo>>,
        quote: Option<PostRef>,
        notified: Option<Vec<UserId>>,
    ) {
        self.users.insert(author.clone());
        let id = PostId::from_revision(Revision::new(self.last));
        let reference = PostRef { id, author: author.clone() };
        let post = KnownPost { reference, reply_to, quote, notified, is_deleted: false };
        self.posts.insert(self.last, post);
    }
}

/// Two users who are not the same.
fn two(one: &str, other: &str) -> Result<(UserId, UserId), String> {
    let (one, other) = (user_id(one)?, user_id(other)?);
    if one == other { Err("both users are the same".to_owned()) } else { Ok((one, other)) }
}
