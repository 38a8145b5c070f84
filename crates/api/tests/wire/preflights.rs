//! What az asks before and beside its real requests.

use axum::http::Method;
use galerie_testkit::Gallery;

#[tokio::test]
async fn sign_in_reads() {
    let gallery = Gallery::start().await;
    let subscriptions = gallery.get("/subscriptions?api-version=2022-12-01").await.expect(200).json();
    let first = &subscriptions["value"][0];
    assert_eq!(first["subscriptionId"], gallery.subscription.to_string());
    assert_eq!(first["tenantId"], gallery.tenant.to_string());
    assert_eq!(first["state"], "Enabled");
    assert!(first["id"].is_string() && first["displayName"].is_string() && first["managedByTenants"].is_array());
    let tenants = gallery.get("/tenants?api-version=2022-12-01").await.expect(200).json();
    assert_eq!(tenants["value"][0]["tenantId"], gallery.tenant.to_string());
    assert_eq!(gallery.get("{s}?api-version=2022-12-01").await.status, 200);
    let locations = gallery.get("{s}/locations?api-version=2022-12-01").await.expect(200).json();
    assert_eq!(locations["value"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        (&locations["value"][0]["name"], &locations["value"][0]["displayName"]),
        (&"eastus".into(), &"East US".into())
    );
    assert!(locations["value"][0]["metadata"]["regionType"].is_string());
}

#[tokio::test]
async fn providers_and_features() {
    let gallery = Gallery::start().await;
    let one = gallery.get("{s}/providers/microsoft.compute?api-version=2022-12-01").await.expect(200).json();
    assert_eq!((&one["namespace"], &one["registrationState"]), (&"Microsoft.Compute".into(), &"Registered".into()));
    let types = one["resourceTypes"].as_array().expect("types");
    let versions = types.iter().find(|found| found["resourceType"] == "galleries/images/versions").expect("versions");
    assert!(versions["apiVersions"][0].is_string() && versions["locations"][0] == "East US");
    let all = gallery.get("{s}/providers?api-version=2022-12-01").await.expect(200).json();
    assert!(all["value"].as_array().is_some_and(|all| all.len() >= 2));
    let register = "{s}/providers/Microsoft.Compute/register?api-version=2022-12-01";
    assert_eq!(gallery.post(register, None).await.expect(200).json()["registrationState"], "Registered");
    let unknown = gallery.get("{s}/providers/Microsoft.Nothing?api-version=2022-12-01").await;
    assert_eq!(unknown.code(), "InvalidResourceNamespace");
    let feature = "{s}/providers/Microsoft.Features/providers/Microsoft.Compute/features/SIGSoftDelete/register?api-version=2021-07-01";
    let feature = gallery.post(feature, None).await.expect(200).json();
    assert_eq!(
        (&feature["properties"]["state"], &feature["name"]),
        (&"Registered".into(), &"Microsoft.Compute/SIGSoftDelete".into())
    );
}

#[tokio::test]
async fn looking_for_a_virtual_machine_finds_none() {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    let base = "{s}/resourceGroups/rg/providers/Microsoft.Compute";
    for name in ["d1", "https:", "https%3A"] {
        let answer = gallery.get(&format!("{base}/virtualMachines/{name}?api-version=2026-04-01")).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "ResourceNotFound"), "{name}");
    }
    for kind in ["snapshots", "disks", "images"] {
        let answer = gallery.get(&format!("{base}/{kind}/none?api-version=2025-01-02")).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "ResourceNotFound"), "{kind}");
        assert_eq!(
            gallery.call(Method::HEAD, &format!("{base}/{kind}/none?api-version=2025-01-02"), None).await.status,
            404
        );
    }
    let listed = gallery.get("{s}/providers/Microsoft.Compute/virtualMachines?api-version=2026-04-01").await;
    assert_eq!(listed.expect(200).json()["value"].as_array().map(Vec::len), Some(0));
}
