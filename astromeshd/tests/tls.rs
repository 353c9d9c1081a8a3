//! A provider behind TLS: taken where the machine trusts it, and refused in words where not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "the log of a node whose test failed")]

mod mock;
mod stage;

use mock::{Mock, answer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::Value;
use stage::{Process, free_port, program, spec};
use std::sync::Arc;
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

const ASKED: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

/// An authority, in a file, and a server at `localhost` that it vouches for.
fn authority() -> (NamedTempFile, TlsAcceptor) {
    let mut ours = CertificateParams::new(Vec::new()).unwrap();
    ours.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(ours, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let theirs = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let theirs = theirs.signed_by(&key, &issuer).unwrap();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), issuer.pem()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![theirs.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        );
    (file, TlsAcceptor::from(Arc::new(config.unwrap())))
}

async fn node(trusted: &NamedTempFile, mock: &Mock, host: &str) -> Process {
    let port = free_port(&["127.0.0.1"]);
    let mut command = program();
    let provider = format!("https://{host}:{}/v1", mock.address.port());
    command
        .env("SSL_CERT_FILE", trusted.path())
        .env("OPENAI_BASE_URL", provider);
    let url = format!("http://127.0.0.1:{port}");
    let spec = spec(
        "solo",
        &format!("host: 127.0.0.1, port: {port}"),
        "",
        "",
        &[],
    );
    Process::start(command, "solo", &url, &spec).await
}

#[tokio::test]
async fn a_provider_is_taken_for_who_it_is_only_where_somebody_trusted_says_so() {
    let (trusted, acceptor) = authority();
    let (other, _) = authority();
    let mock = Mock::with_tls(&["m"], acceptor).await;
    mock.does(vec![answer(200, r#"{"id":"c"}"#)]);
    let answer = node(&trusted, &mock, "localhost")
        .await
        .post("/v1/chat/completions", ASKED)
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_slice()),
        (200, br#"{"id":"c"}"#.as_slice())
    );

    for (trusted, host) in [(&other, "localhost"), (&trusted, "127.0.0.1")] {
        let node = node(trusted, &mock, host).await;
        let answer = node.post("/v1/chat/completions", ASKED).await;
        let told: Value = answer.json().unwrap();
        let message = told["error"]["message"].as_str().unwrap();
        assert_eq!(answer.status, 503);
        assert!(message.contains("certificate"), "{message}");
    }
    assert_eq!(mock.came().len(), 1);
}
