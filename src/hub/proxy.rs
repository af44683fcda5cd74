//! The proxies that the environment names, by the variables that curl and Python read.
//!
//! A proxy that cannot be used is an error: the hub is never asked around it.

use ureq::Proxy;
use ureq::http::Uri;

use super::HubError;

/// Through which proxies addresses are asked.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    /// Hosts that are asked directly, as `no_proxy` lists them.
    direct: Vec<String>,
}

impl Proxies {
    /// From `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, in small letters or else in
    /// capitals.
    ///
    /// # Errors
    /// For a value that is no proxy's address; it is not shown, since it may hold a password.
    pub(super) fn new(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let either = |name: &str| {
            let names = [name.to_owned(), name.to_uppercase()].into_iter();
            names.filter_map(|name| variable(&name).map(|value| (name, value))).next()
        };
        let proxy = |name| match either(name).or_else(|| either("all_proxy")) {
            None => Ok(None),
            Some((name, value)) => Proxy::new(value.trim()).map(Some).map_err(|_| {
                let expected = "PROTOCOL://HOST:PORT with http, https, socks4, socks4a, socks5 or \
                                socks5h; correct it or unset it";
                HubError::Setting(format!("{name}: expected {expected}"))
            }),
        };
        let direct = either("no_proxy").map_or(String::new(), |(_, value)| value);
        let direct = direct.split([',', ' ']).map(|entry| entry.trim().to_lowercase());
        let direct = direct.filter(|entry| !entry.is_empty()).collect();
        Ok(Self { https: proxy("https_proxy")?, http: proxy("http_proxy")?, direct })
    }

    /// The proxy for an address; none where its host is asked directly.
    pub(super) fn for_address(&self, address: &Uri) -> Option<&Proxy> {
        let host = address.host()?.trim_matches(['[', ']']).to_lowercase();
        let is_secure = address.scheme_str() == Some("https");
        let port = address.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let proxy = if is_secure { self.https.as_ref() } else { self.http.as_ref() };
        proxy.filter(|_| !self.direct.iter().any(|entry| is_named(entry, &host, port)))
    }
}

/// Whether an entry of `no_proxy` names a host: itself, a domain above it, or `*`; with or without a
/// port.
fn is_named(entry: &str, host: &str, port: u16) -> bool {
    let name = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') => {
            if digits != port.to_string() {
                return false;
            }
            name
        }
        _ => entry, // without a port, or an IPv6 address
    };
    let name = name.trim_start_matches('*').trim_start_matches('.').trim_matches(['[', ']']);
    let above = host.strip_suffix(name);
    entry == "*" || (!name.is_empty() && above.is_some_and(|a| a.is_empty() || a.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(set: &'static [(&str, &str)]) -> Result<Proxies, HubError> {
        let value = |name: &str| set.iter().find(|(other, _)| *other == name).map(|(_, v)| *v);
        Proxies::new(|name| value(name).map(str::to_owned))
    }

    fn host_for(proxies: &Proxies, address: &str) -> Option<String> {
        proxies.for_address(&address.parse().unwrap()).map(|proxy| proxy.host().to_owned())
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let set = &[("HTTPS_PROXY", "http://a:1"), ("all_proxy", "socks5h://b:2")];
        let found = proxies(set).unwrap();
        assert_eq!(host_for(&found, "https://hub.test/x").unwrap(), "a");
        assert_eq!(host_for(&found, "http://hub.test/x").unwrap(), "b");
        let small_first = proxies(&[("https_proxy", "c"), ("HTTPS_PROXY", "d")]).unwrap();
        assert_eq!(host_for(&small_first, "https://hub.test/x").unwrap(), "c");
        assert_eq!(host_for(&small_first, "http://hub.test/x"), None);
    }

    /// As curl's manual describes `NO_PROXY`.
    #[test]
    fn some_hosts_are_asked_directly() {
        let all = ("ALL_PROXY", "a:1");
        let direct = |entries: &'static str, address: &str| {
            let set = Box::leak(Box::new([all, ("no_proxy", entries)]));
            host_for(&proxies(set).unwrap(), address).is_none()
        };
        for (entries, address, is_direct) in [
            ("hub.test", "https://hub.test/", true),
            ("other.test, HUB.test", "https://hub.test/", true),
            ("hub.test", "https://cdn.hub.test/", true),
            (".hub.test", "https://cdn.hub.test/", true),
            ("*.hub.test", "https://cdn.hub.test/", true),
            ("hub.test", "https://myhub.test/", false),
            ("hub.test:443", "https://hub.test/", true),
            ("hub.test:80", "https://hub.test/", false),
            ("::1", "http://[::1]:3000/", true),
            ("127.0.0.1", "http://127.0.0.1:3000/", true),
            ("*", "https://hub.test/", true),
            (" ,", "https://hub.test/", false),
        ] {
            assert_eq!(direct(entries, address), is_direct, "{entries:?} and {address}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_and_not_shown() {
        for name in ["https_proxy", "HTTP_PROXY", "ALL_PROXY"] {
            let set = Box::leak(Box::new([(name, "ftp://user:secret@host:1")]));
            let message = proxies(set).unwrap_err().to_string();
            assert!(message.starts_with(name) && message.contains("socks5"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
