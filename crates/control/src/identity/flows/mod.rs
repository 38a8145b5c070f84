//! Users' flows: passwords, codes, devices, sessions, the one-time link, certificates, keys that change.

mod guessing;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use galerie_arm::ArmError;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    ClientApplication, ClientProof, CodeRequest, DeviceDecision, IdentityError, InvitationUse, Redemption, SignIn,
    SignInError, SignedInUser, TokenError, TokenShape, TokenVersion, UserTokens,
};
use crate::{
    Caller, ObjectKind, RequestContext,
    directory::{
        Document,
        credential::{NewCertificate, NewSecret},
        user::{NewPassword, NewUser, UserChange},
    },
    testing::World,
};

const AUDIENCE: &str = "https://gallery.example";
const ISSUER: &str = "https://gallery.example/tenant/v2.0";
const PASSWORD: &str = "correct horse";
const REDIRECT: &str = "http://localhost:8400";
const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn shape() -> TokenShape {
    TokenShape {
        audience: AUDIENCE.to_owned(),
        is_application: false,
        version: TokenVersion::V2,
        issuer: ISSUER.to_owned(),
        graph: "https://gallery.example/msgraph".to_owned(),
    }
}

struct Flow {
    world: World,
    client: ClientApplication,
}

impl Flow {
    /// A gallery whose user is `ada`.
    async fn new() -> Self {
        let world = World::new().await;
        let flow = Self { client: world.control.identity().client(AZ).await.unwrap(), world };
        flow.user("ada").await;
        flow
    }

    fn operator(&self) -> RequestContext {
        RequestContext::of_the_directory(self.world.caller.clone(), Uuid::new_v4())
    }

    /// A user of the tenant's first domain, or of the one that is named.
    async fn user(&self, name: &str) -> Uuid {
        let whole = if name.contains('@') { name.to_owned() } else { format!("{name}@galerie.internal") };
        let new = NewUser {
            name: whole.parse().unwrap(),
            display_name: name.to_owned(),
            enabled: true,
            password: NewPassword { password: SecretString::from(PASSWORD), must_change: false },
            document: Document::new(),
        };
        self.world.control.user_create(&self.operator(), new).await.unwrap().id
    }

    fn typed(&self, name: &str, password: &str) -> SignIn {
        SignIn {
            tenant: None,
            user_name: name.to_owned(),
            password: SecretString::from(password),
            new_password: None,
            address: "192.0.2.1".to_owned(),
        }
    }

    async fn sign_in(&self, password: &str) -> Result<SignedInUser, SignInError> {
        let typed = self.typed("Ada@Galerie.Internal", password);
        self.world.control.identity().sign_in(&self.client, typed).await
    }

    async fn code(&self) -> String {
        let user = self.sign_in(PASSWORD).await.unwrap();
        let request = CodeRequest {
            redirect_uri: REDIRECT.to_owned(),
            challenge: CHALLENGE.to_owned(),
            scope: "s".to_owned(),
            nonce: Some("n".to_owned()),
        };
        let code = self.world.control.identity().issue_code(&self.client, &user, &request).await.unwrap();
        code.expose_secret().to_owned()
    }

    async fn redeem(&self, code: &str, redirect_uri: &str, verifier: &str) -> Result<UserTokens, IdentityError> {
        let redemption = Redemption { code, redirect_uri, verifier, tenant: None };
        self.world.control.identity().redeem_code(&self.client, &ClientProof::None, &redemption, &shape()).await
    }

    async fn tokens(&self) -> UserTokens {
        self.redeem(&self.code().await, REDIRECT, VERIFIER).await.unwrap()
    }

    async fn refresh(&self, token: &SecretString) -> Result<UserTokens, IdentityError> {
        let (token, identity) = (token.expose_secret(), self.world.control.identity());
        identity.refresh(&self.client, &ClientProof::None, token, None, &shape()).await
    }

    async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        self.world.control.identity().verify(token, &[AUDIENCE.to_owned()], &[ISSUER.to_owned()]).await
    }
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn is_invalid_grant(result: Result<UserTokens, IdentityError>) {
    assert!(matches!(result, Err(IdentityError::InvalidGrant(_))), "{result:?}");
}

