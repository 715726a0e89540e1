//! Reading segments of the log for backups, on threads of their own, with low priority. Never delays an
//! append.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Engine, Error};
use crate::runtime::lower_priority;
use crate::storage::{self, Log, SegmentInfo, SegmentRead};

/// Bytes that are passed on at once: with the next they fill a connection's window.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait for the client: enough that the disk and the network work at the same time.
const PIECES_MAX: usize = 2;

/// The bytes of a segment, piece by piece. Dropping it ends the thread that reads.
#[derive(Debug)]
pub struct SegmentPieces(mpsc::Receiver<Result<Bytes, SegmentError>>);

/// Why the bytes of a segment end too early.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The log has rewritten the segment.
    #[error("the log has no such segment any more: list the segments again")]
    Replaced,
    /// The segment cannot be read, or is damaged.
    #[error(transparent)]
    Log(#[from] storage::Error),
}

/// Passes bytes on in pieces of one size.
struct PieceSender {
    pieces: mpsc::Sender<Result<Bytes, SegmentError>>,
    piece: Vec<u8>,
}

impl Engine {
    /// All segments of the log, in order, up to its newest durable revision.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.state().log.segments()
    }

    /// Reads the bytes of `segment`.
    ///
    /// # Errors
    /// So many are read already, or the system refuses a thread.
    pub fn read_segment(&self, segment: SegmentInfo) -> Result<SegmentPieces, Error> {
        let permit = Arc::clone(&self.0.segment_reads).try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded)?;
        let log = Arc::clone(&self.state().log);
        let (pieces, received) = mpsc::channel(PIECES_MAX);
        let run = move || read(&*log, &segment, pieces, permit);
        let spawned = std::thread::Builder::new().name("whimbrel-backup".to_owned()).spawn(run);
        match spawned {
            Ok(_thread) => Ok(SegmentPieces(received)),
            Err(error) => {
                tracing::warn!(%error, "no thread for a backup");
                Err(Error::Overloaded)
            }
        }
    }
}

impl SegmentPieces {
    /// The next piece; `None` after the last, if all were sent.
    pub async fn next(&mut self) -> Option<Result<Bytes, SegmentError>> {
        self.0.recv().await
    }
}

fn read(
    log: &dyn Log,
    segment: &SegmentInfo,
    pieces: mpsc::Sender<Result<Bytes, SegmentError>>,
    permit: OwnedSemaphorePermit,
) {
    lower_priority();
    let mut sender = PieceSender { pieces, piece: Vec::with_capacity(PIECE_BYTES) };
    let read = log.read_segment(segment, &mut |bytes| sender.add(bytes));
    // Before the last piece: who has it may ask for the next segment at once.
    drop(permit);
    // Nobody is there to be answered if a send fails.
    match read {
        Ok(SegmentRead::Done) => drop(sender.flush()),
        Ok(SegmentRead::Stopped) => {}
        Ok(SegmentRead::Replaced) => sender.fail(SegmentError::Replaced),
        Err(error) => sender.fail(error.into()),
    }
}

impl PieceSender {
    /// `false` if nobody receives any more.
    fn add(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.piece.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == PIECE_BYTES && !self.flush() {
                return false;
            }
        }
        true
    }

    fn flush(&mut self) -> bool {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        piece.is_empty() || self.pieces.blocking_send(Ok(piece.into())).is_ok()
    }

    fn fail(&self, error: SegmentError) {
        let _ = self.pieces.blocking_send(Err(error));
    }
}
