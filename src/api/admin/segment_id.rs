//! The text of a segment's id: what is known of it, so that a server finds the same bytes again. Never
//! says which file it is.
//!
//! ```text
//!   base64url of   number │ salt │ first revision │ last revision │ end of frames │ bytes │ chain (32 B)
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::{Chain, Revision};
use crate::storage::SegmentInfo;

/// The numbers, of 8 bytes each.
const NUMBERS: usize = 6;

pub(super) fn encode(segment: &SegmentInfo) -> String {
    let SegmentInfo { number, salt, first, last, chain, frames_end, bytes } = *segment;
    let mut id = Vec::with_capacity(NUMBERS * 8 + Chain::BYTES);
    for it in [number, salt, first.get(), last.get(), frames_end, bytes] {
        id.extend(it.to_be_bytes());
    }
    id.extend(chain.get());
    URL_SAFE_NO_PAD.encode(id)
}

/// `None` if the text is no id of a segment.
pub(super) fn parse(text: &str) -> Option<SegmentInfo> {
    let id = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (numbers, chain) = id.split_at_checked(NUMBERS * 8)?;
    let (numbers, _) = numbers.as_chunks::<8>();
    let numbers = numbers.first_chunk::<NUMBERS>()?.map(u64::from_be_bytes);
    let [number, salt, first, last, frames_end, bytes] = numbers;
    let chain = Chain::new(chain.try_into().ok()?);
    let (first, last) = (Revision::new(first), Revision::new(last));
    Some(SegmentInfo { number, salt, first, last, chain, frames_end, bytes })
}
