//! Mass assignment: what belongs to the service cannot be sent by a client.
//!
//! For every type that has a body, members that the service owns are sent, one at a time, with each write: of something that
//! is there, beside a body that is good, and of something new. Whether such a write is refused or the member is ignored,
//! what a client sent is in no document afterwards, and what was there is as it was.

use axum::http::Method;
use galerie_testkit::{Answer, Gallery};
use serde_json::{Map, Value, json};

use crate::graph::Graph;

/// What is sent as an id, and looked for afterwards.
const PLANTED_ID: &str = "5e471e15-0000-4000-8000-5e471e155e47";
/// What is sent as a text.
const PLANTED: &str = "planted-5e471e15";
/// What is sent as a time.
const PLANTED_TIME: &str = "1999-05-04T03:02:01Z";
const GROUP: &str = "{s}/resourceGroups/rg";
const COMPUTE: &str = "{s}/resourceGroups/rg/providers/Microsoft.Compute";
const AUTHORIZATION: &str = "{s}/resourceGroups/rg/providers/Microsoft.Authorization";

/// A type, and a body that makes one.
struct Row {
    /// The path of one; `{n}` is its name.
    path: String,
    api_version: &'static str,
    names: [&'static str; 2],
    body: Value,
    /// A change that PATCH carries out; `None` when the type has no PATCH.
    patch: Option<Value>,
    /// Members of this type alone.
    own: Vec<(&'static str, Value)>,
}

/// Members that every resource of ARM has.
fn of_every_resource() -> Vec<(&'static str, Value)> {
    vec![
        ("id", json!(format!("/subscriptions/{PLANTED_ID}"))),
        ("name", json!(PLANTED)),
        ("type", json!(PLANTED)),
        ("etag", json!(PLANTED)),
        ("owner", json!(PLANTED_ID)),
        ("owners", json!([PLANTED_ID])),
        ("tenantId", json!(PLANTED_ID)),
        ("createdBy", json!(PLANTED)),
        ("systemData", json!({ "createdBy": PLANTED, "createdAt": PLANTED_TIME, "lastModifiedBy": PLANTED })),
        ("properties.provisioningState", json!(PLANTED)),
        ("properties.uniqueId", json!(PLANTED_ID)),
        ("properties.timeCreated", json!(PLANTED_TIME)),
        ("properties.tenantId", json!(PLANTED_ID)),
        ("properties.principalId", json!(PLANTED_ID)),
        ("properties.createdBy", json!(PLANTED)),
        ("properties.createdOn", json!(PLANTED_TIME)),
        ("properties.isOperator", json!(PLANTED)),
        ("properties.administrator", json!(PLANTED)),
    ]
}

fn rows(gallery: &Gallery) -> Vec<Row> {
    let compute = |path: &str| format!("{COMPUTE}/{path}");
    let id = |path: &str| gallery.path(&compute(path));
    let here = |properties: Value| json!({ "location": "eastus", "properties": properties });
    let tags = Some(json!({ "tags": { "a": "b" } }));
    let definition = json!({ "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
        "identifier": { "publisher": "p", "offer": "{n}", "sku": "s" } });
    let version = json!({ "storageProfile": { "osDiskImage": { "source": { "id": id("disks/source") } } } });
    let copy = json!({ "creationData": { "createOption": "Copy", "sourceResourceId": id("disks/source") } });
    let image = json!({ "hyperVGeneration": "V2", "storageProfile": { "osDisk": {
        "osType": "Linux", "osState": "Generalized", "managedDisk": { "id": id("disks/source") } } } });
    let role = json!({ "properties": { "roleName": "{n}", "type": "CustomRole", "description": "",
        "permissions": [{ "actions": ["*/read"] }], "assignableScopes": [gallery.path(GROUP)] } });
    let of_disks = || {
        vec![
            ("properties.diskState", json!(PLANTED)),
            ("properties.diskSizeBytes", json!(5_471_547)),
            ("properties.incrementalSnapshotFamilyId", json!(PLANTED_ID)),
            ("properties.creationData.sourceUniqueId", json!(PLANTED_ID)),
            ("managedBy", json!(PLANTED)),
            ("managedByExtended", json!([PLANTED])),
        ]
    };
    vec![
        Row {
            path: "{s}/resourceGroups/{n}".to_owned(),
            api_version: "2024-11-01",
            names: ["one", "two"],
            body: json!({ "location": "eastus" }),
            patch: tags.clone(),
            own: Vec::new(),
        },
        Row {
            path: compute("galleries/{n}"),
            api_version: "2024-03-03",
            names: ["one", "two"],
            body: here(json!({ "description": "mine" })),
            patch: tags.clone(),
            own: vec![
                ("properties.identifier", json!({ "uniqueName": PLANTED })),
                ("properties.sharingStatus", json!({ "aggregatedState": PLANTED })),
                ("properties.sharingProfile", json!({ "groups": [{ "type": "Subscriptions", "ids": [PLANTED_ID] }] })),
            ],
        },
        Row {
            path: compute("galleries/one/images/{n}"),
            api_version: "2024-03-03",
            names: ["one", "two"],
            body: here(definition),
            patch: tags.clone(),
            own: Vec::new(),
        },
        Row {
            path: compute("galleries/one/images/one/versions/{n}"),
            api_version: "2024-03-03",
            names: ["1.0.0", "2.0.0"],
            body: here(version),
            patch: tags.clone(),
            own: vec![
                ("properties.publishingProfile.publishedDate", json!(PLANTED_TIME)),
                ("properties.storageProfile.osDiskImage.sizeInGB", json!(5_471_547)),
                ("properties.replicationStatus", json!({ "aggregatedState": PLANTED })),
                ("properties.safetyProfile.reportedForPolicyViolation", json!(PLANTED)),
                ("properties.securityProfile.owner", json!(PLANTED)),
            ],
        },
        Row {
            path: compute("images/{n}"),
            api_version: "2024-07-01",
            names: ["one", "two"],
            body: here(image),
            patch: tags.clone(),
            own: Vec::new(),
        },
        Row {
            path: compute("disks/{n}"),
            api_version: "2025-01-02",
            names: ["one", "two"],
            body: here(json!({ "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 })),
            patch: tags.clone(),
            own: of_disks(),
        },
        Row {
            path: compute("snapshots/{n}"),
            api_version: "2025-01-02",
            names: ["one", "two"],
            body: here(copy),
            patch: tags,
            own: of_disks(),
        },
        Row {
            path: format!("{AUTHORIZATION}/roleDefinitions/{{n}}"),
            api_version: "2022-04-01",
            names: ["11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"],
            body: role,
            patch: None,
            own: vec![
                ("properties.type", json!("BuiltInRole")),
                ("properties.createdBy", json!(PLANTED_ID)),
                ("properties.updatedBy", json!(PLANTED_ID)),
                ("properties.updatedOn", json!(PLANTED_TIME)),
            ],
        },
        Row {
            path: "/providers/Microsoft.Subscription/aliases/{n}".to_owned(),
            api_version: "2021-10-01",
            names: ["one", "two"],
            body: json!({ "properties": { "displayName": "Same", "workload": "Production", "billingScope": "x" } }),
            patch: None,
            own: vec![
                ("properties.subscriptionId", json!(PLANTED_ID)),
                ("properties.additionalProperties.subscriptionOwnerId", json!(PLANTED_ID)),
                ("properties.additionalProperties.subscriptionTenantId", json!(PLANTED_ID)),
            ],
        },
    ]
}

/// A body with one more member; `dotted` is where.
fn with(mut body: Value, dotted: &str, value: &Value) -> Value {
    let mut at = &mut body;
    let (above, last) = dotted.rsplit_once('.').map_or((None, dotted), |(above, last)| (Some(above), last));
    for name in above.into_iter().flat_map(|above| above.split('.')) {
        if !at[name].is_object() {
            at[name] = json!({});
        }
        at = &mut at[name];
    }
    match value.as_object().filter(|_| at[last].is_object()) {
        Some(more) => more.iter().for_each(|(name, value)| at[last][name.as_str()] = value.clone()),
        None => at[last] = value.clone(),
    }
    body
}

/// A document without what each accepted write changes, and what is made anew for each resource; and without objects that
/// hold nothing (a profile whose only member was ignored).
fn lasting(mut document: Value, masked: &[&str]) -> Value {
    fn strip(value: &mut Value, masked: &[&str]) {
        match value {
            Value::Object(object) => {
                object.retain(|name, _| !masked.contains(&name.as_str()));
                object.values_mut().for_each(|value| strip(value, masked));
                object.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
            }
            Value::Array(list) => list.iter_mut().for_each(|value| strip(value, masked)),
            _ => {}
        }
    }
    strip(&mut document, masked);
    document
}

/// What a write may change: when it was.
const OF_A_WRITE: [&str; 5] = ["etag", "lastModifiedAt", "updatedOn", "updatedBy", "tags"];
/// What two resources have each for itself.
const OF_A_RESOURCE: [&str; 11] = [
    "id",
    "name",
    "uniqueId",
    "uniqueName",
    "timeCreated",
    "publishedDate",
    "createdAt",
    "createdOn",
    "roleName",
    "offer",
    "subscriptionId",
];

/// What of what was sent is in a document.
fn planted_in(document: &Value) -> Option<&'static str> {
    let text = document.to_string();
    let sent = [PLANTED, PLANTED_ID, PLANTED_TIME.trim_end_matches('Z'), "5471547", "BuiltInRole"];
    sent.into_iter().find(|planted| text.contains(planted))
}

fn check_nothing_planted(what: &str, document: &Value) {
    assert_eq!(planted_in(document), None, "{what}: {document}");
}

/// What is wrong with a document after a write; `masked` may differ from how it was before.
fn wrong_in(what: &str, after: Value, before: &Value, masked: &[&str]) -> Option<String> {
    if let Some(planted) = planted_in(&after) {
        return Some(format!("{what}: {planted} was taken over: {after}"));
    }
    let (after, before) = (lasting(after, masked), lasting(before.clone(), masked));
    (after != before).then(|| format!("{what}: {before} became {after}"))
}

/// Waits for what was accepted; what was refused is the client's fault.
async fn settle(gallery: &Gallery, what: &str, answer: &Answer) -> bool {
    assert!(answer.status < 500, "{what}: {answer}");
    if answer.status >= 400 {
        return false;
    }
    if answer.header("azure-asyncoperation").is_some() {
        gallery.succeeded(answer).await;
    } else if answer.status == 202 {
        let result = gallery.result_of(answer).await;
        assert!(result.status < 300, "{what}: {result}");
    }
    true
}

#[tokio::test]
async fn what_is_the_services_is_not_a_clients_to_send_to_arm() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    gallery.upload_disk(&format!("{COMPUTE}/disks/source"), "eastus", &vec![1; 20 << 20]).await;
    let (mut ignored, mut refused, mut wrong) = (0, 0, Vec::new());
    for row in rows(&gallery) {
        let [one, two] = row.names.map(|name| row.path.replace("{n}", name));
        let [url, twin_url] = [&one, &two].map(|path| format!("{path}?api-version={}", row.api_version));
        let [body, twin_body] = row
            .names
            .map(|name| serde_json::from_str::<Value>(&row.body.to_string().replace("{n}", name)).expect("a body"));
        assert!(settle(&gallery, &url, &gallery.put(&url, body.clone()).await).await, "{url}: a good body");
        let before = gallery.get(&url).await.expect(200).json();
        let members = of_every_resource().into_iter().chain(row.own.iter().cloned());
        for (member, value) in members {
            let changes = row.patch.iter().map(|patch| (Method::PATCH, with(patch.clone(), member, &value)));
            for (method, sent) in std::iter::once((Method::PUT, with(body.clone(), member, &value))).chain(changes) {
                let what = format!("{method} {url} with {member}");
                let answer = gallery.call(method, &url, Some(sent)).await;
                let is_ignored = settle(&gallery, &what, &answer).await;
                ignored += u32::from(is_ignored);
                refused += u32::from(!is_ignored);
                let after = gallery.get(&url).await.expect(200).json();
                wrong.extend(wrong_in(&what, after, &before, &OF_A_WRITE));
            }
            // Something new: as its twin that was made without the member, or not made at all.
            let what = format!("PUT {twin_url}, new, with {member}");
            let answer = gallery.put(&twin_url, with(twin_body.clone(), member, &value)).await;
            if settle(&gallery, &what, &answer).await {
                let made = gallery.get(&twin_url).await.expect(200).json();
                let masked = [&OF_A_WRITE[..], &OF_A_RESOURCE[..]].concat();
                wrong.extend(wrong_in(&what, made, &before, &masked));
                let deleted = gallery.delete(&twin_url).await;
                assert!(settle(&gallery, &what, &deleted).await, "{what}: {deleted}");
            } else {
                let absent = gallery.get(&twin_url).await;
                wrong.extend((absent.status != 404).then(|| format!("{what}: refused, and yet {absent}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Both happen: ARM's clients send back what they read, and what nobody reads is an error.
    assert!(ignored > 0 && refused > 0, "{ignored} ignored, {refused} refused");
}

/// Actions and assignments: bodies whose members name others.
#[tokio::test]
async fn actions_and_assignments_take_nothing_that_is_the_services() {
    let gallery = Gallery::start().await;
    let graph_made = gallery.control.bootstrapped().await.expect("a first start");
    gallery.make_group("rg", "eastus").await;
    let reader = "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let name = "11111111-2222-3333-4444-555555555555";
    let url = format!("{AUTHORIZATION}/roleAssignments/{name}?api-version=2022-04-01");
    let body = json!({ "properties": { "roleDefinitionId": reader, "principalId": graph_made.principal } });
    let _ = gallery.put(&url, body.clone()).await.expect(201);
    let before = gallery.get(&url).await.expect(200).json();
    for (member, value) in [
        ("id", json!(format!("/subscriptions/{PLANTED_ID}"))),
        ("name", json!(PLANTED_ID)),
        ("type", json!(PLANTED)),
        ("properties.scope", json!("/")),
        ("properties.createdBy", json!(PLANTED_ID)),
        ("properties.updatedBy", json!(PLANTED_ID)),
        ("properties.createdOn", json!(PLANTED_TIME)),
        ("properties.updatedOn", json!(PLANTED_TIME)),
        ("properties.principalId", json!(PLANTED_ID)),
        ("properties.isOperator", json!(PLANTED)),
        ("properties.delegatedManagedIdentityResourceId", json!(PLANTED)),
    ] {
        let what = format!("an assignment with {member}");
        let answer = gallery.put(&url, with(body.clone(), member, &value)).await;
        settle(&gallery, &what, &answer).await;
        let after = gallery.get(&url).await.expect(200).json();
        check_nothing_planted(&what, &after);
        assert_eq!(lasting(after, &OF_A_WRITE), lasting(before.clone(), &OF_A_WRITE), "{what}");
    }

    let disk = format!("{COMPUTE}/disks/d");
    let empty =
        json!({ "location": "eastus", "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
    let made = gallery.put(&format!("{disk}?api-version=2025-01-02"), empty).await;
    gallery.succeeded(&made).await;
    let good = json!({ "access": "Read", "durationInSeconds": 60 });
    for (member, value) in [
        ("accessSAS", json!(PLANTED)),
        ("initiator", json!(PLANTED_ID)),
        ("grantId", json!(PLANTED_ID)),
        ("fileFormat", json!(PLANTED)),
        ("expiresAt", json!("2999-01-01T00:00:00Z")),
    ] {
        let what = format!("access with {member}");
        let path = format!("{disk}/beginGetAccess?api-version=2025-01-02");
        let answer = gallery.post(&path, Some(with(good.clone(), member, &value))).await;
        if settle(&gallery, &what, &answer).await {
            let granted = gallery.result_of(&answer).await.expect(200).json();
            check_nothing_planted(&what, &granted);
            assert!(!granted.to_string().contains("2999"), "{what}: {granted}");
        }
        let shown = gallery.get(&format!("{disk}?api-version=2025-01-02")).await.expect(200).json();
        check_nothing_planted(&what, &shown);
    }

    let shared = json!({ "location": "eastus", "properties": { "sharingProfile": { "permissions": "Groups" } } });
    let gallery_url = format!("{COMPUTE}/galleries/g");
    let made = gallery.put(&format!("{gallery_url}?api-version=2024-03-03"), shared).await;
    gallery.succeeded(&made).await;
    let with_whom = "22222222-2222-2222-2222-222222222222";
    let good = json!({ "operationType": "Add", "groups": [{ "type": "Subscriptions", "ids": [with_whom] }] });
    for (member, value) in [
        ("owner", json!(PLANTED_ID)),
        ("permissions", json!("Community")),
        ("communityGalleryInfo", json!({ "publicNames": [PLANTED] })),
        ("sharingStatus", json!(PLANTED)),
    ] {
        let what = format!("share with {member}");
        let path = format!("{gallery_url}/share?api-version=2024-03-03");
        let answer = gallery.post(&path, Some(with(good.clone(), member, &value))).await;
        settle(&gallery, &what, &answer).await;
        let shown = format!("{gallery_url}?api-version=2024-03-03&$select=Permissions&$expand=SharingProfile/Groups");
        let shown = gallery.get(&shown).await.expect(200).json();
        check_nothing_planted(&what, &shown);
        assert_eq!(shown["properties"]["sharingProfile"]["permissions"], "Groups", "{what}");
    }
}

/// A type of Graph, and a body that makes one.
struct Entity {
    collection: &'static str,
    body: Value,
    patch: Value,
    own: Vec<(&'static str, Value)>,
}

/// Members that every object of Graph has, or that a careless server would take.
fn of_every_object() -> Vec<(&'static str, Value)> {
    vec![
        ("id", json!(PLANTED_ID)),
        ("objectId", json!(PLANTED_ID)),
        ("createdDateTime", json!(PLANTED_TIME)),
        ("deletedDateTime", json!(PLANTED_TIME)),
        ("tenantId", json!(PLANTED_ID)),
        ("appOwnerOrganizationId", json!(PLANTED_ID)),
        ("owners", json!([{ "id": PLANTED_ID }])),
        ("owners@odata.bind", json!([format!("https://localhost:8443/msgraph/v1.0/directoryObjects/{PLANTED_ID}")])),
        ("memberOf", json!([{ "id": PLANTED_ID }])),
        ("administrator", json!(true)),
        ("isOperator", json!(true)),
        ("isAdmin", json!(true)),
        ("roles", json!(["Global Administrator"])),
        ("directoryRoles", json!([PLANTED_ID])),
        ("passwordHash", json!(PLANTED)),
        ("credentials", json!([{ "hash": PLANTED }])),
        ("document", json!({ "administrator": true })),
        ("__proto__", json!({ "administrator": true })),
    ]
}

fn entities(unused_app_id: &str) -> Vec<Entity> {
    let secret = || json!([{ "keyId": PLANTED_ID, "secretText": PLANTED, "hint": "pla" }]);
    vec![
        Entity {
            collection: "users",
            body: json!({ "userPrincipalName": "new@galerie.internal", "displayName": "new", "mailNickname": "new",
                "accountEnabled": true, "passwordProfile": { "password": "correct horse" } }),
            patch: json!({ "jobTitle": "Countess" }),
            own: vec![
                ("userType", json!("Guest")),
                ("creationType", json!(PLANTED)),
                ("signInSessionsValidFromDateTime", json!(PLANTED_TIME)),
                ("lastPasswordChangeDateTime", json!(PLANTED_TIME)),
                ("onPremisesImmutableId", json!(PLANTED)),
                ("passwordProfile.hash", json!(PLANTED)),
                ("passwordPolicies", json!("DisablePasswordExpiration")),
            ],
        },
        Entity {
            collection: "groups",
            body: json!({ "displayName": "new", "mailNickname": "new", "mailEnabled": false, "securityEnabled": true }),
            patch: json!({ "description": "described" }),
            own: vec![
                ("members", json!([{ "id": PLANTED_ID }])),
                ("members@odata.bind", json!([format!("https://localhost:8443/msgraph/v1.0/users/{PLANTED_ID}")])),
                ("isAssignableToRole", json!(true)),
                ("securityIdentifier", json!(PLANTED)),
            ],
        },
        Entity {
            collection: "applications",
            body: json!({ "displayName": "new" }),
            patch: json!({ "notes": "noted" }),
            own: vec![
                ("appId", json!(PLANTED_ID)),
                ("publisherDomain", json!(PLANTED)),
                ("passwordCredentials", secret()),
                ("verifiedPublisher", json!({ "displayName": PLANTED })),
            ],
        },
        Entity {
            collection: "servicePrincipals",
            body: json!({ "appId": unused_app_id, "accountEnabled": true }),
            patch: json!({ "notes": "noted" }),
            own: vec![
                ("displayName", json!(PLANTED)),
                ("appDisplayName", json!(PLANTED)),
                ("servicePrincipalType", json!(PLANTED)),
                ("servicePrincipalNames", json!([PLANTED])),
                ("passwordCredentials", secret()),
                ("appRoles", json!([{ "value": PLANTED }])),
                ("oauth2PermissionScopes", json!([{ "value": PLANTED }])),
            ],
        },
    ]
}

async fn ids(graph: &Graph, collection: &str) -> Vec<String> {
    let listed = graph.get(collection).await.expect(200).json();
    let listed = listed["value"].as_array().expect("a list").iter();
    let mut ids: Vec<String> = listed.map(|item| item["id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn what_is_the_services_is_not_a_clients_to_send_to_graph() {
    let graph = Graph::start().await;
    let application = graph.post("applications", json!({ "displayName": "unused" })).await.expect(201).json();
    let unused = application["appId"].as_str().expect("a client id").to_owned();
    for Entity { collection, body, patch, own } in entities(&unused) {
        let members: Vec<_> = of_every_object().into_iter().chain(own).collect();
        // First what is new: nothing of it is left when it is refused.
        let known = ids(&graph, collection).await;
        for (member, value) in &members {
            let answer = graph.post(collection, with(body.clone(), member, value)).await;
            assert_eq!(answer.status, 400, "POST {collection} with {member}: {answer}");
            assert_eq!(ids(&graph, collection).await, known, "POST {collection} with {member}");
        }
        let made = graph.post(collection, body).await.expect(201).json();
        let path = format!("{collection}/{}", made["id"].as_str().expect("an id"));
        let before = graph.get(&path).await.expect(200).json();
        for (member, value) in &members {
            let what = format!("PATCH {path} with {member}");
            let answer = graph.call(Method::PATCH, &path, Some(with(patch.clone(), member, value))).await;
            assert_eq!(answer.status, 400, "{what}: {answer}");
            assert_eq!(graph.get(&path).await.expect(200).json(), before, "{what}");
            let roles = graph.get("roleManagement/directory/roleAssignments").await.expect(200).json();
            assert!(!roles.to_string().contains(made["id"].as_str().expect("an id")), "{what}");
        }
        let _ = graph.call(Method::PATCH, &path, Some(patch)).await.expect(204);
    }
}

#[tokio::test]
async fn secrets_references_and_roles_take_nothing_that_is_the_services() {
    let graph = Graph::start().await;
    let application = graph.post("applications", json!({ "displayName": "new" })).await.expect(201).json();
    let path = format!("applications/{}", application["id"].as_str().expect("an id"));
    for (member, value) in [
        ("secretText", json!(PLANTED)),
        ("keyId", json!(PLANTED_ID)),
        ("hint", json!("pla")),
        ("customKeyIdentifier", json!(PLANTED)),
        ("hash", json!(PLANTED)),
        ("owner", json!(PLANTED_ID)),
    ] {
        let body = json!({ "passwordCredential": with(json!({ "displayName": "d" }), member, &value) });
        let answer = graph.post(&format!("{path}/addPassword"), body).await;
        if answer.status == 200 {
            check_nothing_planted(member, &answer.json());
            assert_ne!(answer.json()["hint"], "pla", "{member}");
        } else {
            assert_eq!(answer.status, 400, "{member}: {answer}");
        }
    }
    check_nothing_planted("secrets", &graph.get(&path).await.expect(200).json());

    let user = graph.user("ada", "correct horse").await;
    let global = "62e90394-69f5-4237-9190-012177145e10";
    let good = json!({ "principalId": user, "roleDefinitionId": global });
    for (member, value) in [
        ("id", json!(PLANTED_ID)),
        ("directoryScopeId", json!(format!("/{PLANTED_ID}"))),
        ("appScopeId", json!(PLANTED)),
        ("principal", json!({ "id": PLANTED_ID })),
        ("roleDefinition", json!({ "id": PLANTED_ID })),
        ("condition", json!(PLANTED)),
    ] {
        let assignments = "roleManagement/directory/roleAssignments";
        let answer = graph.post(assignments, with(good.clone(), member, &value)).await;
        assert_eq!(answer.status, 400, "{member}: {answer}");
        let held = graph.get(assignments).await.expect(200).json();
        assert!(!held.to_string().contains(&user), "{member}: {held}");
    }
    let group = graph.post("groups", json!({ "displayName": "g" })).await.expect(201).json();
    let members = format!("groups/{}/members", group["id"].as_str().expect("an id"));
    let mut reference = Map::new();
    reference.insert("@odata.id".to_owned(), json!(format!("https://localhost:8443/msgraph/v1.0/users/{user}")));
    for member in ["id", "roles", "isOwner"] {
        let mut body = reference.clone();
        body.insert(member.to_owned(), json!(PLANTED_ID));
        let answer = graph.post(&format!("{members}/$ref"), Value::Object(body)).await;
        assert_eq!(answer.status, 400, "{member}: {answer}");
        assert_eq!(graph.get(&members).await.json()["value"], json!([]), "{member}");
    }
}
