//! How a server is set up.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

/// What a server needs beside its model.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Address and port; port 0 takes a free one.
    pub bind: SocketAddr,
    /// What every request must bring.
    pub token: Option<String>,
    /// Whether an address that others reach may do without a token.
    pub insecure: bool,
    /// Other origins whose pages may ask, such as `https://labels.example`.
    pub allow_origins: Vec<String>,
    /// Bytes of encoded images that are kept.
    pub cache_bytes: u64,
    /// Bounds.
    pub limits: Limits,
    /// What the page says about the model.
    pub notice: Option<String>,
    /// Whose pictures may be fetched for Label Studio's tasks.
    pub label_studio: Option<LabelStudioHost>,
    /// Takes one line for each request.
    pub log: fn(&Value),
}

/// A Label Studio that sends tasks.
#[derive(Debug, Clone)]
pub struct LabelStudioHost {
    /// Its address, such as `http://localhost:8080`.
    pub url: String,
    /// Its access token.
    pub key: String,
}

/// Bounds on what a request may bring and take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body.
    pub body: usize,
    /// Bytes of all bodies that are being received or wait.
    pub bodies: usize,
    /// Pixels of an image.
    pub pixels: u64,
    /// Expressions of a request.
    pub expressions: usize,
    /// Bytes of an expression.
    pub expression: usize,
    /// Requests that wait for the model.
    pub queue: usize,
    /// Open connections.
    pub connections: usize,
    /// For receiving a request's head, and its body.
    pub receive: Duration,
    /// For answering.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 32 << 20,
            bodies: 256 << 20,
            pixels: 50_000_000,
            expressions: 256,
            expression: 2_000,
            queue: 64,
            connections: 256,
            receive: Duration::from_secs(20),
            answer: Duration::from_secs(300),
        }
    }
}
