//! Tokens of an external issuer: whom they stand for, what they can never become, and every way of forging one that we know of.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    http::{Method, Request},
};
use galerie_control::{ClaimNames, ExternalIssuer, RequiredClaim, SigningAlgorithm};
use galerie_testkit::{Answer, Gallery, GalleryOptions, IssuerKey, TestIssuer, VirtualClock};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

const AUDIENCE: &str = "api://galerie";
const AUTHORIZATION: &str = "providers/Microsoft.Authorization";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const SUBSCRIPTIONS: &str = "/subscriptions?api-version=2022-12-01";
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// A gallery that trusts an issuer.
struct Trusting {
    gallery: Gallery,
    issuer: TestIssuer,
    key: IssuerKey,
    clock: Arc<VirtualClock>,
}

impl Trusting {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut ExternalIssuer)) -> Self {
        let (key, clock) = (IssuerKey::rsa("one"), Arc::new(VirtualClock::now()));
        let issuer = TestIssuer::showing(&[&key]);
        let mut trusted = ExternalIssuer {
            issuer: TestIssuer::NAME.to_owned(),
            tenant: "galerie.internal".to_owned(),
            audience: AUDIENCE.to_owned(),
            algorithms: SigningAlgorithm::ALL.to_vec(),
            claims: ClaimNames::default(),
            groups: BTreeMap::from([("readers".to_owned(), "Readers from outside".to_owned())]),
            required_claims: Vec::new(),
            max_principals: 1000,
            built_in_users: true,
            documents: Arc::new(issuer.clone()),
        };
        change(&mut trusted);
        let external_issuers = vec![trusted];
        let options = GalleryOptions { clock: Some(clock.clone()), external_issuers, ..GalleryOptions::default() };
        Self { gallery: Gallery::start_with(options).await, issuer, key, clock }
    }

    async fn restart(self) -> Self {
        Self { gallery: self.gallery.restart().await, ..self }
    }

    fn now_s(&self) -> i64 {
        use galerie_control::Clock;
        self.clock.now_ms() / 1000
    }

    /// Ada's claims, with `change` on top; null takes one away.
    fn claims(&self, change: Value) -> Value {
        let mut claims = json!({
            "iss": TestIssuer::NAME,
            "aud": AUDIENCE,
            "sub": "ada-1",
            "client_id": "web",
            "iat": self.now_s(),
            "nbf": self.now_s(),
            "exp": self.now_s() + 600,
            "preferred_username": "ada@example.com",
            "name": "Ada Lovelace",
        });
        for (name, value) in change.as_object().expect("an object") {
            match value {
                Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    }

    fn token(&self, change: Value) -> String {
        self.key.sign(Algorithm::RS256, &self.claims(change), |_| {})
    }

    async fn call_as(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(self.gallery.path(path));
        let request = request.header("authorization", format!("Bearer {token}"));
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.gallery.send(request.header("content-type", "application/json").body(body).expect("a request")).await
    }

    async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.call_as(token, Method::GET, path, None).await
    }

    /// Who the token stands for, as Graph sees it.
    async fn me(&self, token: &str) -> Value {
        self.get_as(token, "/msgraph/v1.0/me").await.expect(200).json()
    }

    /// The operator's answer of Graph.
    async fn graph(&self, method: Method, below: &str, body: Option<Value>) -> Answer {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https://localhost:8443/msgraph/.default",
            self.gallery.client_id,
            self.gallery.client_secret()
        );
        let issued = self.gallery.form(&format!("/{}/oauth2/v2.0/token", self.gallery.tenant), &form).await.expect(200);
        let token = issued.json()["access_token"].as_str().expect("a token").to_owned();
        self.call_as(&token, method, &format!("/msgraph/v1.0/{below}"), body).await
    }

    async fn grant(&self, principal: &str, kind: &str) {
        let path = format!("{{s}}/{AUTHORIZATION}/roleAssignments/{}?api-version=2022-04-01", Uuid::new_v4());
        let role = format!("/{AUTHORIZATION}/roleDefinitions/{READER}");
        let properties = json!({ "roleDefinitionId": role, "principalId": principal, "principalType": kind });
        let _ = self.gallery.put(&path, json!({ "properties": properties })).await.expect(201);
    }

    /// How many subscriptions the token's principal sees.
    async fn seen(&self, token: &str) -> usize {
        let seen = self.get_as(token, SUBSCRIPTIONS).await.expect(200).json();
        seen["value"].as_array().expect("a list").len()
    }

    async fn refused(&self, token: &str, why: &str) {
        let answer = self.get_as(token, SUBSCRIPTIONS).await;
        assert_eq!(answer.status, 401, "expected '{why}': {answer}");
        let message = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
        assert!(message.contains(why), "expected '{why}' in '{message}'");
        assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.contains("invalid_token")));
    }
}

