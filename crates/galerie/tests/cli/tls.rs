//! The server's certificate, seen from outside.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::server::{Server, get};

#[test]
fn the_own_authority_vouches_for_the_configured_hosts_and_no_others() {
    let mut server = Server::new("hosts = ['gallery.example.com']");
    server.run();
    let endpoint = server.admin()["endpoint"].as_str().unwrap().to_owned();
    assert!(endpoint.starts_with("https://gallery.example.com:"), "{endpoint}");
    let ca_file = server.data_dir().join("tls/ca.pem");
    let port = endpoint.rsplit(':').next().unwrap();
    let here = format!("https://127.0.0.1:{port}/healthz");
    assert_eq!(get(&here, &ca_file, None), Ok(200));
    assert_eq!(get(&here, &ca_file, Some("gallery.example.com")), Ok(200));
    let error = get(&here, &ca_file, Some("other.example.com")).unwrap_err();
    assert!(error.contains("NotValidForName"), "{error}");
}

#[test]
fn a_certificate_from_files_is_used_and_its_authority_handed_on() {
    let mut server = Server::new("certificate_file = 'server.pem'\nkey_file = 'server.key'\nca_file = 'authority.pem'");
    write_certificate(&server.path("authority.pem"), &server.path("server.pem"), &server.path("server.key"));
    server.run();
    assert!(!server.data_dir().join("tls/ca.pem").exists());
    let admin = server.admin();
    assert!(admin["caFile"].as_str().unwrap().ends_with("authority.pem"));
    let url = format!("{}/healthz", admin["endpoint"].as_str().unwrap());
    assert_eq!(get(&url, &server.path("authority.pem"), None), Ok(200));
    server.ok(&["gallery", "list"]);
}

#[test]
fn a_client_that_does_not_trust_the_authority_says_so() {
    let server = Server::start();
    let other = Server::start();
    let ca_file = other.data_dir().join("tls/ca.pem");
    let message = server.fails(1, &["gallery", "list", "--ca-file", ca_file.to_str().unwrap()]);
    assert!(message.contains("--ca-file"), "{message}");
    let message = server.fails(1, &["gallery", "list", "--ca-file", "nowhere.pem"]);
    assert!(message.contains("nowhere.pem"), "{message}");
}

fn write_certificate(authority: &Path, certificate: &Path, key: &Path) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(authority, params.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let server_key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
    std::fs::write(certificate, server.pem()).unwrap();
    std::fs::write(key, server_key.serialize_pem()).unwrap();
}
