//! Makes the posts of a shape: texts with mentions and links, and media. Never sends them.

use std::sync::Arc;

use fastrand::Rng;

use super::TextShape;
use crate::api::v1::facet::Feature;
use crate::api::v1::{Attachment, Facet, FacetLink, FacetMention, PublishRequest};

/// Letters of a word.
const WORD_CHARS: u64 = 5;
/// The start of the address of a link.
const LINK_START: &str = "https://example.com/";

/// Makes posts of users who have numbers from 0.
#[derive(Clone, Debug)]
pub(super) struct Composer {
    /// Prefix of all user names.
    pub(super) names: Arc<str>,
    pub(super) users: u32,
    pub(super) text: TextShape,
}

impl Composer {
    pub(super) fn user_id(&self, user: u32) -> String {
        format!("{}{user}", self.names)
    }

    /// A random user.
    pub(super) fn user(&self, rng: &mut Rng) -> u32 {
        rng.u32(..self.users)
    }

    /// A random user other than `user`.
    pub(super) fn other(&self, rng: &mut Rng, user: u32) -> u32 {
        let distance = u64::from(rng.u32(1..self.users));
        ((u64::from(user) + distance) % u64::from(self.users)) as u32
    }

    /// A post of `author`, without a request id.
    pub(super) fn post(&self, rng: &mut Rng, author: u32) -> PublishRequest {
        let mut text = String::new();
        for at in 0..self.text.chars {
            let is_space = at % (WORD_CHARS + 1) == WORD_CHARS;
            text.push(if is_space { ' ' } else { rng.lowercase() });
        }
        let mut facets = Vec::new();
        for _ in 0..count(rng, self.text.mentions) {
            let user_id = self.user_id(self.other(rng, author));
            let shown = format!("@{user_id}");
            facets.push(facet(&mut text, &shown, Feature::Mention(FacetMention { user_id })));
        }
        for number in 0..count(rng, self.text.links) {
            let link = FacetLink { uri: uri(rng, self.text.link_bytes) };
            facets.push(facet(&mut text, &format!("link {number}"), Feature::Link(link)));
        }
        let media = 0..count(rng, self.text.media);
        let attachments = media.map(|_| Attachment {
            uri: format!("https://media.example/{:018}", rng.u64(..1_000_000_000_000_000_000)),
            media_type: "image/png".to_owned(),
            ..Attachment::default()
        });
        PublishRequest {
            user_id: self.user_id(author),
            attachments: attachments.collect(),
            text,
            facets,
            ..PublishRequest::default()
        }
    }
}

fn count(rng: &mut Rng, [least, most]: [u64; 2]) -> u64 {
    rng.u64(least..=most)
}

/// Appends a part to the text.
fn facet(text: &mut String, shown: &str, feature: Feature) -> Facet {
    text.push(' ');
    let byte_start = text.len() as u32;
    text.push_str(shown);
    Facet { byte_start, byte_end: text.len() as u32, feature: Some(feature) }
}

fn uri(rng: &mut Rng, bytes: u64) -> String {
    let mut uri = LINK_START.to_owned();
    while (uri.len() as u64) < bytes {
        uri.push(rng.alphanumeric());
    }
    uri
}