#[tokio::test]
async fn a_subject_becomes_a_user_without_rights_and_is_the_same_one_next_time() {
    let world = Trusting::start().await;
    let token = world.token(json!({}));
    assert_eq!(world.seen(&token).await, 0);
    let me = world.me(&token).await;
    assert_eq!(me["userPrincipalName"], "ada_example.com#EXT#@galerie.internal");
    assert_eq!((&me["displayName"], &me["creationType"]), (&"Ada Lovelace".into(), &"External".into()));
    let id = me["id"].as_str().expect("an id");
    // The subject is who it is; nothing else of the token is.
    let renamed = world.token(json!({"preferred_username": "eve@example.com", "name": "Eve", "client_id": "other"}));
    assert_eq!(world.me(&renamed).await["id"], id);
    assert_ne!(world.me(&world.token(json!({"sub": "ada-2"}))).await["id"], id);
    assert_ne!(world.me(&world.token(json!({"sub": "ada-1 "}))).await["id"], id, "a space makes another");
    world.grant(id, "User").await;
    assert_eq!(world.seen(&token).await, 1);
    let _ = world.get_as(&token, "{s}/resourcegroups?api-version=2021-04-01").await.expect(200);
    let made = world
        .call_as(
            &token,
            Method::PUT,
            "{s}/resourcegroups/x?api-version=2021-04-01",
            Some(json!({"location": "eastus"})),
        )
        .await;
    assert_eq!(made.expect(403).code(), "AuthorizationFailed");
    // What they may not do in the directory, they may not; what only the operator may, neither.
    let made = world
        .call_as(
            &token,
            Method::POST,
            "/msgraph/v1.0/groups",
            Some(json!({"displayName": "x", "mailEnabled": false, "mailNickname": "x", "securityEnabled": true})),
        )
        .await;
    assert_eq!(made.status, 403, "{made}");
    assert_eq!(world.issuer.readings(), 1, "the keys are read once");
    let listed = world.graph(Method::GET, "users", None).await.expect(200).json();
    assert_eq!(listed["value"].as_array().expect("a list").len(), 3, "{listed}");
}

#[tokio::test]
async fn an_applications_own_token_is_a_service_principals() {
    let world = Trusting::start().await;
    let token = world.token(json!({"sub": "job", "client_id": "job"}));
    assert_eq!(world.seen(&token).await, 0);
    let listed =
        world.graph(Method::GET, "servicePrincipals?$filter=displayName%20eq%20'job'", None).await.expect(200).json();
    let found = &listed["value"][0];
    assert!(found["appId"].as_str().is_some_and(|id| id != "job"), "{listed}");
    world.grant(found["id"].as_str().expect("an id"), "ServicePrincipal").await;
    assert_eq!(world.seen(&token).await, 1);
    // A user of the same subject is somebody else.
    assert_eq!(world.seen(&world.token(json!({"sub": "job"}))).await, 0);
    let below = format!("servicePrincipals/{}/addPassword", found["id"].as_str().expect("an id"));
    let refused = world.graph(Method::POST, &below, Some(json!({"passwordCredential": {}}))).await.expect(400);
    assert!(
        refused.json()["error"]["message"].as_str().is_some_and(|text| text.contains("external issuer")),
        "{refused}"
    );
    let disable = json!({"accountEnabled": false});
    let path = format!("servicePrincipals/{}", found["id"].as_str().expect("an id"));
    let _ = world.graph(Method::PATCH, &path, Some(disable)).await.expect(204);
    world.refused(&token, "does not exist").await;
}

