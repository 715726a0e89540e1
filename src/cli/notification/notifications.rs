//! `whimbrel notifications`. Never marks notifications as seen.

use clap::Args;

use crate::api::v1::notification_event::Change;
use crate::api::v1::{Notification, NotificationEvent};
use crate::cli::list::{ListHints, PagingArgs, list, page_call};
use crate::cli::text::AsText;
use crate::cli::watch::{WatchArgs, removal};
use crate::cli::{Error, Output, ServerArgs};
use crate::client;

/// Show a user's notifications, newest first, or watch them live.
#[derive(Args, Debug)]
pub(in crate::cli) struct NotificationsArgs {
    /// The user whose notifications they are.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Watch them live, like the verb `watch`. The options of a watch need this; those of a list
    /// exclude it.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    paging: PagingArgs,
    #[command(flatten)]
    watch_args: WatchArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl NotificationsArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, watch, paging, watch_args, server } = self;
        if watch {
            paging.refuse()?;
            let start = watch_args.start()?;
            let watch = client::Watch::notifications(server.connect().await?, &user_id, start);
            return watch_args.run(output, watch, &format!("{user_id}'s notifications")).await;
        }
        watch_args.refuse()?;
        let hints = ListHints {
            command: format!("notifications {user_id}"),
            empty: "there are no notifications",
            live: Some(format!("notifications {user_id} --watch")),
        };
        let call =
            page_call!(list_notifications(ListNotificationsRequest { user_id: user_id.clone() }));
        list(output, &server, paging, hints, call).await
    }
}

impl AsText for NotificationEvent {
    fn text(&self) -> String {
        match &self.change {
            Some(Change::Notified(notified)) => {
                notified.notification.as_ref().map(Notification::text).unwrap_or_default()
            }
            Some(Change::ActorRemoved(removed)) => {
                format!("- nothing of {} any more ({})", removed.actor_id, removal(removed.reason))
            }
            Some(Change::Withdrawn(withdrawn)) => {
                format!("- taken back: the one of revision {}", withdrawn.notification_revision)
            }
            Some(Change::Deleted(deleted)) => {
                format!("- all notifications about post {}: it was deleted", deleted.post_id)
            }
            Some(Change::ActorShown(shown)) => format!("+ no longer hidden: {}", shown.actor_id),
            Some(Change::Seen(seen)) => format!("- seen up to revision {}", seen.until_revision),
            None => "(an event that this version does not know)".to_owned(),
        }
    }
}
