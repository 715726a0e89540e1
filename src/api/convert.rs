//! Conversions from values of the model and of reads to messages. Never the other way: that needs
//! validation, see [`super::fields`].

use std::time::Duration;

use super::encoded_post::EncodedPost;
use super::{post_id, v1, v1_server};
use crate::model::bounds::TEXT_BYTES_MAX;
use crate::model::{
    Attachment, Content, Epochs, Facet, Feature, Post, ReplyTo, Revision, Timestamp, UserId,
};
use crate::query::{
    FeedItem, Gap, ListedUser, Notification, PostView, Profile, Relationship, ThreadPost,
};
use crate::state::NotificationKind;

pub(super) fn post(post: &Post, epochs: &Epochs) -> v1::Post {
    let Content { text, reply_to, quote, attachments, langs, facets, mentioned: _ } = &post.content;
    v1::Post {
        post_id: post_id::text(post.id(), epochs),
        author_id: post.author.to_string(),
        text: text.as_str().to_owned(),
        revision: post.revision.get(),
        create_time: Some(timestamp(post.time)),
        reply_to: reply_to.as_deref().map(|to| reply_to_message(to, epochs)),
        quote_post_id: post_id::optional_text(quote.as_ref().map(|quote| quote.id), epochs),
        attachments: attachments.iter().map(attachment).collect(),
        langs: langs.iter().map(|lang| lang.as_str().to_owned()).collect(),
        facets: facets.all().iter().map(facet).collect(),
    }
}

fn reply_to_message(reply_to: &ReplyTo, epochs: &Epochs) -> v1::post::ReplyTo {
    let ReplyTo { parent, root } = reply_to;
    v1::post::ReplyTo {
        post_id: post_id::text(parent.id, epochs),
        author_id: parent.author.to_string(),
        root_post_id: post_id::text(root.id, epochs),
        root_author_id: root.author.to_string(),
    }
}

fn attachment(attachment: &Attachment) -> v1::Attachment {
    let Attachment { uri, media_type, alt } = attachment;
    let [uri, media_type, alt] = [uri, media_type, alt].map(|text| text.as_ref().to_owned());
    v1::Attachment { uri, media_type, alt }
}

fn facet(facet: &Facet) -> v1::Facet {
    use v1::facet::Feature as WireFeature;
    use v1::{FacetLink, FacetMention, FacetTag};

    debug_assert!(facet.end <= TEXT_BYTES_MAX, "{facet:?} is after the end of the longest text");
    v1::Facet {
        byte_start: facet.start as u32,
        byte_end: facet.end as u32,
        feature: Some(match &facet.feature {
            Feature::Mention(user) => {
                WireFeature::Mention(FacetMention { user_id: user.to_string() })
            }
            Feature::Link(link) => WireFeature::Link(FacetLink { uri: link.as_str().to_owned() }),
            Feature::Tag(tag) => WireFeature::Tag(FacetTag { tag: tag.as_str().to_owned() }),
        }),
    }
}

pub(super) fn post_view(view: &PostView, epochs: &Epochs) -> v1_server::PostView {
    v1_server::PostView {
        post: Some(EncodedPost::new(&view.post, epochs)),
        counts: Some(counts(view)),
        viewer: Some(viewer(view)),
    }
}

fn counts(view: &PostView) -> v1::PostCounts {
    v1::PostCounts {
        like_count: view.counts.likes,
        repost_count: view.counts.reposts,
        reply_count: view.counts.replies,
        quote_count: view.counts.quotes,
    }
}

fn viewer(view: &PostView) -> v1::ViewerState {
    v1::ViewerState { liked: view.liked, reposted: view.reposted }
}

pub(super) fn feed_item(item: &FeedItem, epochs: &Epochs) -> v1_server::FeedItem {
    v1_server::FeedItem {
        counts: Some(counts(&item.post)),
        viewer: Some(viewer(&item.post)),
        ..pushed_item(item.revision, &item.post.post, item.reposted_by.as_ref(), epochs)
    }
}

/// A feed item as streams send it: without counts and viewer state, so the same for all watchers.
pub(super) fn pushed_item(
    revision: Revision,
    pushed: &Post,
    reposted_by: Option<&UserId>,
    epochs: &Epochs,
) -> v1_server::FeedItem {
    v1_server::FeedItem {
        post: Some(EncodedPost::new(pushed, epochs)),
        revision: revision.get(),
        reposted_by_user_id: reposted_by.map_or_else(String::new, ToString::to_string),
        counts: None,
        viewer: None,
    }
}

pub(super) fn thread_post(post: &ThreadPost, epochs: &Epochs) -> v1_server::ThreadPost {
    use v1_server::thread_post::{GapReason, Shown};

    v1_server::ThreadPost {
        post_id: post_id::text(post.id, epochs),
        parent_post_id: post_id::optional_text(post.parent, epochs),
        // At most 10.
        depth: i32::try_from(post.depth).unwrap_or(i32::MAX),
        shown: Some(match &post.shown {
            Ok(view) => Shown::View(post_view(view, epochs)),
            Err(Gap::Deleted) => Shown::Gap(GapReason::Deleted.into()),
            Err(Gap::Hidden) => Shown::Gap(GapReason::Hidden.into()),
        }),
        has_more_replies: post.has_more_replies,
    }
}

pub(super) fn listed_user(listed: &ListedUser) -> v1::ListedUser {
    v1::ListedUser { user_id: listed.user.to_string(), revision: listed.since.get() }
}

pub(super) fn relationship(relationship: &Relationship) -> v1::Relationship {
    v1::Relationship {
        user_id: relationship.user.to_string(),
        following: relationship.following,
        followed_by: relationship.followed_by,
        blocking: relationship.blocking,
        blocked_by: relationship.blocked_by,
        muting: relationship.muting,
    }
}

pub(super) fn profile(profile: &Profile) -> v1::Profile {
    v1::Profile {
        user_id: profile.user.to_string(),
        follower_count: profile.followers,
        following_count: profile.following,
        post_count: profile.posts,
        received_like_count: profile.likes_received,
    }
}

pub(super) fn notification(
    notification: &Notification,
    epochs: &Epochs,
) -> v1_server::Notification {
    use v1_server::notification::Kind;

    let kind = match notification.kind {
        NotificationKind::Follow => Kind::Follow,
        NotificationKind::Like => Kind::Like,
        NotificationKind::Repost => Kind::Repost,
        NotificationKind::Reply => Kind::Reply,
        NotificationKind::Quote => Kind::Quote,
        NotificationKind::Mention => Kind::Mention,
    };
    v1_server::Notification {
        revision: notification.revision.get(),
        create_time: Some(timestamp(notification.time)),
        kind: kind.into(),
        actor_id: notification.actor.to_string(),
        subject_post_id: post_id::optional_text(notification.subject, epochs),
        post: notification.post.as_deref().map(|post| EncodedPost::new(post, epochs)),
    }
}

pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = time.as_secs_and_nanos();
    // Until the year 2554 both are far below the limits of their types.
    prost_types::Timestamp { seconds: seconds.cast_signed(), nanos: nanos.cast_signed() }
}

pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    // The durations sent are minutes at most, which always fit.
    duration.try_into().unwrap_or_default()
}