#[tokio::test]
async fn keys_of_every_taken_kind_verify() {
    let world = Trusting::start().await;
    let curve = IssuerKey::p256("two");
    world.issuer.show(&[&world.key, &curve]);
    let claims = world.claims(json!({}));
    for token in [
        world.key.sign(Algorithm::RS256, &claims, |_| {}),
        world.key.sign(Algorithm::PS256, &claims, |_| {}),
        curve.sign(Algorithm::ES256, &claims, |_| {}),
        world.key.sign(Algorithm::RS256, &claims, |header| header.typ = Some("at+jwt".to_owned())),
        world.key.sign(Algorithm::RS256, &claims, |header| header.typ = None),
        world.key.sign(Algorithm::RS256, &world.claims(json!({"aud": ["other", AUDIENCE]})), |_| {}),
        world.key.sign(Algorithm::RS256, &world.claims(json!({"nbf": null, "typ": "Bearer"})), |_| {}),
    ] {
        assert_eq!(world.seen(&token).await, 0);
    }
}

#[tokio::test]
async fn forged_and_misdirected_tokens_are_refused() {
    let world = Trusting::start_with(|issuer| issuer.algorithms = vec![SigningAlgorithm::Rs256]).await;
    let claims = world.claims(json!({}));
    let part = |value: &Value| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(value.to_string())
    };
    for alg in ["none", "None", "NONE", ""] {
        for signature in ["", "x"] {
            let unsigned = format!("{}.{}.{signature}", part(&json!({"alg": alg, "kid": "one"})), part(&claims));
            world.refused(&unsigned, "algorithm that is not taken").await;
        }
    }
    // The public key as the secret of an HMAC.
    let public = EncodingKey::from_secret(world.key.jwk["n"].as_str().expect("a number").as_bytes());
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("one".to_owned());
    let symmetric = jsonwebtoken::encode(&header, &claims, &public).expect("a token");
    world.refused(&symmetric, "algorithm that is not taken").await;
    let other_algorithm = world.key.sign(Algorithm::PS256, &claims, |_| {});
    world.refused(&other_algorithm, "algorithm that is not taken").await;

    // Others' keys, whatever the header says about them.
    let foreign = IssuerKey::rsa("one");
    world.refused(&foreign.sign(Algorithm::RS256, &claims, |_| {}), "signature is not its issuer's").await;
    let embedded = foreign.sign(Algorithm::RS256, &claims, |header| {
        header.jku = Some("https://evil.example/jwks".to_owned());
        header.x5u = Some("https://evil.example/x5u".to_owned());
        header.jwk = serde_json::from_value(foreign.jwk.clone()).ok();
        assert!(header.jwk.is_some());
    });
    world.refused(&embedded, "signature is not its issuer's").await;
    let harmless =
        world.key.sign(Algorithm::RS256, &claims, |header| header.jku = Some("https://evil.example".to_owned()));
    assert_eq!(world.seen(&harmless).await, 0, "what the header says about keys is not looked at");
    let nameless = world.key.sign(Algorithm::RS256, &claims, |header| header.kid = None);
    world.refused(&nameless, "names no key").await;
    let unknown = world.key.sign(Algorithm::RS256, &claims, |header| header.kid = Some("other".to_owned()));
    world.refused(&unknown, "does not show the key").await;
    for typ in ["logout+jwt", "dpop+jwt", "id_token"] {
        let typed = world.key.sign(Algorithm::RS256, &claims, |header| header.typ = Some(typ.to_owned()));
        world.refused(&typed, "no access token's").await;
    }
    let critical = format!("{}.{}.x", part(&json!({"alg": "RS256", "kid": "one", "crit": ["b64"]})), part(&claims));
    world.refused(&critical, "(crit)").await;

    // Altered after it was signed.
    let good = world.token(json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let altered = format!("{}.{}.{}", parts[0], part(&world.claims(json!({"sub": "root"}))), parts[2]);
    world.refused(&altered, "signature is not its issuer's").await;

    for (change, why) in [
        (json!({"aud": "other"}), "wrong audience"),
        (json!({"aud": null}), "wrong audience"),
        (json!({"aud": ["https://management.azure.com"]}), "wrong audience"),
        (json!({"aud": "https://management.azure.com/"}), "wrong audience"),
        (json!({"aud": "https://localhost:8443/"}), "wrong audience"),
        (json!({"aud": "api://galerie/"}), "wrong audience"),
        (json!({"aud": {"api://galerie": 1}}), "wrong audience"),
        (json!({"exp": world.now_s() - 301}), "expiry UTC time has passed"),
        (json!({"exp": null}), "(iat, exp)"),
        (json!({"exp": "9999999999"}), "(iat, exp)"),
        (json!({"iat": null}), "(iat, exp)"),
        (json!({"nbf": world.now_s() + 400}), "not good yet"),
        (json!({"nbf": "soon"}), "nbf is no time"),
        (json!({"iat": world.now_s() + 400}), "not good yet"),
        (json!({"sub": null}), "whom it stands for"),
        (json!({"sub": ""}), "whom it stands for"),
        (json!({"sub": 7}), "whom it stands for"),
        (json!({"sub": "x".repeat(256)}), "whom it stands for"),
        (json!({"at_hash": "x"}), "an id token"),
        (json!({"nonce": "x"}), "an id token"),
        (json!({"token_use": "id"}), "an id token"),
        (json!({"events": {}}), "an id token"),
        (json!({"exp": 1e300}), "more than a day"),
        (json!({"exp": world.now_s() + 86_401}), "more than a day"),
        (json!({"typ": "ID"}), "an id token"),
        (json!({"typ": "Refresh"}), "an id token"),
        (json!({"cnf": {"jkt": "x"}}), "bound to a key"),
        (
            json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://evil.example"}}}),
            "groups are elsewhere",
        ),
        (json!({"hasgroups": true}), "groups are elsewhere"),
    ] {
        world.refused(&world.token(change), why).await;
    }
    // Another issuer is nobody's: the built-in one does not know its key.
    for iss in [
        json!("https://login.example.com/realms/staff/"),
        json!("https://LOGIN.example.com/realms/staff"),
        json!("https://login.example.com/realms/students"),
        Value::Null,
        json!(7),
    ] {
        world.refused(&world.token(json!({ "iss": iss })), "was not issued here").await;
    }
    assert_eq!(world.seen(&world.token(json!({}))).await, 0, "and a good one is still good");
    let listed = world.graph(Method::GET, "users", None).await.expect(200).json();
    assert_eq!(listed["value"].as_array().expect("a list").len(), 1, "no refused token made anybody: {listed}");
}

