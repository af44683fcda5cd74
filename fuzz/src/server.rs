//! The target of what `mllmseg serve` receives.

use std::sync::Arc;

use mllmseg::data::tokenizer::Tokenizer;
use mllmseg::serve::{Limits, Rehearsal, ServeOptions};

use super::data::Target;
use super::fragments::text;

/// The targets.
pub const TARGETS: &[Target] = &[("request", request)];

/// Method, path and type; a byte of the input chooses one.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("POST", "/v1/segment", "application/json"),
    ("POST", "/v1/segment", "multipart/form-data; boundary=b"),
    ("POST", "/v1/images", "application/json"),
    ("POST", "/v1/images", "multipart/form-data; boundary=b"),
    ("POST", "/v1/images", "image/png"),
    ("POST", "/v1/images/0123456789abcdef0123456789abcdef/segment", "application/json"),
    ("GET", "/v1/images/0123456789abcdef0123456789abcdef/maps", ""),
    ("DELETE", "/v1/images/%2e%2e%2f", ""),
    ("POST", "/v1/predict", "application/json"),
    ("POST", "/setup", "application/json"),
    ("POST", "/predict", "application/json"),
    ("POST", "/webhook", "application/json"),
];

const FRAGMENTS: &[&str] = &[
    "{\"image\":\"",
    "data:image/png;base64,",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptV",
    "\",",
    "\"expressions\":[",
    "\"the red star\"",
    "\"format\":\"polygon\",",
    "\"format\":\"png\",",
    "\"threshold\":",
    "\"tolerance\":",
    "{\"model\":\"mllmseg\",",
    "\"params\":{\"text_prompt\":\"",
    "\"epsilon_factor\":",
    "{\"project\":\"1.2\",\"schema\":\"",
    "\"label_config\":\"",
    "<View><Image name='i' value='$image'/>",
    "<TextArea name='t' toName='i'/>",
    "<BrushLabels name='b' toName='i'><Label value='x'/></BrushLabels>",
    "<PolygonLabels name='p' toName='i'>",
    "</View>",
    "{\"tasks\":[{\"id\":1,\"data\":{\"image\":\"",
    "\"params\":{\"context\":{\"result\":[{\"from_name\":\"t\",\"to_name\":\"i\",\"value\":{\"text\":[",
    "--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n",
    "--b\r\nContent-Disposition: form-data; name=\"expressions\"\r\n\r\n",
    "\r\n",
    "--b--\r\n",
    "&lt;",
    "&#x0;",
];

thread_local! {
    static SERVER: Rehearsal = {
        let tiny = mllmseg::tiny::folder().expect("the tiny model");
        let tokenizer = Tokenizer::from_dir(&tiny).expect("its tokenizer");
        let options = ServeOptions {
            bind: ([127, 0, 0, 1], 0).into(),
            token: None,
            insecure: false,
            allow_origins: Vec::new(),
            cache_bytes: 0,
            limits: Limits { body: 1 << 20, pixels: 1_000_000, ..Limits::default() },
            notice: None,
            label_studio: None,
            log: |_| {},
        };
        Rehearsal::new(options, Arc::new(tokenizer)).expect("a runtime")
    };
}

/// A request. What it needs a model for is refused; anything else must not be the server's fault.
pub fn request(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let (method, path, kind) = REQUESTS[usize::from(*choice) % REQUESTS.len()];
    let status = SERVER.with(|server| server.answer(method, path, kind, text(bytes, FRAGMENTS)));
    let status = status.expect("a request that can be sent");
    assert!(status < 500 || status == 503, "{method} {path} is answered {status}");
}
