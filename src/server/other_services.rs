//! Other services behind this server's own connections and admission, so that a suite of tests that has a service
//! of its own tries what users call. Never part of a server: behind the feature `conformance`.

use tonic::service::Routes;

use super::Server;
use crate::api::Schema;

impl Server {
    /// Serves `routes`, whose RPCs `schema` describes, in place of its own services.
    #[must_use]
    pub fn with_services(self, routes: Routes, schema: &'static Schema) -> Self {
        Self { routes, schema, ..self }
    }
}