#[tokio::test]
async fn a_user_signs_in_and_tokens_say_who() {
    let flow = Flow::new().await;
    let tokens = flow.tokens().await;
    let caller = flow.verify(&tokens.access.access_token).await.unwrap();
    assert_eq!((caller.kind, caller.upn.as_deref()), (ObjectKind::User, Some("ada@galerie.internal")));
    assert!(!caller.administrator && caller.app_id == Some(AZ.parse().unwrap()));
    let access = claims(&tokens.access.access_token);
    assert_eq!((&access["idtyp"], &access["upn"]), (&"user".into(), &"ada@galerie.internal".into()));
    assert_eq!((&access["tid"], &access["groups"]), (&json!(flow.world.caller.tenant), &json!([])));
    assert_eq!(access["scp"], "user_impersonation");
    let id = claims(&tokens.id_token);
    assert_eq!((&id["aud"], &id["nonce"], &id["oid"]), (&AZ.into(), &"n".into(), &json!(caller.principal)));
    // An id token is no access token.
    assert!(flow.verify(&tokens.id_token).await.is_err());
}

#[tokio::test]
async fn a_code_is_bound_and_works_once() {
    let flow = Flow::new().await;
    for (redirect, verifier) in [("http://localhost:1", VERIFIER), (REDIRECT, &VERIFIER.replace('d', "e"))] {
        is_invalid_grant(flow.redeem(&flow.code().await, redirect, verifier).await);
    }
    is_invalid_grant(flow.redeem("nonsense", REDIRECT, VERIFIER).await);
    let late = flow.code().await;
    flow.world.clock.advance(61_000);
    is_invalid_grant(flow.redeem(&late, REDIRECT, VERIFIER).await);
    let code = flow.code().await;
    let tokens = flow.redeem(&code, REDIRECT, VERIFIER).await.unwrap();
    // Shown a second time, it ends the session that it began.
    is_invalid_grant(flow.redeem(&code, REDIRECT, VERIFIER).await);
    is_invalid_grant(flow.refresh(&tokens.refresh_token).await);
}

#[tokio::test]
async fn a_refresh_token_that_was_used_ends_its_session() {
    let flow = Flow::new().await;
    let first = flow.tokens().await;
    let second = flow.refresh(&first.refresh_token).await.unwrap();
    // Within the grace: the very same successor, however often.
    flow.world.clock.advance(9_000);
    let again = flow.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token.expose_secret(), second.refresh_token.expose_secret());
    let third = flow.refresh(&second.refresh_token).await.unwrap();
    // Two generations back is a thief, however soon.
    is_invalid_grant(flow.refresh(&first.refresh_token).await);
    is_invalid_grant(flow.refresh(&third.refresh_token).await);
    // And so is one generation, once the grace is over.
    let first = flow.tokens().await;
    let second = flow.refresh(&first.refresh_token).await.unwrap();
    flow.world.clock.advance(11_000);
    is_invalid_grant(flow.refresh(&first.refresh_token).await);
    is_invalid_grant(flow.refresh(&second.refresh_token).await);
    // Altered in any byte it is nobody's.
    let token = flow.tokens().await.refresh_token;
    for at in [0, 20, 30, 70] {
        let mut altered = token.expose_secret().to_owned().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        is_invalid_grant(flow.refresh(&SecretString::from(String::from_utf8(altered).unwrap())).await);
    }
    // Unused for two weeks.
    flow.world.clock.advance(15 * 24 * 3600 * 1000);
    is_invalid_grant(flow.refresh(&token).await);
}

