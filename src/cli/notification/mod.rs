//! The verbs of the notification service. Never prints except through `output`.

mod notifications;

use clap::{Args, Subcommand};

use super::change::{Predicates, change};
use super::{Error, Output, ServerArgs};
use crate::api::v1;

#[derive(Debug, Subcommand)]
pub(super) enum NotificationVerb {
    Notifications(Box<notifications::NotificationsArgs>),
    /// Mark a user's notifications as seen.
    Seen(SeenArgs),
}

/// The arguments of `seen`.
#[derive(Args, Debug)]
pub(super) struct SeenArgs {
    /// The user whose notifications they are.
    #[arg(value_name = "USER")]
    user_id: String,
    /// The cursor up to which they are seen; all up to now, if not given.
    #[arg(value_name = "CURSOR", default_value = "", hide_default_value = true)]
    until_cursor: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl NotificationVerb {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Notifications(notifications) => notifications.run(output).await,
            Self::Seen(SeenArgs { user_id, until_cursor, server }) => {
                let predicates = Predicates::new("has now seen", "had already seen");
                let of = user_id.clone();
                let request = v1::MarkNotificationsSeenRequest { user_id: of, until_cursor };
                let sentence = (user_id.as_str(), predicates, "these notifications");
                change!(output, &server, mark_notifications_seen(request), sentence)
            }
        }
    }
}
