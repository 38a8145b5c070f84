//! Signing in, and what tokens are worth.

use secrecy::SecretString;
use serde_json::Value;

use super::{ClientProof, Identity, IdentityError, IssuedToken, TokenError, TokenShape, TokenVersion};
use crate::{
    Bootstrap, Clock, Control, ControlOptions,
    testing::{StillClock, World},
};

const AUDIENCE: &str = "https://management.azure.com/";
const ISSUER: &str = "https://sts.example/tenant/";

/// A control without regions, started for the first time.
async fn first_start() -> (tempfile::TempDir, Control, Bootstrap, SecretString) {
    let directory = tempfile::tempdir().unwrap();
    let control = open(&directory).await;
    let mut bootstrap = control.bootstrap().await.unwrap();
    let secret = bootstrap.client_secret.take().expect("new");
    (directory, control, bootstrap, secret)
}

async fn open(directory: &tempfile::TempDir) -> Control {
    let database = crate::testing::database(directory.path()).await;
    Control::open(ControlOptions::new(database, directory.path().join("master.key"), Vec::new())).await.unwrap()
}

async fn ask(
    identity: &Identity,
    client: &str,
    secret: &SecretString,
    tenant: &str,
    version: TokenVersion,
) -> Result<IssuedToken, IdentityError> {
    let (audience, issuer, graph) = (AUDIENCE.to_owned(), ISSUER.to_owned(), "https://graph".to_owned());
    let shape = TokenShape { audience, is_application: false, version, issuer, graph };
    identity.token_for_client(client, &ClientProof::Secret(secret.clone()), tenant, &shape).await
}

async fn verify(identity: &Identity, token: &str) -> Result<crate::Caller, TokenError> {
    identity.verify(token, &[AUDIENCE.to_owned()], &[ISSUER.to_owned()]).await
}

#[tokio::test]
async fn a_secret_buys_a_token() {
    let (_directory, control, bootstrap, secret) = first_start().await;
    let identity = control.identity();
    let (client, tenant) = (bootstrap.client_id.to_string(), bootstrap.tenant.to_string());
    for (version, ver) in [(TokenVersion::V1, "1.0"), (TokenVersion::V2, "2.0")] {
        let issued = ask(identity, &client, &secret, &tenant, version).await.unwrap();
        let caller = verify(identity, &issued.access_token).await.unwrap();
        assert!(caller.administrator);
        assert_eq!((caller.tenant, caller.app_id), (bootstrap.tenant, Some(bootstrap.client_id)));
        let claims: Value = decode(&issued.access_token);
        assert_eq!((&claims["ver"], &claims["idtyp"], &claims["aud"]), (&ver.into(), &"app".into(), &AUDIENCE.into()));
        assert_eq!((&claims["oid"], &claims["appid"]), (&caller.principal.to_string().into(), &client.clone().into()));
        assert_eq!(claims.get("azp").is_some(), version == TokenVersion::V2);
    }
    let domain = control.find_tenant(&tenant).await.unwrap().unwrap().default_domain;
    ask(identity, &client, &secret, &domain, TokenVersion::V2).await.unwrap();
    let key = &identity.jwks()["keys"][0];
    assert_eq!((&key["kty"], &key["use"], &key["e"]), (&"RSA".into(), &"sig".into(), &"AQAB".into()));
}

/// Regression: where the clock was put back after the first start, nobody could sign in until it had caught up.
#[tokio::test]
async fn the_operators_secret_is_good_whatever_the_clock_says() {
    let directory = tempfile::tempdir().unwrap();
    let database = crate::testing::database(directory.path()).await;
    let mut options = ControlOptions::new(database, directory.path().join("master.key"), Vec::new());
    let clock = std::sync::Arc::new(StillClock(1_800_000_000_000.into()));
    options.clock = clock.clone();
    let control = Control::open(options).await.unwrap();
    let bootstrap = control.bootstrap().await.unwrap();
    clock.advance(-30 * 24 * 3600 * 1000);
    let (client, tenant) = (bootstrap.client_id.to_string(), bootstrap.tenant.to_string());
    let secret = bootstrap.client_secret.expect("new");
    ask(control.identity(), &client, &secret, &tenant, TokenVersion::V2).await.unwrap();
}

