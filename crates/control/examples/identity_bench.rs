//! How fast the identity provider is: tokens by client secret, checks of a token, sign-ins by password.
//!
//! ```text
//! cargo run --release -p galerie-control --example identity_bench -- [TOKENS]
//! ```
//! A token costs an RSA-2048 signature, which is measured alone; a sign-in costs an argon2id hash of
//! 19 MiB, of which two are computed at once. Everything is in a temporary directory.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::{
    error::Error,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::RSA_PKCS1_SHA256,
};
use galerie_control::{
    Caller, ClientProof, Control, ControlOptions, Database, RequestContext, SignIn, TokenShape, TokenVersion,
    directory::{
        Document,
        user::{NewPassword, NewUser},
    },
};
use secrecy::SecretString;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TOKENS: u32 = 2000;
const SIGN_INS: u32 = 40;
const AZURE_CLI: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const PASSWORD: &str = "correct horse";

#[tokio::main]
async fn main() -> Result<()> {
    let tokens = std::env::args().nth(1).map_or(Ok(TOKENS), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let database = Database::from(directory.path().join("catalogue.db"));
    let control = Control::open(ControlOptions::new(database, directory.path().join("master.key"), Vec::new())).await?;
    let first = control.bootstrap().await?;
    let secret = first.client_secret.ok_or("a new catalogue has a new secret")?;
    let (client, tenant) = (first.client_id.to_string(), first.tenant.to_string());
    let [audience, issuer, graph] = ["a", "i", "g"].map(str::to_owned);
    let shape = TokenShape { audience, version: TokenVersion::V2, issuer, graph };
    let (identity, proof) = (control.identity(), ClientProof::Secret(secret));

    let began = Instant::now();
    let mut last = None;
    for _ in 0..tokens {
        last = Some(identity.token_for_client(&client, &proof, &tenant, &shape).await?);
    }
    let took = began.elapsed();
    show("tokens by secret, one after the other", tokens, took);
    let signatures = signatures(tokens)?;
    show("RSA-2048 signatures alone", tokens, signatures);
    println!("  signing is {:.0} % of a token", 100.0 * signatures.as_secs_f64() / took.as_secs_f64());

    let token = last.ok_or("no token was asked for")?.access_token;
    let (audiences, issuers) = (["a".to_owned()], ["i".to_owned()]);
    let began = Instant::now();
    for _ in 0..tokens {
        identity.verify(&token, &audiences, &issuers).await?;
    }
    show("checks of a token, its principal looked up", tokens, began.elapsed());

    let caller = Caller::application(first.tenant, first.principal, first.client_id, true);
    let ctx = RequestContext::of_the_directory(caller, Uuid::new_v4());
    let new = NewUser {
        name: "ada@galerie.internal".parse()?,
        display_name: "Ada".to_owned(),
        enabled: true,
        password: NewPassword { password: SecretString::from(PASSWORD), must_change: false },
        document: Document::new(),
    };
    control.user_create(&ctx, new).await?;
    let azure_cli = identity.client(AZURE_CLI).await?;
    let began = Instant::now();
    for _ in 0..SIGN_INS {
        let typed = SignIn {
            tenant: None,
            user_name: "ada@galerie.internal".to_owned(),
            password: SecretString::from(PASSWORD),
            new_password: None,
            address: "127.0.0.1".to_owned(),
        };
        identity.sign_in(&azure_cli, typed).await?;
    }
    show("sign-ins by password, one after the other", SIGN_INS, began.elapsed());
    control.shutdown().await;
    Ok(())
}

/// How long as many signatures of a token's length take, of the library and with the key size that tokens are signed with.
fn signatures(count: u32) -> Result<Duration> {
    let key = KeyPair::generate(KeySize::Rsa2048)?;
    let (random, mut signature) = (SystemRandom::new(), vec![0; key.public_modulus_len()]);
    let began = Instant::now();
    for _ in 0..count {
        key.sign(&RSA_PKCS1_SHA256, &random, &[b'x'; 1000], &mut signature)?;
    }
    Ok(began.elapsed())
}

fn show(what: &str, count: u32, took: Duration) {
    let each_ms = took.as_secs_f64() * 1000.0 / f64::from(count.max(1));
    println!("{what}: {:.0}/s, {each_ms:.2} ms each", 1000.0 / each_ms);
}
