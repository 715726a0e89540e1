//! `whimbrel notifications`.

use clap::Args;
use serde_json::{Value, json};

use crate::api::v1::notification_event::Event;
use crate::api::v1::{Notification, NotificationEvent};
use crate::cli::list::{About, Paging, list, page_of};
use crate::cli::live::{Live, removal};
use crate::cli::show::Shown;
use crate::cli::{Error, Output, Target};
use crate::client;

/// Show what others did that concerns a user, newest first; or watch it live.
#[derive(Args, Debug)]
pub(in crate::cli) struct Notifications {
    /// Whose.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Watch them live, as the verb `watch` does a feed. The options of a watch are for this, those
    /// of a list for without it.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    live: Live,
    #[command(flatten)]
    target: Target,
}

impl Notifications {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, watch, paging, live, target } = self;
        if watch {
            paging.refuse_given()?;
            let client = target.connect().await?;
            let watch = client::Watch::notifications(client, &user_id, live.start()?);
            return live.run(output, watch, &format!("{user_id}'s notifications")).await;
        }
        live.refuse_given()?;
        let about = About {
            command: format!("notifications {user_id}"),
            empty: "there are no notifications",
            live: Some(format!("notifications {user_id} --watch")),
        };
        let call =
            page_of!(list_notifications(ListNotificationsRequest { user_id: user_id.clone() }));
        list(output, &target, paging, about, call).await
    }
}

impl Shown for NotificationEvent {
    fn text(&self) -> String {
        match &self.event {
            Some(Event::Notified(notified)) => {
                notified.notification.as_ref().map(Notification::text).unwrap_or_default()
            }
            Some(Event::ActorRemoved(removed)) => {
                format!("- nothing of {} any more ({})", removed.actor_id, removal(removed.reason))
            }
            Some(Event::Withdrawn(withdrawn)) => {
                format!("- taken back: the one of revision {}", withdrawn.notification_revision)
            }
            Some(Event::Deleted(deleted)) => {
                format!("- all that concerns post {}: it was deleted", deleted.post_id)
            }
            Some(Event::ActorShown(shown)) => format!("+ no longer hidden: {}", shown.actor_id),
            Some(Event::Seen(seen)) => format!("- seen up to revision {}", seen.until_revision),
            None => "(an event that this version does not know)".to_owned(),
        }
    }

    fn json(&self) -> Value {
        let (name, content) = match &self.event {
            Some(Event::Notified(notified)) => {
                let notification = notified.notification.as_ref().map(Notification::json);
                ("notified", json!({ "notification": notification }))
            }
            Some(Event::ActorRemoved(removed)) => {
                let reason = removal(removed.reason);
                ("actor_removed", json!({ "actor_id": removed.actor_id, "reason": reason }))
            }
            Some(Event::Withdrawn(withdrawn)) => {
                let revision = withdrawn.notification_revision;
                ("withdrawn", json!({ "notification_revision": revision }))
            }
            Some(Event::Deleted(deleted)) => ("deleted", json!({ "post_id": deleted.post_id })),
            Some(Event::ActorShown(shown)) => {
                ("actor_shown", json!({ "actor_id": shown.actor_id }))
            }
            Some(Event::Seen(seen)) => ("seen", json!({ "until_revision": seen.until_revision })),
            None => ("unknown", json!({})),
        };
        json!({
            "revision": self.revision,
            name: content,
            "page_again_revision": self.page_again_revision,
        })
    }
}