#[tokio::test]
async fn an_issuer_names_neither_a_tenant_nor_the_operator_nor_a_user_of_ours() {
    let world = Trusting::start().await;
    let other = world.gallery.second_tenant().await;
    let operator = world.gallery.control.bootstrapped().await.expect("a first start").principal;
    let body = json!({
        "userPrincipalName": "ada@galerie.internal", "displayName": "Ada", "accountEnabled": true,
        "passwordProfile": {"password": "correct horse battery"}
    });
    let ada = world.graph(Method::POST, "users", Some(body.clone())).await.expect(201).json();
    let ada = ada["id"].as_str().expect("an id").to_owned();
    world.grant(&ada, "User").await;
    // Somebody of ours with the very name that the newcomer would get.
    let mut squatter = body;
    squatter["userPrincipalName"] = "ada_galerie.internal#EXT#@galerie.internal".into();
    let squatter = world.graph(Method::POST, "users", Some(squatter)).await.expect(201).json();
    let token = world.token(json!({
        "tid": other.tenant, "oid": ada, "upn": "ada@galerie.internal", "preferred_username": "ada@galerie.internal",
        "wids": ["62e90394-69f5-4237-9190-012177145e10"], "roles": ["GlobalAdministrator"], "idtyp": "user",
        "appid": world.gallery.client_id, "administrator": true,
    }));
    let me = world.me(&token).await;
    assert!(me["id"] != ada.as_str() && me["id"] != squatter["id"], "{me}");
    let name = me["userPrincipalName"].as_str().expect("a name");
    assert!(name.starts_with("ada_galerie.internal_") && name.ends_with("#EXT#@galerie.internal"), "{name}");
    assert_eq!(world.seen(&token).await, 0);
    let theirs = format!("/subscriptions/{}/resourcegroups?api-version=2021-04-01", other.subscription);
    assert_eq!(world.get_as(&token, &theirs).await.expect(404).code(), "SubscriptionNotFound");
    // An application that calls itself the operator.
    for subject in [operator.to_string(), world.gallery.client_id.to_string()] {
        let token = world
            .token(json!({"sub": subject, "client_id": subject, "oid": operator, "appid": subject, "idtyp": "app"}));
        assert_eq!(world.seen(&token).await, 0);
        let processes = world.get_as(&token, "/galerie/processes?api-version=2024-03-03").await;
        assert_eq!(processes.expect(403).code(), "AuthorizationFailed");
    }
    // A user from outside has no password here, and gets none.
    let password = json!({"passwordProfile": {"password": "correct horse battery 2"}});
    let path = format!("users/{}", me["id"].as_str().expect("an id"));
    let refused = world.graph(Method::PATCH, &path, Some(password)).await;
    assert_eq!(refused.status, 400, "{refused}");
    // The built-in issuer's name with the external key.
    let ours = format!("https://localhost:8443/{}/v2.0", world.gallery.tenant);
    let forged = json!({"iss": ours, "tid": world.gallery.tenant, "oid": operator, "appid": world.gallery.client_id, "idtyp": "app", "aud": "https://localhost:8443"});
    world.refused(&world.token(forged), "was not issued here").await;
}