#[tokio::test]
async fn what_ends_a_user_ends_their_tokens() {
    let flow = Flow::new().await;
    let (control, name) = (&flow.world.control, "ada@galerie.internal");
    let change = async |change| control.user_update(&flow.operator(), name, change).await.map(drop);
    let disable = UserChange { enabled: Some(false), ..UserChange::default() };
    let enable = UserChange { enabled: Some(true), ..UserChange::default() };
    let password = NewPassword { password: SecretString::from("another horse"), must_change: false };
    let reset = UserChange { password: Some(password), ..UserChange::default() };
    let tokens = flow.tokens().await;
    flow.world.clock.advance(5_000);
    change(disable).await.unwrap();
    assert!(matches!(flow.verify(&tokens.access.access_token).await, Err(TokenError::UnknownPrincipal)));
    is_invalid_grant(flow.refresh(&tokens.refresh_token).await);
    assert!(matches!(flow.sign_in(PASSWORD).await, Err(SignInError::Disabled)));
    change(enable).await.unwrap();
    assert!(matches!(flow.verify(&tokens.access.access_token).await, Err(TokenError::Revoked)), "from before");
    flow.world.clock.advance(5_000);
    let tokens = flow.tokens().await;
    flow.world.clock.advance(5_000);
    change(reset).await.unwrap();
    assert!(matches!(flow.verify(&tokens.access.access_token).await, Err(TokenError::Revoked)));
    is_invalid_grant(flow.refresh(&tokens.refresh_token).await);
    assert!(matches!(flow.sign_in(PASSWORD).await, Err(SignInError::Wrong)));
    flow.sign_in("another horse").await.unwrap();
    control.user_delete(&flow.operator(), name).await.unwrap();
    assert!(matches!(flow.sign_in("another horse").await, Err(SignInError::Wrong)));
}

#[tokio::test]
async fn a_password_that_is_to_be_changed_is_changed_first() {
    let flow = Flow::new().await;
    let change = UserChange { must_change: Some(true), ..UserChange::default() };
    flow.world.control.user_update(&flow.operator(), "ada@galerie.internal", change).await.unwrap();
    assert!(matches!(flow.sign_in(PASSWORD).await, Err(SignInError::MustChange)));
    let identity = flow.world.control.identity();
    let with = |new: &str| SignIn {
        new_password: Some(SecretString::from(new)),
        ..flow.typed("ada@galerie.internal", PASSWORD)
    };
    for bad in [PASSWORD, "short", "ada@galerie.internal"] {
        assert!(matches!(identity.sign_in(&flow.client, with(bad)).await, Err(SignInError::Weak(_))), "{bad}");
    }
    identity.sign_in(&flow.client, with("another horse")).await.unwrap();
    flow.sign_in("another horse").await.unwrap();
    assert!(matches!(flow.sign_in(PASSWORD).await, Err(SignInError::Wrong)));
}

#[tokio::test]
async fn another_tenants_user_does_not_sign_in_here() {
    let flow = Flow::new().await;
    let other = flow.world.control.add_tenant("Other").await.unwrap();
    let typed = SignIn { tenant: Some(other.tenant), ..flow.typed("ada@galerie.internal", PASSWORD) };
    assert!(matches!(flow.world.control.identity().sign_in(&flow.client, typed).await, Err(SignInError::Wrong)));
    // Without a domain the tenant's is meant.
    let typed = SignIn { tenant: Some(flow.world.caller.tenant), ..flow.typed("ada", PASSWORD) };
    flow.world.control.identity().sign_in(&flow.client, typed).await.unwrap();
    let typed = flow.typed("ada", PASSWORD);
    assert!(matches!(flow.world.control.identity().sign_in(&flow.client, typed).await, Err(SignInError::Wrong)));
}

#[tokio::test]
async fn a_device_waits_for_its_user() {
    let flow = Flow::new().await;
    let identity = flow.world.control.identity();
    let begin = async || identity.device_begin(&flow.client, None, "s", "198.51.100.7").await.unwrap();
    let ask = async |code: &SecretString| {
        identity.device_redeem(&flow.client, &ClientProof::None, code.expose_secret(), &shape()).await
    };
    let device = begin().await;
    let pending = ask(&device.device_code).await;
    assert!(matches!(pending, Err(IdentityError::AuthorizationPending)), "{pending:?}");
    assert!(matches!(ask(&device.device_code).await, Err(IdentityError::SlowDown)));
    flow.world.clock.advance(65_000);
    let typed = device.user_code.expose_secret().to_lowercase().replace('-', " ");
    let shown = identity.device_find(&typed, "a").await.unwrap();
    assert_eq!(
        (shown.address.as_str(), shown.age_s, shown.application.display_name.as_str()),
        ("198.51.100.7", 65, "Azure CLI")
    );
    let user = flow.sign_in(PASSWORD).await.unwrap();
    assert!(identity.device_decide(&typed, &DeviceDecision::Approve(user.clone())).await.unwrap());
    assert!(!identity.device_decide(&typed, &DeviceDecision::Deny).await.unwrap(), "decided once");
    assert!(identity.device_find(&typed, "a").await.is_err(), "decided once");
    let tokens = ask(&device.device_code).await.unwrap();
    flow.verify(&tokens.access.access_token).await.unwrap();
    flow.refresh(&tokens.refresh_token).await.unwrap();
    is_invalid_grant(ask(&device.device_code).await);

    let device = begin().await;
    assert!(identity.device_decide(device.user_code.expose_secret(), &DeviceDecision::Deny).await.unwrap());
    assert!(matches!(ask(&device.device_code).await, Err(IdentityError::Declined)));

    let device = begin().await;
    flow.world.clock.advance(15 * 60 * 1000 + 1);
    assert!(!identity.device_decide(device.user_code.expose_secret(), &DeviceDecision::Approve(user)).await.unwrap());
    assert!(matches!(ask(&device.device_code).await, Err(IdentityError::ExpiredDeviceCode)));

    // Codes are not to be guessed.
    for _ in 0..30 {
        assert!(matches!(identity.device_find("BBBB-BBBB", "bot").await, Err(SignInError::Wrong)));
    }
    let device = begin().await;
    let guessed = identity.device_find(device.user_code.expose_secret(), "bot").await;
    assert!(matches!(guessed, Err(SignInError::Slow(_))));
}