#[tokio::test]
async fn wrong_credentials_are_told_apart() {
    let (_directory, control, bootstrap, secret) = first_start().await;
    let identity = control.identity();
    let (client, tenant) = (bootstrap.client_id.to_string(), bootstrap.tenant.to_string());
    let wrong = SecretString::from("0".repeat(64));
    let long = SecretString::from("0".repeat(2000));
    let v1 = TokenVersion::V1;
    let other = uuid::Uuid::new_v4().to_string();
    assert!(matches!(ask(identity, &client, &wrong, &tenant, v1).await, Err(IdentityError::WrongSecret)));
    assert!(matches!(ask(identity, &client, &long, &tenant, v1).await, Err(IdentityError::WrongSecret)));
    assert!(matches!(ask(identity, &other, &secret, &tenant, v1).await, Err(IdentityError::UnknownApplication(_))));
    assert!(matches!(ask(identity, "x", &secret, &tenant, v1).await, Err(IdentityError::UnknownApplication(_))));
    assert!(matches!(ask(identity, &client, &secret, &other, v1).await, Err(IdentityError::UnknownTenant(_))));
}

#[tokio::test]
async fn a_token_is_worth_nothing_elsewhere_later_or_altered() {
    let world = World::new().await;
    let identity = world.control.identity();
    let administrator = world.control.reset_administrator().await.unwrap();
    let (client, tenant) = (administrator.client_id.to_string(), administrator.tenant.to_string());
    let issued = ask(identity, &client, &administrator.client_secret, &tenant, TokenVersion::V1).await.unwrap();
    let token = &issued.access_token;
    verify(identity, token).await.unwrap();
    let elsewhere = identity.verify(token, &["https://graph".to_owned()], &[ISSUER.to_owned()]).await;
    assert!(matches!(elsewhere, Err(TokenError::Audience(audience)) if audience == AUDIENCE));
    let issuer = identity.verify(token, &[AUDIENCE.to_owned()], &["https://other".to_owned()]).await;
    assert!(matches!(issuer, Err(TokenError::Issuer(_))));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut altered = token.clone().into_bytes();
    let middle = token.find('.').unwrap() + 10;
    altered[middle] = if altered[middle] == b'A' { b'B' } else { b'A' };
    for bad in ["", "x", "a.b.c", signed, &format!("{signed}."), &format!("{signed}.{}", &signature[4..])] {
        assert!(matches!(verify(identity, bad).await, Err(TokenError::Invalid)), "{bad}");
    }
    assert!(matches!(verify(identity, std::str::from_utf8(&altered).unwrap()).await, Err(TokenError::Invalid)));
    world.clock.advance(1000 * (3600 + 299));
    verify(identity, token).await.unwrap();
    world.clock.advance(1000);
    assert!(matches!(verify(identity, token).await, Err(TokenError::Expired)));
}

#[tokio::test]
async fn a_reset_takes_everything_from_the_former_administrator() {
    let (directory, control, bootstrap, secret) = first_start().await;
    let identity = control.identity();
    let (client, tenant) = (bootstrap.client_id.to_string(), bootstrap.tenant.to_string());
    let old = ask(identity, &client, &secret, &tenant, TokenVersion::V1).await.unwrap();
    let new = control.reset_administrator().await.unwrap();
    assert_eq!((new.tenant, new.subscription), (bootstrap.tenant, bootstrap.subscription));
    assert!(!verify(identity, &old.access_token).await.unwrap().administrator);
    let refused = ask(identity, &client, &secret, &tenant, TokenVersion::V1).await;
    assert!(matches!(refused, Err(IdentityError::WrongSecret)));
    let client = new.client_id.to_string();
    let token = ask(identity, &client, &new.client_secret, &tenant, TokenVersion::V1).await.unwrap();
    assert!(verify(identity, &token.access_token).await.unwrap().administrator);
    control.shutdown().await;

    // A second start finds everything as it was, and tells no secret again.
    let control = open(&directory).await;
    let again = control.bootstrap().await.unwrap();
    assert!(again.client_secret.is_none());
    assert_eq!((again.tenant, again.client_id), (bootstrap.tenant, new.client_id));
    verify(control.identity(), &token.access_token).await.unwrap();
    assert!(crate::SystemClock.now_ms() > 0);
}

/// What a token says, unverified.
fn decode(token: &str) -> Value {
    use base64::Engine;
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}
