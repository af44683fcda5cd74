//! Requests without a model: they are received and checked as a server does it, and its queue is closed.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use mllmseg_data::tokenizer::Tokenizer;
use tokio::runtime::Runtime;

use super::options::ServeOptions;
use super::routes::router;
use super::state::{Context, ModelInfo};

/// Answers everything but what a model is needed for, which is refused with 503.
pub struct Rehearsal {
    runtime: Runtime,
    router: Router,
}

impl Rehearsal {
    /// With these bounds, and the tokenizer that measures expressions.
    ///
    /// # Errors
    /// If the operating system gives it no runtime.
    pub fn new(options: ServeOptions, tokenizer: Arc<Tokenizer>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let model = ModelInfo { name: "none".into(), device: "none".into(), dtype: "f32" };
        let context = Context::new(options, tokenizer, 0.5, model);
        context.queue.close();
        Ok(Self { runtime, router: router(context) })
    }

    /// The status of the answer to a request of this host.
    ///
    /// # Errors
    /// If the method, the path or the type cannot be sent.
    pub fn answer(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<u16, axum::http::Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(body))?;
        let service = TowerToHyperService::new(self.router.clone());
        let Ok(response) = self.runtime.block_on(service.call(request));
        Ok(response.status().as_u16())
    }
}