#[tokio::test]
async fn groups_count_when_they_are_listed_and_never_by_another_groups_id() {
    let world = Trusting::start().await;
    let group = json!({"displayName": "Ours", "mailEnabled": false, "mailNickname": "ours", "securityEnabled": true});
    let ours = world.graph(Method::POST, "groups", Some(group)).await.expect(201).json();
    let ours = ours["id"].as_str().expect("an id").to_owned();
    world.grant(&ours, "Group").await;
    let filter = "groups?$filter=displayName%20eq%20'Readers%20from%20outside'";
    let listed = world.graph(Method::GET, filter, None).await.expect(200).json();
    let readers = listed["value"][0]["id"].as_str().unwrap_or_else(|| panic!("no group: {listed}")).to_owned();
    let of = |groups: Value| world.token(json!({ "groups": groups }));
    for groups in [
        json!([ours]),
        json!([readers]),
        json!(["Readers from outside", "READERS"]),
        json!("readers"),
        json!({"readers": 1}),
    ] {
        assert_eq!(world.seen(&of(groups.clone())).await, 0, "{groups}");
    }
    assert_eq!(world.seen(&of(json!(["readers"]))).await, 0, "the group has no role yet");
    world.grant(&readers, "Group").await;
    assert_eq!(world.seen(&of(json!([7, "readers", "others"]))).await, 1);
    assert_eq!(world.seen(&of(json!(["others"]))).await, 0, "a membership is the token's, and ends with it");
    assert_eq!(world.seen(&of(json!([readers]))).await, 0, "its object id is no name of it");
    // An application's token may name groups, too.
    let job = world.token(json!({"sub": "job", "client_id": "job", "groups": ["readers"]}));
    assert_eq!(world.seen(&job).await, 1);
    // The group is still the same after a restart, and so are the roles.
    let world = world.restart().await;
    assert_eq!(world.seen(&world.token(json!({"groups": ["readers"]}))).await, 1);
}

#[tokio::test]
async fn groups_that_are_elsewhere_do_no_harm_where_none_is_listed() {
    let world = Trusting::start_with(|issuer| issuer.groups.clear()).await;
    assert_eq!(world.seen(&world.token(json!({"_claim_names": {"groups": "src1"}}))).await, 0);
}

