//! `mllmseg serve`: a page and an API over HTTP, on one model.
//!
//! A request is checked (`guard`, `body`), waits in a bounded `queue`, and is answered by the one `worker`
//! that owns the model and keeps encoded images (`cache`). `routes` has the table.

mod answer;
mod any_labeling;
mod ask;
mod body;
mod cache;
mod clock;
mod connections;
mod error;
mod events;
mod guard;
mod images;
mod label_studio;
mod metrics;
mod options;
mod page;
mod queue;
mod rehearsal;
mod routes;
mod server;
mod state;
mod worker;

pub use error::ServeError;
pub use options::{LabelStudioHost, Limits, ServeOptions};
pub use rehearsal::Rehearsal;
pub use server::Server;
