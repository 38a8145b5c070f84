//! Tokens by client secret, one after the other on one TLS connection, beside the signature that each of them has.

use std::time::Instant;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::RSA_PKCS1_SHA256,
};

use crate::{
    Bench, Result,
    machine::process_cpu_s,
    report::Report,
    server_process::{Server, Times},
};

const TOKENS: usize = 1000;
/// About as long as what is signed of a token.
const SIGNED_BYTES: usize = 1000;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&bench.scratch)?;
    let server = Server::start(&folder.path().join("data")).await?;
    let (mut times, mut pings) = (Vec::new(), Vec::new());
    let before_s = process_cpu_s(&server.process());
    for _ in 0..TOKENS {
        times.push(server.ask_token().await?);
    }
    let cpu_ms = (process_cpu_s(&server.process()) - before_s) * 1000.0 / TOKENS as f64;
    for _ in 0..TOKENS {
        pings.push(server.ping().await?);
    }
    let (median_ms, ping_ms) = (Times::new(times).at_ms(0.5), Times::new(pings).at_ms(0.5));
    let signature_ms = signature_ms()?;
    report
        .row("a token by secret, one connection", format!("{median_ms:.2} ms, {:.0}/s", 1000.0 / median_ms))
        .beside(format!(
            "an RSA-2048 signature alone {signature_ms:.2} ms; a request that does nothing {ping_ms:.2} ms"
        ))
        .note(format!(
            "processor time of the server {cpu_ms:.2} ms, of which signing {:.0} %",
            100.0 * signature_ms / cpu_ms
        ))
        .add();
    server.stop().await
}

/// What one signature takes, of the library and with the size of key that tokens are signed with.
fn signature_ms() -> Result<f64> {
    let key = KeyPair::generate(KeySize::Rsa2048)?;
    let (random, mut signature) = (SystemRandom::new(), vec![0; key.public_modulus_len()]);
    let begun = Instant::now();
    for _ in 0..TOKENS {
        key.sign(&RSA_PKCS1_SHA256, &random, &[b'x'; SIGNED_BYTES], &mut signature)?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1000.0 / TOKENS as f64)
}