#[tokio::test]
async fn who_is_disabled_is_out_at_once_and_who_is_deleted_comes_back_without_rights() {
    let world = Trusting::start().await;
    let token = world.token(json!({}));
    let id = world.me(&token).await["id"].as_str().expect("an id").to_owned();
    world.grant(&id, "User").await;
    let path = format!("users/{id}");
    world.clock.advance_ms(2_000);
    for (enabled, status) in [(false, 401), (true, 200)] {
        let _ = world.graph(Method::PATCH, &path, Some(json!({ "accountEnabled": enabled }))).await.expect(204);
        // Disabling ends what was signed in: a later token counts.
        world.clock.advance_ms(2_000);
        assert_eq!(world.get_as(&world.token(json!({})), SUBSCRIPTIONS).await.status, status, "{enabled}");
    }
    world.refused(&token, "revoked").await;
    let _ = world.graph(Method::DELETE, &path, None).await.expect(204);
    let token = world.token(json!({}));
    assert_eq!((world.seen(&token).await, world.me(&token).await["id"].as_str()), (0, Some(id.as_str())));
}

#[tokio::test]
async fn keys_rotate_and_an_unknown_one_is_asked_for_once_a_minute() {
    let world = Trusting::start().await;
    let (next, never) = (IssuerKey::rsa("two"), IssuerKey::rsa("three"));
    assert_eq!(world.seen(&world.token(json!({}))).await, 0);
    assert_eq!(world.issuer.readings(), 1);
    world.clock.advance_ms(MINUTE_MS);
    world.issuer.show(&[&world.key, &next]);
    let by = |key: &IssuerKey| key.sign(Algorithm::RS256, &world.claims(json!({})), |_| {});
    assert_eq!(world.seen(&by(&next)).await, 0, "a new key is found when a token names it");
    assert_eq!(world.issuer.readings(), 2);
    for _ in 0..20 {
        world.refused(&by(&never), "does not show the key").await;
    }
    assert_eq!(world.issuer.readings(), 2, "tokens that name no key do not make us ask");
    world.clock.advance_ms(MINUTE_MS);
    world.issuer.show(&[&next]);
    world.refused(&by(&never), "does not show the key").await;
    assert_eq!(world.issuer.readings(), 3);
    world.refused(&by(&world.key), "does not show the key").await;
    assert_eq!(world.seen(&by(&next)).await, 0);
}

#[tokio::test]
async fn keys_outlive_the_issuer_and_a_restart_but_not_for_ever() {
    let mut world = Trusting::start().await;
    assert_eq!(world.seen(&world.token(json!({}))).await, 0);
    world.issuer.set_down(true);
    world.clock.advance_ms(MINUTE_MS);
    assert_eq!(world.seen(&world.token(json!({}))).await, 0);
    let unknown = IssuerKey::rsa("two").sign(Algorithm::RS256, &world.claims(json!({})), |_| {});
    world.refused(&unknown, "does not show the key").await;
    world = world.restart().await;
    assert_eq!(world.seen(&world.token(json!({"sub": "new-1"}))).await, 0, "also for somebody new");
    world.clock.advance_ms(6 * DAY_MS);
    assert_eq!(world.seen(&world.token(json!({}))).await, 0);
    world.clock.advance_ms(DAY_MS);
    let answer = world.get_as(&world.token(json!({})), SUBSCRIPTIONS).await.expect(503);
    assert_eq!(answer.code(), "ServiceUnavailable");
    world.issuer.set_down(false);
    world.clock.advance_ms(5_000);
    assert_eq!(world.seen(&world.token(json!({}))).await, 0, "and it comes back by itself");
}

