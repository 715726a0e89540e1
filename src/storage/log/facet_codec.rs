//! What the log keeps of the parts of a text: a part of a record, see [`super::codec`]. Never checks
//! them against the text: they were when they were accepted.

use prost::Message;

use crate::model::bounds::TEXT_BYTES_MAX;
use crate::model::{Facet, Facets, Feature, Link, Tag, UserId};

/// The facets of a text, and who is notified because it mentions them.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FacetsRecord {
    /// The author gave the facets.
    #[prost(bool, tag = "1")]
    are_given: bool,
    #[prost(message, repeated, tag = "2")]
    facets: Vec<FacetRecord>,
    #[prost(string, repeated, tag = "3")]
    mentioned: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct FacetRecord {
    #[prost(uint32, tag = "1")]
    start: u32,
    #[prost(uint32, tag = "2")]
    bytes: u32,
    #[prost(oneof = "FeatureRecord", tags = "3, 4, 5")]
    is: Option<FeatureRecord>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum FeatureRecord {
    #[prost(string, tag = "3")]
    Mention(String),
    #[prost(string, tag = "4")]
    Link(String),
    #[prost(string, tag = "5")]
    Tag(String),
}

pub(super) fn to_record(facets: &Facets, mentioned: &[UserId]) -> FacetsRecord {
    FacetsRecord {
        are_given: facets.are_from_author(),
        facets: facets.all().iter().map(part).collect(),
        mentioned: mentioned.iter().map(UserId::to_string).collect(),
    }
}

/// `None` for what this version does not know.
pub(super) fn from_record(marked: FacetsRecord) -> Option<(Facets, Box<[UserId]>)> {
    let all = marked.facets.into_iter().map(facet).collect::<Option<_>>()?;
    let mentioned = marked.mentioned.iter().map(|name| UserId::parse(name).ok());
    Some((Facets::from_stored(marked.are_given, all), mentioned.collect::<Option<_>>()?))
}

fn part(facet: &Facet) -> FacetRecord {
    debug_assert!(facet.end <= TEXT_BYTES_MAX, "{facet:?} is beyond every text");
    FacetRecord {
        start: facet.start as u32,
        bytes: (facet.end - facet.start) as u32,
        is: Some(match &facet.feature {
            Feature::Mention(user) => FeatureRecord::Mention(user.to_string()),
            Feature::Link(link) => FeatureRecord::Link(link.as_str().to_owned()),
            Feature::Tag(tag) => FeatureRecord::Tag(tag.as_str().to_owned()),
        }),
    }
}

fn facet(FacetRecord { start, bytes, is }: FacetRecord) -> Option<Facet> {
    Some(Facet {
        start: start as usize,
        end: start as usize + bytes as usize,
        feature: match is? {
            FeatureRecord::Mention(name) => Feature::Mention(UserId::parse(&name).ok()?),
            FeatureRecord::Link(link) => Feature::Link(Link::from_stored(&link)),
            FeatureRecord::Tag(tag) => Feature::Tag(Tag::from_stored(&tag)),
        },
    })
}
