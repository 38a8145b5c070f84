//! How fast the identity provider is: tokens by each grant, checks of a token, sign-ins by password.
//!
//! ```text
//! cargo run --release -p galerie-control --example identity_bench -- [TOKENS]
//! ```
//! A token costs an RSA-2048 signature, which is measured alone; a sign-in costs an argon2id hash of
//! 19 MiB, of which two are computed at once. Everything is in a temporary directory.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::{
    error::Error,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::RSA_PKCS1_SHA256,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use galerie_control::{
    Caller, ClientApplication, ClientProof, CodeRequest, Control, ControlOptions, Database, DeviceDecision, Identity,
    Redemption, RequestContext, SignIn, SignedInUser, TokenShape, TokenVersion,
    directory::{
        Document,
        app_role_assignment::NewAppRoleAssignment,
        credential::NewCertificate,
        user::{NewPassword, NewUser},
    },
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TOKENS: u32 = 2000;
const SIGN_INS: u32 = 40;
const AZURE_CLI: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const PASSWORD: &str = "correct horse";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://localhost:8400";

#[tokio::main]
async fn main() -> Result<()> {
    let tokens = std::env::args().nth(1).map_or(Ok(TOKENS), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let database = Database::from(directory.path().join("catalogue.db"));
    let control = Control::open(ControlOptions::new(database, directory.path().join("master.key"), Vec::new())).await?;
    let first = control.bootstrap().await?;
    let secret = first.client_secret.ok_or("a new catalogue has a new secret")?;
    let (client, tenant) = (first.client_id.to_string(), first.tenant.to_string());
    let shape = shape("a", false);
    let (identity, proof) = (control.identity(), ClientProof::Secret(secret));

    let began = Instant::now();
    let mut last = None;
    for _ in 0..tokens {
        last = Some(identity.token_for_client(&client, &proof, &tenant, &shape).await?);
    }
    let took = began.elapsed();
    show("tokens by secret (client_credentials), one after the other", tokens, took);
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

    certificates(&control, &ctx, &tenant, tokens).await?;
    roles(&control, &ctx, &tenant, tokens).await?;
    let ada = control.user(&ctx.caller, "ada@galerie.internal").await?;
    let ada = SignedInUser { id: ada.id, tenant: first.tenant, name: ada.name };
    users(identity, &azure_cli, &ada, &shape, tokens).await?;
    control.shutdown().await;
    Ok(())
}

/// Tokens by a certificate: its assertion is made here and not counted.
async fn certificates(control: &Control, ctx: &RequestContext, tenant: &str, tokens: u32) -> Result<()> {
    const ENDPOINT: &str = "https://gallery.example/t/oauth2/v2.0/token";
    let key = rcgen::KeyPair::generate()?;
    let der = rcgen::CertificateParams::new(vec!["pipeline".to_owned()])?.self_signed(&key)?.der().to_vec();
    let signer = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes())?;
    let mut header = Header::new(Algorithm::ES256);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    header.x5t_s256 = Some(URL_SAFE_NO_PAD.encode(digest));
    let new =
        NewCertificate { id: None, display_name: None, certificate: Some(der), starts_ms: None, expires_ms: None };
    let app = control.application_create(ctx, "pipeline", Document::new(), &[new]).await?;
    control.service_principal_create(ctx, app.app_id, true, Document::new()).await?;
    let identity = control.identity();
    let (mut took, now_s) = (Duration::ZERO, identity.now_ms() / 1000);
    for number in 0..tokens {
        let claims = json!({ "iss": app.app_id, "sub": app.app_id, "aud": ENDPOINT, "exp": now_s + 600, "nbf": now_s,
            "jti": number.to_string() });
        let jwt = SecretString::from(jsonwebtoken::encode(&header, &claims, &signer)?);
        let proof = ClientProof::Assertion { jwt, audiences: vec![ENDPOINT.to_owned()] };
        let began = Instant::now();
        identity.token_for_client(&app.app_id.to_string(), &proof, tenant, &shape("a", false)).await?;
        took += began.elapsed();
    }
    show("tokens by certificate (client_credentials with an assertion)", tokens, took);
    Ok(())
}

/// Tokens for an application of the tenant, at which the client has a role.
async fn roles(control: &Control, ctx: &RequestContext, tenant: &str, tokens: u32) -> Result<()> {
    let role = Uuid::new_v4();
    let document = json!({ "identifierUris": ["api://images"], "appRoles": [{ "id": role, "value": "Images.Read",
        "displayName": "r", "description": "r", "allowedMemberTypes": ["Application"], "isEnabled": true }] });
    let document = document.as_object().cloned().unwrap_or_default();
    let resource = control.application_create(ctx, "Image API", document, &[]).await?;
    let resource = control.service_principal_create(ctx, resource.app_id, true, Document::new()).await?;
    let client = control.application_create(ctx, "client", Document::new(), &[]).await?;
    let principal = control.service_principal_create(ctx, client.app_id, true, Document::new()).await?;
    let kind = galerie_control::ObjectKind::Application;
    let (_, secret) = control.add_secret(ctx, kind, client.id, Default::default()).await?;
    let new = NewAppRoleAssignment { principal: principal.id, resource: resource.id, role };
    control.add_app_role_assignment(ctx, new).await?;
    let (proof, client) = (ClientProof::Secret(secret), client.app_id.to_string());
    let began = Instant::now();
    for _ in 0..tokens {
        control.identity().token_for_client(&client, &proof, tenant, &shape("api://images", true)).await?;
    }
    show("tokens by secret for an application, with a role", tokens, began.elapsed());
    Ok(())
}

/// Tokens of a user: an access token and an id token each, and a write that makes or moves the session.
async fn users(
    identity: &Identity,
    client: &ClientApplication,
    ada: &SignedInUser,
    shape: &TokenShape,
    tokens: u32,
) -> Result<()> {
    let (mut took, mut refresh_token) = (Duration::ZERO, SecretString::default());
    for _ in 0..tokens {
        let request = CodeRequest {
            redirect_uri: REDIRECT.to_owned(),
            challenge: CHALLENGE.to_owned(),
            scope: String::new(),
            nonce: None,
        };
        let code = identity.issue_code(client, ada, &request).await?;
        let shown = Redemption { code: code.expose_secret(), redirect_uri: REDIRECT, verifier: VERIFIER, tenant: None };
        let began = Instant::now();
        refresh_token = identity.redeem_code(client, &ClientProof::None, &shown, shape).await?.refresh_token;
        took += began.elapsed();
    }
    show("authorization_code", tokens, took);
    let began = Instant::now();
    for _ in 0..tokens {
        let shown = refresh_token.expose_secret();
        refresh_token = identity.refresh(client, &ClientProof::None, shown, None, shape).await?.refresh_token;
    }
    show("refresh_token", tokens, began.elapsed());
    let mut took = Duration::ZERO;
    for number in 0..tokens {
        // One address alone has some hundreds of codes in a quarter of an hour.
        let address = Ipv4Addr::from_bits(number).to_string();
        let begun = identity.device_begin(client, None, "", &address).await?;
        identity.device_decide(begun.user_code.expose_secret(), &DeviceDecision::Approve(ada.clone())).await?;
        let began = Instant::now();
        identity.device_redeem(client, &ClientProof::None, begun.device_code.expose_secret(), shape).await?;
        took += began.elapsed();
    }
    show("device_code, once it is approved", tokens, took);
    Ok(())
}

fn shape(audience: &str, is_application: bool) -> TokenShape {
    let [issuer, graph] = ["i", "g"].map(str::to_owned);
    TokenShape { audience: audience.to_owned(), is_application, version: TokenVersion::V2, issuer, graph }
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
