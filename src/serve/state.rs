//! What all requests share.

use std::sync::Arc;

use mllmseg_data::tokenizer::Tokenizer;
use tokio::sync::Semaphore;

use super::metrics::Metrics;
use super::options::ServeOptions;
use super::queue::Queue;
use super::worker::Task;

/// Shared by the connections and the worker.
pub struct Context {
    pub options: ServeOptions,
    pub queue: Queue<Task>,
    pub metrics: Metrics,
    pub tokenizer: Arc<Tokenizer>,
    /// A permit for each KiB of bodies that may be received or wait.
    pub bodies: Arc<Semaphore>,
    pub model: ModelInfo,
    /// Of requests that name none.
    pub threshold: f32,
}

impl Context {
    /// Of a server with an empty queue.
    pub fn new(
        options: ServeOptions,
        tokenizer: Arc<Tokenizer>,
        threshold: f32,
        model: ModelInfo,
    ) -> Shared {
        let limits = options.limits;
        Arc::new(Self {
            queue: Queue::new(limits.queue),
            metrics: Metrics::default(),
            tokenizer,
            bodies: Arc::new(Semaphore::new(limits.bodies >> 10)),
            model,
            threshold,
            options,
        })
    }
}

/// What the page and the tools show of the model.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// The checkpoint's folder, by its last name.
    pub name: String,
    pub device: String,
    pub dtype: &'static str,
}

/// As handlers get it.
pub type Shared = Arc<Context>;
