//! The notification service: lists notifications, marks them as seen, watches them live. Never
//! decides who is notified.

mod list_notifications;
mod mark_notifications_seen;
mod watch_notifications;

use tonic::{Request, Response, Status};

use super::context::ServiceContext;
use super::v1_server::notification_service_server::NotificationService;
use super::{caller, v1, v1_server};

#[derive(Debug)]
pub(super) struct NotificationRpcs(pub(super) ServiceContext);

#[tonic::async_trait]
impl NotificationService for NotificationRpcs {
    async fn list_notifications(
        &self,
        request: Request<v1::ListNotificationsRequest>,
    ) -> Result<Response<v1_server::ListNotificationsResponse>, Status> {
        Ok(Response::new(
            list_notifications::handle(&self.0, caller::open(&self.0, request).await?).await?,
        ))
    }

    async fn mark_notifications_seen(
        &self,
        request: Request<v1::MarkNotificationsSeenRequest>,
    ) -> Result<Response<v1::MarkNotificationsSeenResponse>, Status> {
        Ok(Response::new(
            mark_notifications_seen::handle(&self.0, caller::open_as(&self.0, request).await?)
                .await?,
        ))
    }

    type WatchNotificationsStream = watch_notifications::NotificationMessages;

    async fn watch_notifications(
        &self,
        request: Request<v1::WatchNotificationsRequest>,
    ) -> Result<Response<Self::WatchNotificationsStream>, Status> {
        let (request, ends) = caller::open_stream(&self.0, request).await?;
        Ok(Response::new(watch_notifications::handle(&self.0, request, ends)?))
    }
}