#[tokio::test]
async fn without_keys_the_answer_is_503_until_the_issuer_is_there() {
    let world = Trusting::start().await;
    world.issuer.set_down(true);
    for _ in 0..3 {
        let _ = world.get_as(&world.token(json!({})), SUBSCRIPTIONS).await.expect(503);
    }
    assert_eq!(world.issuer.readings(), 1, "a server that is down is not stormed");
    world.issuer.set_down(false);
    world.issuer.pose_as("https://login.example.com/{tenantid}/v2.0");
    world.clock.advance_ms(5_000);
    let _ = world.get_as(&world.token(json!({})), SUBSCRIPTIONS).await.expect(503);
    world.issuer.pose_as(TestIssuer::NAME);
    world.issuer.show(&[]);
    world.clock.advance_ms(5_000);
    let _ = world.get_as(&world.token(json!({})), SUBSCRIPTIONS).await.expect(503);
    world.issuer.show(&[&world.key]);
    world.clock.advance_ms(5_000);
    assert_eq!(world.seen(&world.token(json!({}))).await, 0);
    // The built-in provider never depended on it.
    let _ = world.gallery.get(SUBSCRIPTIONS).await.expect(200);
}

#[tokio::test]
async fn newcomers_that_come_twice_at_once_are_one() {
    let world = Trusting::start().await;
    let token = world.token(json!({}));
    let all = (0..8).map(|_| world.get_as(&token, SUBSCRIPTIONS));
    let answers = futures::future::join_all(all).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let listed = world.graph(Method::GET, "users", None).await.expect(200).json();
    assert_eq!(listed["value"].as_array().expect("a list").len(), 1, "{listed}");
}

#[tokio::test]
async fn an_issuer_may_keep_built_in_users_out_and_the_operator_stays() {
    let world = Trusting::start_with(|issuer| issuer.built_in_users = false).await;
    let body = json!({
        "userPrincipalName": "ben@galerie.internal", "displayName": "Ben", "accountEnabled": true,
        "passwordProfile": {"password": "correct horse battery"}
    });
    let _ = world.graph(Method::POST, "users", Some(body)).await.expect(201);
    let identity = world.gallery.control.identity();
    let client = identity.client("04b07795-8ddb-461a-bbee-02f9e1bf7b46").await.expect("az");
    let typed = galerie_control::SignIn {
        tenant: None,
        user_name: "ben@galerie.internal".to_owned(),
        password: "correct horse battery".to_owned().into(),
        new_password: None,
        address: "here".to_owned(),
    };
    let refused = identity.sign_in(&client, typed).await;
    assert!(matches!(refused, Err(galerie_control::SignInError::Disabled)), "{refused:?}");
    assert_eq!(world.seen(&world.token(json!({}))).await, 0);
    let _ = world.gallery.get(SUBSCRIPTIONS).await.expect(200);
}

#[tokio::test]
async fn claims_are_read_where_the_configuration_says() {
    let world = Trusting::start_with(|issuer| {
        issuer.claims = ClaimNames {
            subject: "oid".to_owned(),
            user_name: "upn".to_owned(),
            groups: "/realm_access/roles".to_owned(),
            application: "idtyp".to_owned(),
            application_value: Some("app".to_owned()),
            ..ClaimNames::default()
        };
    })
    .await;
    let one =
        world.token(json!({"oid": "o-1", "sub": "pairwise-1", "upn": "x@y", "realm_access": {"roles": ["readers"]}}));
    let two = world.token(json!({"oid": "o-1", "sub": "pairwise-2"}));
    let me = world.me(&one).await;
    assert_eq!(me["userPrincipalName"], "x_y#EXT#@galerie.internal");
    assert_eq!(world.me(&two).await["id"], me["id"]);
    let own = world.token(json!({"oid": "o-2", "idtyp": "app", "azp": "nightly", "client_id": null}));
    assert_eq!(world.seen(&own).await, 0);
    let listed = world.graph(Method::GET, "servicePrincipals?$filter=displayName%20eq%20'nightly'", None).await;
    assert_eq!(listed.expect(200).json()["value"].as_array().expect("a list").len(), 1);
    world.refused(&world.token(json!({})), "whom it stands for").await;
}

