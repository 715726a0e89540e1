//! What a line says: a follow or a post. Knows the formats; what may be in a field, the server says.

use std::path::Path;
use std::str;

use serde::Deserialize;

use super::lines::{LINE_BYTES_MAX, Line};
use crate::api::v1;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `follower<TAB>followee`.
    Follows,
    /// A JSON object.
    Posts,
}

/// One row, and the line that it came from.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) change: Change,
}

/// What a row asks for.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Follow(v1::FollowRequest),
    Publish(v1::PublishRequest),
}

/// Reads the rows of one file.
#[derive(Debug)]
pub(super) struct Reader {
    kind: Kind,
    /// Names the file in the request ids that are made up.
    file_id: u32,
}

/// A post as the file has it. Other fields are left alone.
#[derive(Deserialize)]
struct Post {
    author_id: String,
    text: String,
    request_id: Option<String>,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Follows => "follows",
            Self::Posts => "posts",
        }
    }
}

impl Row {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let text = match &self.change {
            Change::Follow(follow) => follow.user_id.len() + follow.followee_id.len(),
            Change::Publish(post) => post.author_id.len() + post.text.len() + post.request_id.len(),
        };
        size_of::<Self>() + text
    }
}

impl Reader {
    pub(super) fn new(kind: Kind, file: &Path) -> Self {
        // The name alone: it is the same file in another folder, and when it was unpacked.
        let name = file.file_name().unwrap_or_default().as_encoded_bytes();
        let name = name.strip_suffix(b".gz").unwrap_or(name);
        Self { kind, file_id: crc32fast::hash(name) }
    }

    /// What `line` asks for; `None` if it is blank. An error says what is wrong with it.
    pub(super) fn read(&self, number: u64, line: &Line<'_>) -> Result<Option<Row>, String> {
        let Line::Whole(line) = line else {
            return Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"));
        };
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let change = match self.kind {
            Kind::Follows => follow(line)?,
            Kind::Posts => self.post(number, line)?,
        };
        Ok(Some(Row { line: number, change }))
    }

    fn post(&self, number: u64, line: &[u8]) -> Result<Change, String> {
        // An array would pass for an object too.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err("not a JSON object".to_owned());
        }
        let post: Post = serde_json::from_slice(line)
            // Its line number is that within the line.
            .map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))?;
        let request_id = post.request_id.filter(|id| !id.is_empty());
        let request_id = request_id.unwrap_or_else(|| self.request_id(number));
        Ok(Change::Publish(v1::PublishRequest {
            author_id: post.author_id,
            text: post.text,
            request_id,
            ..v1::PublishRequest::default()
        }))
    }

    /// The same in every run over the same file, so that a second run makes no post again.
    fn request_id(&self, number: u64) -> String {
        format!("import-{:08x}-{number}", self.file_id)
    }
}

fn follow(line: &[u8]) -> Result<Change, String> {
    let line = str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
    let Some((user_id, followee_id)) = line.split_once('\t') else {
        return Err("not follower<TAB>followee: there is no tab".to_owned());
    };
    if followee_id.contains('\t') {
        return Err("not follower<TAB>followee: there is more than one tab".to_owned());
    }
    Ok(Change::Follow(v1::FollowRequest {
        user_id: user_id.to_owned(),
        followee_id: followee_id.to_owned(),
    }))
}
