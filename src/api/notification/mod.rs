//! The notification service: read them, mark them as seen, watch them live.

mod list_notifications;
mod mark_notifications_seen;
mod watch_notifications;

use tonic::{Request, Response, Status};

use super::calls::Calls;
use super::stall::{Closer, Guarded};
use super::v1;
use super::v1_server::notification_service_server::NotificationService;

/// The notification service.
#[derive(Debug)]
pub(super) struct Notifications(pub(super) Calls);

#[tonic::async_trait]
impl NotificationService for Notifications {
    async fn list_notifications(
        &self,
        request: Request<v1::ListNotificationsRequest>,
    ) -> Result<Response<v1::ListNotificationsResponse>, Status> {
        Ok(Response::new(list_notifications::handle(&self.0, request.into_inner()).await?))
    }

    async fn mark_notifications_seen(
        &self,
        request: Request<v1::MarkNotificationsSeenRequest>,
    ) -> Result<Response<v1::MarkNotificationsSeenResponse>, Status> {
        Ok(Response::new(mark_notifications_seen::handle(&self.0, request.into_inner()).await?))
    }

    type WatchNotificationsStream = Guarded<watch_notifications::Messages>;

    async fn watch_notifications(
        &self,
        request: Request<v1::WatchNotificationsRequest>,
    ) -> Result<Response<Self::WatchNotificationsStream>, Status> {
        let closer = request.extensions().get::<Closer>().cloned();
        let until = closer.as_ref().map(|closer| closer.retirement().clone());
        let stream = watch_notifications::handle(&self.0, request.into_inner(), until)?;
        Ok(Response::new(self.0.stall_watch.guard(stream, closer)))
    }
}
