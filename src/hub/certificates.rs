//! The root certificates that a hub's certificate must lead to.

use std::path::Path;
use std::sync::Arc;

use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use ureq::tls::{Certificate, RootCerts};

use super::HubError;

/// Those of the system, where networks that replace certificates add their own; or those that
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name. A system without any gets Mozilla's, which are built in.
///
/// # Errors
/// If `SSL_CERT_FILE` holds none.
pub fn root_certs() -> Result<RootCerts, HubError> {
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
        let found = load_certs_from_paths(Some(Path::new(&file)), None);
        if found.certs.is_empty() {
            let reason = found
                .errors
                .first()
                .map_or("no certificate in it".into(), |error| error.to_string());
            let file = Path::new(&file).display();
            return Err(HubError::Setting(format!(
                "SSL_CERT_FILE {file}: {reason}; name a PEM file with certificates, or unset it"
            )));
        }
    }
    // Single files of the system's store may be damaged; the others count.
    let certs = load_native_certs().certs;
    let certs = certs.iter().map(|der| Certificate::from_der(der).to_owned());
    let certs: Vec<_> = certs.collect();
    Ok(if certs.is_empty() { RootCerts::WebPki } else { RootCerts::Specific(Arc::new(certs)) })
}