#[tokio::test]
async fn the_one_time_link_makes_one_administrator() {
    let flow = Flow::new().await;
    let control = &flow.world.control;
    let link = control.first_link().await.unwrap().expect("nobody administers the tenant yet");
    assert!(control.first_link().await.unwrap().is_none(), "one is out");
    let code = link.code.expose_secret().to_owned();
    let used = async |code: &str, name: &str, password: &str| {
        let password = SecretString::from(password);
        let asked = InvitationUse { code, user_name: name, display_name: "", password, address: None };
        control.use_invitation(&asked, Uuid::new_v4()).await
    };
    let status = |result: Result<crate::directory::user::User, ArmError>| result.map_err(|error| error.status).err();
    assert_eq!(status(used("nonsense", "root", PASSWORD).await), Some(404));
    assert_eq!(status(used(&code, "root", "short").await), Some(400));
    assert_eq!(status(used(&code, "ada", PASSWORD).await), Some(400), "a name that is taken");
    assert_eq!(control.identity().invitation_domain(&code).await.unwrap().as_deref(), Some("galerie.internal"));
    let root = used(&code, "root", PASSWORD).await.unwrap();
    assert_eq!(root.name, "root@galerie.internal");
    assert_eq!(status(used(&code, "other", PASSWORD).await), Some(404), "once");
    assert!(control.first_link().await.unwrap().is_none(), "there is an administrator");
    // Who may change the directory from now on.
    let ctx = RequestContext::of_the_directory(Caller::user(root.tenant, root.id, &root.name, None), Uuid::new_v4());
    control.group_create(&ctx, "g", Document::new()).await.unwrap();
    let late = control.reset_link(root.tenant).await.unwrap();
    flow.world.clock.advance(7 * 24 * 3600 * 1000);
    assert_eq!(status(used(late.code.expose_secret(), "late", PASSWORD).await), Some(404));
}

/// A certificate and the key that signs with it.
fn certificate() -> (Vec<u8>, EncodingKey) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["pipeline".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.der().to_vec(), EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap())
}

