//! A request to the hub, followed to the storage that it redirects to.
//!
//! The token goes to the hub's origin only: scheme, host and port. (A library that compares the
//! host alone would hand it to another service of the same machine, and storage with signed
//! addresses refuses a request that has a token too.)

use ureq::Body;
use ureq::http::{Response, Uri};

use super::Hub;

/// The hub redirects once or twice.
const MAX_REDIRECTS: usize = 10;

impl Hub {
    /// `GET url`, from byte `first` on when that is not 0.
    ///
    /// # Errors
    /// When there is no answer, or [`ureq::Error::TooManyRedirects`]. Statuses are no errors.
    pub(super) fn get(&self, url: &str, first: u64) -> Result<Response<Body>, ureq::Error> {
        let mut address: Uri = url.parse().map_err(|_| bad_address(url))?;
        let origin = address.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(&address);
            if first > 0 {
                request = request.header("Range", format!("bytes={first}-"));
            }
            if let Some(token) = &self.token
                && address.scheme() == origin.scheme()
                && address.authority() == origin.authority()
            {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = request.call()?;
            let location = match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => response.headers().get("Location"),
                _ => return Ok(response),
            };
            let location = location.and_then(|value| value.to_str().ok()).unwrap_or_default();
            address = resolve(&address, location).ok_or_else(|| bad_address(location))?;
        }
        Err(ureq::Error::TooManyRedirects)
    }
}

fn bad_address(url: &str) -> ureq::Error {
    ureq::Error::BadUri(url.to_owned())
}

/// Where `location` leads from `base`: another host, or another path of the same one.
fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str()?;
    if location.starts_with("//") {
        return format!("{scheme}:{location}").parse().ok();
    }
    if location.starts_with('/') {
        return format!("{scheme}://{}{location}", base.authority()?).parse().ok();
    }
    let address: Uri = location.parse().ok()?;
    (address.scheme().is_some() && address.host().is_some()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_lead_to_hosts_and_paths() {
        let base: Uri = "https://hub.test:8080/owner/model?x=1".parse().unwrap();
        let resolved = |location| resolve(&base, location).map(|uri| uri.to_string());
        let expected = [
            ("https://cdn.test/a?b=c%2F#d", Some("https://cdn.test/a?b=c%2F")),
            ("//cdn.test/a", Some("https://cdn.test/a")),
            ("/renamed/model?y", Some("https://hub.test:8080/renamed/model?y")),
            ("model", None),
            ("", None),
            ("https://", None),
        ];
        for (location, address) in expected {
            assert_eq!(resolved(location).as_deref(), address, "{location}");
        }
    }
}
