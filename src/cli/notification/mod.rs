//! The verbs of the notification service.

mod notifications;

use clap::{Args, Subcommand};

use super::change::{Words, change};
use super::{Error, Output, Target};
use crate::api::v1;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Notifications(Box<notifications::Notifications>),
    /// Mark a user's notifications as seen.
    Seen(Seen),
}

/// Marks notifications as seen.
#[derive(Args, Debug)]
pub(super) struct Seen {
    /// Whose.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Up to this cursor; all that there are by now, if not given.
    #[arg(value_name = "CURSOR", default_value = "", hide_default_value = true)]
    until_cursor: String,
    #[command(flatten)]
    target: Target,
}

impl Verb {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Notifications(notifications) => notifications.run(output).await,
            Self::Seen(Seen { user_id, until_cursor, target }) => {
                let words = Words::new("has now seen", "had already seen");
                let of = user_id.clone();
                let request = v1::MarkNotificationsSeenRequest { user_id: of, until_cursor };
                let told = (user_id.as_str(), words, "these notifications");
                change!(output, &target, mark_notifications_seen(request), told)
            }
        }
    }
}