#[tokio::test]
async fn a_certificate_signs_an_application_in() {
    let flow = Flow::new().await;
    let (control, operator) = (&flow.world.control, flow.operator());
    let (der, key) = certificate();
    let new = NewCertificate {
        id: None,
        display_name: None,
        certificate: Some(der.clone()),
        starts_ms: None,
        expires_ms: None,
    };
    let app = control.application_create(&operator, "pipeline", Document::new(), &[new]).await.unwrap();
    control.service_principal_create(&operator, app.app_id, true, Document::new()).await.unwrap();
    let now_s = u64::try_from(control.identity().now_ms() / 1000).unwrap();
    let endpoint = "https://gallery.example/t/oauth2/v2.0/token";
    let good = |jti: &str| {
        json!({
            "iss": app.app_id, "sub": app.app_id, "aud": endpoint, "exp": now_s + 600, "nbf": now_s, "jti": jti
        })
    };
    let sha256 = crate::directory::credential::sha256_thumbprint(&der);
    let signed =
        |claims: &Value, header: &Header, key: &EncodingKey| jsonwebtoken::encode(header, claims, key).unwrap();
    let named = || {
        let mut header = Header::new(Algorithm::ES256);
        header.x5t_s256 = Some(sha256.clone());
        header
    };
    let tenant = flow.world.caller.tenant.to_string();
    let ask = async |jwt: String| {
        let proof = ClientProof::Assertion { jwt: SecretString::from(jwt), audiences: vec![endpoint.to_owned()] };
        control.identity().token_for_client(&app.app_id.to_string(), &proof, &tenant, &shape()).await
    };
    let token = ask(signed(&good("1"), &named(), &key)).await.unwrap();
    assert_eq!(claims(&token.access_token)["azpacr"], "2");
    let refused = async |jwt: String, expected: &str| match ask(jwt).await {
        Err(IdentityError::WrongAssertion(why)) => assert!(why.contains(expected), "{why}, not {expected}"),
        other => panic!("{expected}: {other:?}"),
    };
    refused(signed(&good("1"), &named(), &key), "used before").await;
    // Regression: az's times have fractions.
    let mut fractions = good("1.5");
    fractions["exp"] = json!(now_s as f64 + 600.25);
    fractions["iat"] = json!(now_s as f64 + 0.5);
    ask(signed(&fractions, &named(), &key)).await.unwrap();
    // Its thumbprint by SHA-1, as older clients name it.
    let mut by_sha1 = Header::new(Algorithm::ES256);
    by_sha1.x5t = Some(format!("{}=", URL_SAFE_NO_PAD.encode(crate::directory::credential::sha1(&der))));
    ask(signed(&good("2"), &by_sha1, &key)).await.unwrap();
    for (member, value, expected) in [
        ("iss", json!(Uuid::nil()), "client id"),
        ("sub", json!(Uuid::nil()), "client id"),
        ("aud", json!("https://elsewhere"), "aud"),
        ("exp", json!(now_s - 600), "expired"),
        ("nbf", json!(now_s + 600), "not good yet"),
        ("exp", json!(now_s + 100_000), "more than a day"),
        ("jti", json!(""), "no jti"),
    ] {
        let mut claims = good("3");
        claims[member] = value;
        refused(signed(&claims, &named(), &key), expected).await;
    }
    // Another's key, whatever the header promises.
    let (other_der, other_key) = certificate();
    let mut promised = named();
    promised.x5c = Some(vec![base64::engine::general_purpose::STANDARD.encode(&other_der)]);
    promised.jku = Some("https://evil.example/keys".to_owned());
    refused(signed(&good("4"), &promised, &other_key), "signature").await;
    refused(signed(&good("5"), &Header::new(Algorithm::ES256), &key), "thumbprint").await;
    let shared = EncodingKey::from_secret(&der);
    let mut symmetric = Header::new(Algorithm::HS256);
    symmetric.x5t_s256 = Some(sha256.clone());
    refused(signed(&good("6"), &symmetric, &shared), "algorithm").await;
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode("{}"));
    refused(unsigned, "no signed JWT").await;
    // The thumbprint that people are shown is of the certificate, whose id may be whatever nobody has.
    let hexadecimal: String =
        crate::directory::credential::sha1(&der).iter().map(|byte| format!("{byte:02X}")).collect();
    let shown = control.application(&operator.caller, app.id).await.unwrap().credentials;
    assert_eq!(shown[0].thumbprint.as_deref().map(str::to_ascii_uppercase), Some(hexadecimal));
    let another = control.application_create(&operator, "another", Document::new(), &[]).await.unwrap();
    let taken = NewCertificate { id: Some(shown[0].id), certificate: Some(der.clone()), ..NewCertificate::default() };
    let put = control.application_update(&operator, another.id, None, Document::new(), Some(&[taken])).await.unwrap();
    assert!(put.credentials.len() == 1 && put.credentials[0].id != shown[0].id);
    // A certificate that was removed.
    control.application_update(&operator, app.id, None, Document::new(), Some(&[])).await.unwrap();
    refused(signed(&good("7"), &named(), &key), "thumbprint").await;
    let junk = NewCertificate {
        id: None,
        display_name: None,
        certificate: Some(b"junk".to_vec()),
        starts_ms: None,
        expires_ms: None,
    };
    assert!(control.application_update(&operator, app.id, None, Document::new(), Some(&[junk])).await.is_err());
}

