//! What the log keeps of the parts of a text: a part of a record, see [`super::codec`]. Never checks
//! them against the text: they were when they were accepted. Only those that are in no text at all are
//! refused.

use prost::Message;

use crate::model::bounds::TEXT_BYTES_MAX;
use crate::model::{Facet, Facets, Feature, Link, Tag, UserId};

/// The facets of a text, and who is notified because it mentions them.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Marked {
    /// The author gave the facets.
    #[prost(bool, tag = "1")]
    are_given: bool,
    #[prost(message, repeated, tag = "2")]
    facets: Vec<Part>,
    #[prost(string, repeated, tag = "3")]
    mentioned: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Part {
    #[prost(uint32, tag = "1")]
    start: u32,
    #[prost(uint32, tag = "2")]
    bytes: u32,
    #[prost(oneof = "Is", tags = "3, 4, 5")]
    is: Option<Is>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Is {
    #[prost(string, tag = "3")]
    Mention(String),
    #[prost(string, tag = "4")]
    Link(String),
    #[prost(string, tag = "5")]
    Tag(String),
}

pub(super) fn to_record(facets: &Facets, mentioned: &[UserId]) -> Marked {
    Marked {
        are_given: facets.are_given(),
        facets: facets.all().iter().map(part).collect(),
        mentioned: mentioned.iter().map(UserId::to_string).collect(),
    }
}

/// `None` for what this version does not know.
pub(super) fn from_record(marked: Marked) -> Option<(Facets, Box<[UserId]>)> {
    let all = marked.facets.into_iter().map(facet).collect::<Option<_>>()?;
    let mentioned = marked.mentioned.iter().map(|name| UserId::parse(name).ok());
    Some((Facets::stored(marked.are_given, all), mentioned.collect::<Option<_>>()?))
}

fn part(facet: &Facet) -> Part {
    debug_assert!(facet.end <= TEXT_BYTES_MAX, "{facet:?} is beyond every text");
    Part {
        start: facet.start as u32,
        bytes: (facet.end - facet.start) as u32,
        is: Some(match &facet.feature {
            Feature::Mention(user) => Is::Mention(user.to_string()),
            Feature::Link(link) => Is::Link(link.as_str().to_owned()),
            Feature::Tag(tag) => Is::Tag(tag.as_str().to_owned()),
        }),
    }
}

fn facet(Part { start, bytes, is }: Part) -> Option<Facet> {
    let end = start.checked_add(bytes)? as usize;
    if end > TEXT_BYTES_MAX {
        return None;
    }
    Some(Facet {
        start: start as usize,
        end,
        feature: match is? {
            Is::Mention(name) => Feature::Mention(UserId::parse(&name).ok()?),
            Is::Link(link) => Feature::Link(Link::stored(&link)),
            Is::Tag(tag) => Feature::Tag(Tag::stored(&tag)),
        },
    })
}
