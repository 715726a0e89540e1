//! The facets of a post as a part of its record, see [`super::codec`]. Never compares them with the
//! text: that happened when the post was accepted. Only a facet that is in no text is refused.

use prost::Message;

use crate::model::bounds::TEXT_BYTES_MAX;
use crate::model::{Facet, Facets, Feature, Link, Tag, UserId};

/// The facets of a text, and the users that its mentions notify.
#[derive(Clone, PartialEq, Message)]
pub(in crate::storage) struct FacetsRecord {
    /// The author gave the facets; otherwise the server found them.
    #[prost(bool, tag = "1")]
    are_from_author: bool,
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
    feature: Option<FeatureRecord>,
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
        are_from_author: facets.are_from_author(),
        facets: facets.all().iter().map(facet_record).collect(),
        mentioned: mentioned.iter().map(UserId::to_string).collect(),
    }
}

/// `None` if the record has a feature or a user id that this version does not know.
pub(super) fn from_record(record: FacetsRecord) -> Option<(Facets, Box<[UserId]>)> {
    let all = record.facets.into_iter().map(facet).collect::<Option<_>>()?;
    let mentioned = record.mentioned.iter().map(|name| UserId::parse(name).ok());
    Some((Facets::from_stored(record.are_from_author, all), mentioned.collect::<Option<_>>()?))
}

fn facet_record(facet: &Facet) -> FacetRecord {
    debug_assert!(facet.end <= TEXT_BYTES_MAX, "{facet:?} ends after the longest text");
    FacetRecord {
        start: facet.start as u32,
        bytes: (facet.end - facet.start) as u32,
        feature: Some(match &facet.feature {
            Feature::Mention(user) => FeatureRecord::Mention(user.to_string()),
            Feature::Link(link) => FeatureRecord::Link(link.as_str().to_owned()),
            Feature::Tag(tag) => FeatureRecord::Tag(tag.as_str().to_owned()),
        }),
    }
}

fn facet(FacetRecord { start, bytes, feature }: FacetRecord) -> Option<Facet> {
    let end = start.checked_add(bytes)? as usize;
    if end > TEXT_BYTES_MAX {
        return None;
    }
    Some(Facet {
        start: start as usize,
        end,
        feature: match feature? {
            FeatureRecord::Mention(name) => Feature::Mention(UserId::parse(&name).ok()?),
            FeatureRecord::Link(link) => Feature::Link(Link::from_stored(&link)),
            FeatureRecord::Tag(tag) => Feature::Tag(Tag::from_stored(&tag)),
        },
    })
}
