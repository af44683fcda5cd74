//! From options to a server that runs until it is told to end.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::sync::watch;

use super::connections::accept;
use super::error::ServeError;
use super::guard::{MAX_TOKEN, is_origin};
use super::options::ServeOptions;
use super::routes::router;
use super::state::{Context, ModelInfo};
use super::worker::work;
use crate::segmenter::Segmenter;

/// How long clients may take to fetch their last answers.
const FAREWELL: Duration = Duration::from_secs(5);
/// Most threads that write answers or wait for pictures of other servers. Each that ever ran keeps memory.
const BLOCKING_THREADS: usize = 8;

/// A server with its address, not yet running.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    options: ServeOptions,
}

impl Server {
    /// Checks the options and takes the address.
    ///
    /// # Errors
    /// Any [`ServeError`].
    pub fn bind(options: ServeOptions) -> Result<Self, ServeError> {
        let visible = |token: &String| {
            (1..=MAX_TOKEN).contains(&token.len())
                && token.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"&#%+".contains(&byte))
        };
        match &options.token {
            Some(token) if !visible(token) => return Err(ServeError::BadToken),
            None if !options.bind.ip().is_loopback() && !options.insecure => {
                return Err(ServeError::NoToken(options.bind));
            }
            _ => {}
        }
        if let Some(wrong) = options.allow_origins.iter().find(|origin| !is_origin(origin)) {
            return Err(ServeError::BadOrigin(wrong.clone()));
        }
        let failed = |source| ServeError::Bind { address: options.bind, source };
        let listener = TcpListener::bind(options.bind).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, options })
    }

    /// The address, with the port that was taken.
    ///
    /// # Errors
    /// If the operating system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until Ctrl-C (or a request of the system to end): the running answer is finished, what
    /// waits is refused.
    ///
    /// # Errors
    /// [`ServeError::Runtime`].
    pub fn run(self, segmenter: &Segmenter) -> Result<(), ServeError> {
        let Self { listener, options } = self;
        let name = segmenter.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let device = segmenter.device.id.clone();
        let model = ModelInfo { name, device, dtype: segmenter.model.dtype().name() };
        let (limits, cache_bytes) = (options.limits, options.cache_bytes);
        let tokenizer = segmenter.tokenizer.clone();
        let context = Context::new(options, tokenizer, segmenter.threshold, model);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime
            .enable_all()
            .worker_threads(2)
            .max_blocking_threads(BLOCKING_THREADS)
            .build()?;
        let (end, ending) = watch::channel(false);
        let (queue, router) = (&context.queue, router(context.clone()));
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                runtime.block_on(async {
                    let accepting = tokio::spawn(accept(listener, router, limits, ending));
                    stop_signal().await;
                    queue.close();
                    let _ = end.send(true); // nobody listens any more: all have ended
                    let _ = tokio::time::timeout(FAREWELL, accepting).await;
                });
            });
            work(segmenter, queue, &context.metrics, cache_bytes, limits.pixels);
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(())
    }
}

/// Ctrl-C, or SIGTERM where there is one. After the first, the next Ctrl-C ends the process at once.
async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            },
            Err(_) => drop(tokio::signal::ctrl_c().await),
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
    tokio::spawn(async {
        let _ = tokio::signal::ctrl_c().await;
        std::process::exit(130);
    });
}
