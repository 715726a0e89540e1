//! Parses the lines of a file into requests. Knows the formats, and never validates a field: the
//! server does.

use std::path::Path;
use std::str;

use serde::Deserialize;

use super::line_reader::{InputLine, LINE_BYTES_MAX};
use crate::api::v1;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// `follower<TAB>followee`.
    Follows,
    /// A JSON object.
    Posts,
}

/// A parsed line.
#[derive(Debug)]
pub(super) struct ImportRow {
    /// The number of the line, counted from 1.
    pub(super) line: u64,
    pub(super) request: RowRequest,
}

/// The request of a row.
#[derive(Clone, Debug)]
pub(super) enum RowRequest {
    Follow(v1::FollowRequest),
    Publish(v1::PublishRequest),
}

/// Parses the lines of one file.
#[derive(Debug)]
pub(super) struct RowParser {
    kind: FileKind,
    /// Identifies the file in generated request ids.
    file_id: u32,
}

/// The JSON object of a post. Other fields are ignored.
#[derive(Deserialize)]
struct PostObject {
    author_id: String,
    text: String,
    request_id: Option<String>,
}

impl FileKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Follows => "follows",
            Self::Posts => "posts",
        }
    }
}

impl ImportRow {
    /// Its approximate memory.
    pub(super) fn bytes(&self) -> usize {
        let text = match &self.request {
            RowRequest::Follow(follow) => follow.user_id.len() + follow.followee_id.len(),
            RowRequest::Publish(post) => {
                post.user_id.len() + post.text.len() + post.request_id.len()
            }
        };
        size_of::<Self>() + text
    }
}

impl RowParser {
    pub(super) fn new(kind: FileKind, file: &Path) -> Self {
        // The name alone, so that the file is the same in another folder, and decompressed.
        let name = file.file_name().unwrap_or_default().as_encoded_bytes();
        let name = name.strip_suffix(b".gz").unwrap_or(name);
        Self { kind, file_id: crc32fast::hash(name) }
    }

    /// Parses line `number`; `None` if it is blank.
    ///
    /// # Errors
    /// Why the line is no row.
    pub(super) fn parse(
        &self,
        number: u64,
        line: &InputLine<'_>,
    ) -> Result<Option<ImportRow>, String> {
        let InputLine::Whole(line) = line else {
            return Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"));
        };
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let request = match self.kind {
            FileKind::Follows => follow(line)?,
            FileKind::Posts => self.post(number, line)?,
        };
        Ok(Some(ImportRow { line: number, request }))
    }

    fn post(&self, number: u64, line: &[u8]) -> Result<RowRequest, String> {
        // serde would also accept an array.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err("not a JSON object".to_owned());
        }
        let post: PostObject = serde_json::from_slice(line)
            // The parser counts lines within this line, so its line number is always 1.
            .map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))?;
        let request_id = post.request_id.filter(|id| !id.is_empty());
        let request_id = request_id.unwrap_or_else(|| self.request_id(number));
        Ok(RowRequest::Publish(v1::PublishRequest {
            user_id: post.author_id,
            text: post.text,
            request_id,
            ..v1::PublishRequest::default()
        }))
    }

    /// The same in every run over the same file, so that a second run publishes no post again.
    fn request_id(&self, number: u64) -> String {
        format!("import-{:08x}-{number}", self.file_id)
    }
}

fn follow(line: &[u8]) -> Result<RowRequest, String> {
    let line = str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
    let Some((user_id, followee_id)) = line.split_once('\t') else {
        return Err("not follower<TAB>followee: there is no tab".to_owned());
    };
    if followee_id.contains('\t') {
        return Err("not follower<TAB>followee: there is more than one tab".to_owned());
    }
    Ok(RowRequest::Follow(v1::FollowRequest {
        user_id: user_id.to_owned(),
        followee_id: followee_id.to_owned(),
    }))
}