#[tokio::test]
async fn an_issuer_that_cannot_be_trusted_keeps_the_gallery_from_starting() {
    let world = Trusting::start().await;
    assert_eq!(world.seen(&world.token(json!({}))).await, 0);
    let Trusting { gallery, issuer, .. } = world;
    let other = gallery.second_tenant().await;
    let trusted = |tenant: String, name: &str| ExternalIssuer {
        issuer: TestIssuer::NAME.to_owned(),
        tenant,
        audience: AUDIENCE.to_owned(),
        algorithms: SigningAlgorithm::ALL.to_vec(),
        claims: ClaimNames::default(),
        groups: BTreeMap::from([("g".to_owned(), name.to_owned())]),
        required_claims: Vec::new(),
        max_principals: 1000,
        built_in_users: true,
        documents: Arc::new(issuer.clone()),
    };
    let identity = gallery.control.identity();
    for (issuer, why) in [
        (trusted("nowhere.example".to_owned(), "G"), "not found"),
        (trusted(other.tenant.to_string(), "G"), "in another tenant already"),
        (trusted(gallery.tenant.to_string(), "\n"), "the group"),
    ] {
        let refused = identity.trust(vec![issuer]).await.expect_err(why).to_string();
        assert!(refused.contains(why) && refused.contains(TestIssuer::NAME), "{refused}");
    }
}

#[tokio::test]
async fn who_lacks_a_required_claim_does_not_become_an_object() {
    let world = Trusting::start_with(|trusted| {
        let required = |name: &str, values: &[&str]| RequiredClaim {
            name: name.to_owned(),
            values: values.iter().map(|value| json!(value)).collect(),
        };
        trusted.required_claims = vec![required("tid", &["t-1"]), required("roles", &["images", "admins"])];
    })
    .await;
    for lacking in [
        json!({}),
        json!({ "tid": "t-1" }),
        json!({ "tid": "t-2", "roles": ["images"] }),
        json!({ "tid": "t-1", "roles": ["mail"] }),
        json!({ "tid": "t-1", "roles": "images admins" }),
        json!({ "tid": ["t-2"], "roles": ["images"] }),
    ] {
        world.refused(&world.token(lacking), "required_claims").await;
    }
    let there = async || {
        let listed = world.graph(Method::GET, "users", None).await.expect(200).json();
        listed["value"].as_array().expect("a list").len()
    };
    assert_eq!(there().await, 0);
    assert_eq!(world.seen(&world.token(json!({ "tid": "t-1", "roles": ["mail", "admins"] }))).await, 0);
    assert_eq!(there().await, 1);
    // Whoever is there needs it with every token.
    world.refused(&world.token(json!({ "tid": "t-1" })), "required_claims").await;
}

#[tokio::test]
async fn an_issuer_brings_as_many_principals_as_it_may() {
    let world = Trusting::start_with(|trusted| trusted.max_principals = 3).await;
    let person = |number: u32| world.token(json!({ "sub": format!("p-{number}") }));
    let job = world.token(json!({ "sub": "nightly", "client_id": "nightly" }));
    for token in [&person(1), &job, &person(2)] {
        assert_eq!(world.seen(token).await, 0);
    }
    for token in [&person(3), &world.token(json!({ "sub": "weekly", "client_id": "weekly" }))] {
        let refused = world.get_as(token, SUBSCRIPTIONS).await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "Directory_QuotaExceeded"), "{refused}");
        assert!(refused.to_string().contains("max_principals"), "{refused}");
    }
    for token in [&person(1), &job, &person(2)] {
        assert_eq!(world.seen(token).await, 0, "who is there stays welcome");
    }
    // A place that becomes free is another's.
    let two = world.me(&person(2)).await["id"].as_str().expect("an id").to_owned();
    let _ = world.graph(Method::DELETE, &format!("users/{two}"), None).await.expect(204);
    assert_eq!(world.seen(&person(3)).await, 0);
    let refused = world.get_as(&person(2), SUBSCRIPTIONS).await;
    assert_eq!(refused.status, 403, "{refused}");
    let world = world.restart().await;
    assert_eq!(world.seen(&world.token(json!({ "sub": "p-3" }))).await, 0);
    assert_eq!(world.get_as(&world.token(json!({ "sub": "p-4" })), SUBSCRIPTIONS).await.status, 403);
}
