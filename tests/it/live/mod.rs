//! Live feeds: delivery, pace, slow readers, resuming.

mod dispatch;
mod lag;
mod storm;
mod stream_steps;
mod watch;
mod watch_pace;
