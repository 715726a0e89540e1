//! Random histories: the server is compared with a model that knows only the changes.

mod engine_model;
mod feed_histories;
mod kept_lists;
mod watch_contract;
