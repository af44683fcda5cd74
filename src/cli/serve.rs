//! `mllmseg serve`: a page and an API over HTTP.

use clap::Args;

use super::CliError;
use super::model::ModelArgs;

/// Ask in a browser, and from other programs
///
/// Loads the model once and serves a page, an API (/openapi.json), X-AnyLabeling's Remote-Server and
/// Label Studio's ML backend until Ctrl-C. docs/book/src/serve.md shows each.
#[derive(Debug, Args)]
#[command(after_help = "Example: mllmseg serve --checkpoint DIR --bind 127.0.0.1:8000\n\n\
    MLLMSEG_TOKEN stands for --token. LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY name the Label Studio \
    whose pictures may be fetched.")]
pub struct ServeArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8000")]
    bind: std::net::SocketAddr,
    /// What every request must bring (Authorization: Bearer TOKEN; in a browser /?token=TOKEN)
    #[arg(long)]
    token: Option<String>,
    /// Let an address that other machines reach do without a token
    #[arg(long)]
    insecure: bool,
    /// Let pages of this origin ask, such as https://labels.example; may be given several times
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Memory for encoded images, in MB; the least recently used go first
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    cache_mb: u64,
    /// Requests that may wait for the model; others get 503
    #[arg(long, value_name = "N", default_value_t = 64)]
    queue: usize,
    /// Largest body, in MB
    #[arg(long, value_name = "MB", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..1024))]
    body_mb: u16,
    /// Longest time for an answer, in seconds
    #[arg(long, value_name = "S", default_value_t = 300)]
    timeout: u64,
}

/// Says which feature is missing.
#[cfg(not(feature = "serve"))]
pub fn run(_: ServeArgs) -> Result<(), CliError> {
    Err("this build has no server: build with `cargo build --release --features serve`".into())
}

/// Serves.
#[cfg(feature = "serve")]
pub fn run(arguments: ServeArgs) -> Result<(), CliError> {
    use std::time::Duration;

    use mllmseg::allocator::map_large_blocks_apart;
    use mllmseg::serve::{LabelStudioHost, Limits, ServeOptions, Server};
    use mllmseg::tiny;

    use super::terminal::{print_result, warn};

    map_large_blocks_apart();
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let label_studio = variable("LABEL_STUDIO_URL").map(|url| {
        let key = variable("LABEL_STUDIO_API_KEY").unwrap_or_default();
        LabelStudioHost { url, key }
    });
    let body = usize::from(arguments.body_mb) << 20;
    let limits = Limits {
        body,
        bodies: body.saturating_mul(8),
        queue: arguments.queue.max(1),
        answer: Duration::from_secs(arguments.timeout.max(1)),
        ..Limits::default()
    };
    let token = arguments.token.or_else(|| variable("MLLMSEG_TOKEN"));
    let has_token = token.is_some();
    // The address is taken before the model is loaded: a mistake shows at once.
    let server = Server::bind(ServeOptions {
        bind: arguments.bind,
        token,
        insecure: arguments.insecure,
        allow_origins: arguments.allow_origin,
        cache_bytes: arguments.cache_mb.saturating_mul(1_000_000),
        limits,
        notice: arguments.model.is_tiny().then(|| tiny::PAGE_NOTICE.to_string()),
        label_studio,
        log: |line| warn(line),
    })?;
    let address = server.address()?;
    let segmenter = arguments.model.load()?;
    let query = if has_token { "?token=TOKEN, with your token" } else { "" };
    print_result(format!("the page is at http://{address}/{query}"))?;
    Ok(server.run(&segmenter)?)
}