#[tokio::test]
async fn several_secrets_expire_and_are_removed_one_by_one() {
    let flow = Flow::new().await;
    let (control, operator) = (&flow.world.control, flow.operator());
    let app = control.application_create(&operator, "pipeline", Document::new(), &[]).await.unwrap();
    let principal = control.service_principal_create(&operator, app.app_id, true, Document::new()).await.unwrap();
    let tenant = flow.world.caller.tenant.to_string();
    let ask = async |secret: &SecretString| {
        let proof = ClientProof::Secret(secret.clone());
        control.identity().token_for_client(&app.app_id.to_string(), &proof, &tenant, &shape()).await
    };
    let now_ms = control.identity().now_ms();
    let short = NewSecret { expires_ms: Some(now_ms + 1000), ..NewSecret::default() };
    let (_, first) = control.add_secret(&operator, ObjectKind::Application, app.id, short).await.unwrap();
    let (second_row, second) =
        control.add_secret(&operator, ObjectKind::Application, app.id, NewSecret::default()).await.unwrap();
    let (_, third) =
        control.add_secret(&operator, ObjectKind::ServicePrincipal, principal.id, NewSecret::default()).await.unwrap();
    assert!(second.expose_secret().starts_with(&second_row.hint));
    for secret in [&first, &second, &third] {
        ask(secret).await.unwrap();
    }
    flow.world.clock.advance(1000);
    assert!(matches!(ask(&first).await, Err(IdentityError::WrongSecret)), "expired");
    ask(&second).await.unwrap();
    control.remove_secret(&operator, ObjectKind::Application, app.id, second_row.id).await.unwrap();
    assert!(matches!(ask(&second).await, Err(IdentityError::WrongSecret)), "removed");
    let issued = ask(&third).await.unwrap();
    control.service_principal_update(&operator, principal.id, Some(false), Document::new(), None).await.unwrap();
    assert!(matches!(ask(&third).await, Err(IdentityError::DisabledApplication)));
    assert!(matches!(flow.verify(&issued.access_token).await, Err(TokenError::UnknownPrincipal)));
}

#[tokio::test]
async fn keys_change_and_nobody_is_signed_out() {
    const HOUR_MS: i64 = 3600 * 1000;
    let flow = Flow::new().await;
    let control = &flow.world.control;
    let kid = |tokens: &UserTokens| jsonwebtoken::decode_header(&tokens.access.access_token).unwrap().kid.unwrap();
    let keys = || control.identity().jwks()["keys"].as_array().unwrap().len();
    let before = flow.tokens().await;
    // A key is newer than the one before by a millisecond at least.
    flow.world.clock.advance(1);
    control.rotate_keys(&flow.operator()).await.unwrap();
    assert_eq!(keys(), 2, "published at once");
    let meanwhile = flow.tokens().await;
    assert_eq!(kid(&meanwhile), kid(&before), "but it does not sign yet");
    flow.world.clock.advance(HOUR_MS - 1000);
    let last = flow.refresh(&meanwhile.refresh_token).await.unwrap();
    assert_eq!(kid(&last), kid(&before));
    flow.world.clock.advance(1000);
    let after = flow.tokens().await;
    assert_ne!(kid(&after), kid(&before));
    flow.verify(&last.access.access_token).await.unwrap();
    flow.verify(&after.access.access_token).await.unwrap();
    flow.world.clock.advance(HOUR_MS + HOUR_MS / 2);
    control.tend_keys().await.unwrap();
    assert_eq!(keys(), 2, "the former one's last token may still be good");
    flow.world.clock.advance(HOUR_MS);
    control.tend_keys().await.unwrap();
    assert_eq!(keys(), 1);
    // A token of a key that was retired is refused for its key, not only for its time.
    assert!(matches!(flow.verify(&last.access.access_token).await, Err(TokenError::Invalid)));
    // And without anybody asking, in time.
    flow.world.clock.advance(91 * 24 * HOUR_MS);
    control.tend_keys().await.unwrap();
    assert_eq!(keys(), 2);
    let mut stranger = flow.operator();
    stranger.caller.administrator = false;
    assert_eq!(control.rotate_keys(&stranger).await.unwrap_err().status, 403);
}

