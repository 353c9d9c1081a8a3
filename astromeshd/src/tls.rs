//! What this node trusts when it calls somebody by HTTPS: what the machine trusts, and where that says nothing, as small
//! images do, Mozilla's list, which is built in.

use astromesh_core::http::chain;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};

/// The settings for all who call somebody. Only for those who may do so by HTTPS is it read what the machine trusts, and
/// only once.
pub(crate) fn settings(by_https: bool) -> ClientConfig {
    static SETTINGS: OnceLock<ClientConfig> = OnceLock::new();
    match by_https {
        true => SETTINGS.get_or_init(|| trusting(roots())).clone(),
        false => trusting(RootCertStore::empty()),
    }
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the cipher suites of ring are for these versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!(
            "some of what this machine trusts cannot be read: {}",
            chain(error)
        );
    }
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        log::info!("this machine trusts nobody: the built-in list says whom to trust");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
