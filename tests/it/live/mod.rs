//! Live feeds: delivery, pace, slow readers, resuming.

mod dispatch;
mod lag;
mod revision_feeds;
mod storm;
mod stream_steps;
mod watch;
mod watch_pace;
