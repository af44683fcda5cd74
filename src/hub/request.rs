//! A request to the hub, followed to the storage that it redirects to.
//!
//! The token goes to the hub's origin only: scheme, host and port. (A library that compares the
//! host alone would give it to another service of the same machine, and storage with signed
//! addresses refuses a request that has a token too.)

use ureq::http::{Response, Uri};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, Proxy};

use super::certificates::root_certs;
use super::{Hub, HubError};

/// The hub redirects once or twice.
const MAX_REDIRECTS: usize = 10;

/// Asks a hub for one model.
pub struct Client<'a> {
    pub hub: &'a Hub,
    pub repo: &'a str,
    token: Option<&'a str>,
    agent: Agent,
}

impl<'a> Client<'a> {
    pub fn new(hub: &'a Hub, repo: &'a str) -> Result<Self, HubError> {
        let endpoint = &hub.endpoint;
        let is_secure = endpoint.starts_with("https://");
        let has_host = endpoint.parse().is_ok_and(|uri: Uri| uri.host().is_some());
        if !has_host || !(is_secure || endpoint.starts_with("http://")) {
            let expected = "expected an address like https://huggingface.co";
            return Err(HubError::Setting(format!("HF_ENDPOINT {endpoint:?}: {expected}")));
        }
        let token = hub.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        if token.is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            let text = "HF_TOKEN has blanks or other characters that no token has: copy it again";
            return Err(HubError::Setting(text.to_owned()));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(is_secure)
            .tls_config(TlsConfig::builder().root_certs(root_certs()?).build())
            .proxy(None) // each address has its own, see `follow`
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(hub.timeout))
            .timeout_connect(Some(hub.timeout))
            .timeout_recv_response(Some(hub.timeout * 2))
            .timeout_per_read(Some(hub.timeout))
            .timeout_per_write(Some(hub.timeout))
            .user_agent(concat!("mllmseg/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { hub, repo, token, agent })
    }

    /// The address of a path of the hub.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.hub.endpoint.trim_end_matches('/'))
    }

    /// `GET url`, from byte `first` on when that is not 0. The answer's status is 200, 206 or 416.
    pub fn get(&self, url: &str, first: u64) -> Result<Response<Body>, HubError> {
        let response = self.follow(url, first)?;
        let status = response.status().as_u16();
        let (url, text) = (url.to_owned(), format!("the hub answers with status {status}"));
        match status {
            200 | 206 | 416 => Ok(response),
            401 | 403 => Err(HubError::Refused { page: self.url(self.repo), status }),
            404 => Err(HubError::NotFound(url)),
            408 | 429 | 500..=599 => Err(HubError::Unreachable(url, text.into())),
            _ => Err(HubError::Answer(url, text)),
        }
    }

    fn follow(&self, url: &str, first: u64) -> Result<Response<Body>, HubError> {
        let wrong = |text: &str| HubError::Answer(url.to_owned(), text.to_owned());
        let origin: Uri = url.parse().map_err(|_| wrong("this is not an address"))?;
        let mut address = origin.clone();
        for _ in 0..=MAX_REDIRECTS {
            let proxy = self.hub.proxies.for_address(&address);
            let request = self.agent.get(&address).config().proxy(proxy.cloned());
            let mut request = request.build();
            if first > 0 {
                request = request.header("Range", format!("bytes={first}-"));
            }
            if let Some(token) = self.token
                && address.scheme() == origin.scheme()
                && address.authority() == origin.authority()
            {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| failed(url, error, proxy))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response.headers().get("Location").and_then(|value| value.to_str().ok());
            address = location
                .and_then(|location| resolve(&address, location))
                .ok_or_else(|| wrong("it redirects to something that is not an address"))?;
        }
        Err(wrong("it redirects again and again"))
    }
}

/// Why there is no answer from an address.
fn failed(url: &str, error: ureq::Error, proxy: Option<&Proxy>) -> HubError {
    // rustls' errors come inside those of reading and writing.
    if error.to_string().contains("invalid peer certificate") {
        return HubError::Certificate(url.to_owned(), error.into());
    }
    match proxy {
        None => HubError::Unreachable(url.to_owned(), error.into()),
        Some(proxy) => {
            let protocol = proxy.protocol().to_string().to_lowercase();
            let proxy = format!("{protocol}://{}:{}", proxy.host(), proxy.port());
            HubError::Unreachable(format!("{url} through the proxy {proxy}"), error.into())
        }
    }
}

/// Where `location` leads from `base`: another host, or another path of the same one.
fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next()?;
    let scheme = base.scheme_str()?;
    let address = match location {
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{}{location}", base.authority()?),
        _ => location.to_owned(),
    };
    let address: Uri = address.parse().ok()?;
    (address.scheme().is_some() && address.host().is_some()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_lead_to_hosts_and_paths() {
        let base: Uri = "https://hub.test:8080/owner/model?x=1".parse().unwrap();
        let resolved = |location| resolve(&base, location).map(|uri| uri.to_string());
        for (location, address) in [
            ("https://cdn.test/a?b=c%2F#d", Some("https://cdn.test/a?b=c%2F")),
            ("//cdn.test/a", Some("https://cdn.test/a")),
            ("/renamed/model?y", Some("https://hub.test:8080/renamed/model?y")),
            ("model", None),
            ("", None),
            ("https://", None),
        ] {
            assert_eq!(resolved(location).as_deref(), address, "{location}");
        }
    }
}
