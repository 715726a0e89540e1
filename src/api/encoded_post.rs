//! A post in the form in which the server sends it: encoded once, for the first reader of the post,
//! and shared by all responses. Never decodes, but what another node has answered.

use std::sync::Arc;

use bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};

use super::{convert, v1};
use crate::model::{Epochs, Post};

/// A `Post` of the protos, byte for byte, as a field of the messages that the server sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EncodedPost(Arc<[u8]>);

impl EncodedPost {
    /// The bytes of `post` of a log with these epochs.
    pub(super) fn new(post: &Post, epochs: &Epochs) -> Self {
        let encode = || convert::post(post, epochs).encode_to_vec();
        Self(Arc::clone(post.encoded().get_or_encode(encode)))
    }
}

impl Message for EncodedPost {
    fn encode_raw(&self, bytes: &mut impl BufMut) {
        bytes.put_slice(&self.0);
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        bytes: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        // Only answers of other nodes have posts, one each: nobody waits for this.
        let mut post = v1::Post::decode(&self.0[..])?;
        post.merge_field(tag, wire_type, bytes, context)?;
        self.0 = post.encode_to_vec().into();
        Ok(())
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