/// Regression: tokens count seconds, so one of the second in which sessions were ended, or a password was changed, stayed good.
#[tokio::test]
async fn a_token_of_the_second_in_which_sessions_end_is_ended_and_the_next_is_good() {
    let flow = Flow::new().await;
    let control = &flow.world.control;
    // The clock stands still: all of this happens in one millisecond.
    for _ in 0..3 {
        let tokens = flow.tokens().await;
        flow.verify(&tokens.access.access_token).await.unwrap();
        control.user_revoke_sessions(&flow.operator(), "ada@galerie.internal").await.unwrap();
        assert!(matches!(flow.verify(&tokens.access.access_token).await, Err(TokenError::Revoked)));
        is_invalid_grant(flow.refresh(&tokens.refresh_token).await);
    }
    for ahead_ms in [1, 998, 999, 1000, 1001] {
        flow.world.clock.advance(ahead_ms);
        let tokens = flow.tokens().await;
        flow.verify(&tokens.access.access_token).await.unwrap();
        let claims = claims(&tokens.access.access_token);
        assert!(claims["iat"].as_u64() <= claims["nbf"].as_u64().map(|nbf| nbf + 4), "{claims}");
        control.user_revoke_sessions(&flow.operator(), "ada@galerie.internal").await.unwrap();
        assert!(matches!(flow.verify(&tokens.access.access_token).await, Err(TokenError::Revoked)));
    }
}

/// Where a test's log lines go.
#[derive(Clone, Default)]
struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Canaries: what is secret is planted, used rightly and wrongly, and looked for in everything that is written.
#[tokio::test]
async fn secrets_are_in_no_row_no_log_and_no_error() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    // For all threads: commits are made on others.
    tracing::subscriber::set_global_default(subscriber.finish()).expect("no other test sets one");

    let flow = Flow::new().await;
    let (control, operator, identity) = (&flow.world.control, flow.operator(), flow.world.control.identity());
    let app = control.application_create(&operator, "canary", Document::new(), &[]).await.unwrap();
    let (_, secret) =
        control.add_secret(&operator, ObjectKind::Application, app.id, NewSecret::default()).await.unwrap();
    let code = flow.code().await;
    let tokens = flow.redeem(&code, REDIRECT, VERIFIER).await.unwrap();
    let device = identity.device_begin(&flow.client, None, "s", "192.0.2.1").await.unwrap();
    let link = control.first_link().await.unwrap().unwrap();
    let wrong_password = "a wrong but almost right one";
    let mut errors = vec![format!("{:?}", flow.sign_in(wrong_password).await.unwrap_err())];
    errors.push(format!("{:?}", flow.redeem(&code, REDIRECT, VERIFIER).await.unwrap_err()));
    let unknown = ClientProof::Secret(secret.clone());
    let refused = identity.token_for_client(&Uuid::nil().to_string(), &unknown, "galerie.internal", &shape()).await;
    errors.push(format!("{:?} {unknown:?}", refused.unwrap_err()));
    errors.push(format!("{device:?} {link:?} {tokens:?}").replace(&tokens.access.access_token, ""));

    let canaries = [
        PASSWORD,
        wrong_password,
        secret.expose_secret(),
        &code,
        tokens.refresh_token.expose_secret(),
        device.device_code.expose_secret(),
        device.user_code.expose_secret(),
        &device.user_code.expose_secret().replace('-', ""),
        link.code.expose_secret(),
    ];
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("INSERT INTO credentials"), "the log was not taken: {log}");
    for canary in canaries {
        assert!(!log.contains(canary), "{canary} is in the log");
        assert!(errors.iter().all(|error| !error.contains(canary)), "{canary} is in an error: {errors:?}");
    }
    // Every row that there is, and was: the catalogue's file and its log, byte by byte; a backup holds a part of these rows.
    if crate::testing::database(flow.world.directory.path()).await.is_shared() {
        return;
    }
    let mut files = 0;
    for entry in std::fs::read_dir(flow.world.directory.path()).unwrap().map(Result::unwrap) {
        if !entry.file_name().to_string_lossy().starts_with("catalogue.db") {
            continue;
        }
        files += 1;
        let bytes = std::fs::read(entry.path()).unwrap();
        for canary in canaries {
            let is_there = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!is_there, "{canary} is in {}", entry.path().display());
        }
    }
    assert!(files > 0, "the catalogue was not found");
}
