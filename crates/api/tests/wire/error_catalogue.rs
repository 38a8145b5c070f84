//! The errors of Azure Compute Gallery that are known from its documentation, from recordings and from issues: each with its status,
//! code, text and target, produced by a request.
//!
//! In the texts `*` stands for what differs from request to request. `CANNOT_HAPPEN` has those that cannot be produced here.

use axum::http::Method;
use galerie_testkit::{Gallery, RegionTrouble};
use serde_json::{Value, json};

use crate::{described::GROUP, faults::troubled};

/// An error, and the request that meets it.
struct Row {
    method: &'static str,
    /// Below the group's `Microsoft.Compute`, or from the root.
    path: &'static str,
    body: Value,
    status: u16,
    code: &'static str,
    text: &'static str,
    target: Option<&'static str>,
}

/// Errors of the catalogue that nothing here can cause: (how they begin, why).
const CANNOT_HAPPEN: &[(&str, &str)] = &[
    ("Required parameter 'hyperVGeneration' is missing", "the generation has a default; 'osType' stands for the rule"),
    ("In region R, the following list of Shared Image Gallery images", "there are no template deployments"),
    ("ZRS storage account type is not supported in this region", "every region records every storage account type"),
    ("Global storage account type does not match", "the type never changes: PropertyChangeNotAllowed says so"),
    (
        "Operation 'Update Gallery Image Version' is not allowed on V",
        "what is accepted for deletion is gone at once: 404",
    ),
    ("Parameter 'osProfile' is not allowed", "there are no virtual machines"),
    ("Required parameter 'osProfile' is missing", "there are no virtual machines"),
];

#[tokio::test]
async fn every_error_of_the_catalogue_has_its_status_code_text_and_target() {
    let gallery = prepared().await;
    assert!(CANNOT_HAPPEN.iter().all(|(error, reason)| !error.is_empty() && !reason.is_empty()));
    let mut faults = Vec::new();
    for row in rows(&gallery) {
        let path = if row.path.starts_with("{s}") { row.path.to_owned() } else { format!("{GROUP}/{}", row.path) };
        let version = if path.contains("/disks/") { "2024-03-02" } else { "2024-03-03" };
        let body = (row.method != "GET" && row.method != "DELETE").then(|| row.body.clone());
        let method: Method = row.method.parse().expect("a method");
        let answer = gallery.call(method, &format!("{path}?api-version={version}"), body).await;
        if answer.status < 400 {
            faults.push(format!("{} {path}: not refused: {answer}", row.method));
            continue;
        }
        let error = answer.json()["error"].clone();
        let text = error["message"].as_str().unwrap_or_default();
        let is_right = answer.status == row.status
            && error["code"] == row.code
            && is_like(row.text, text)
            && error.get("target").and_then(Value::as_str) == row.target;
        if !is_right {
            faults.push(format!(
                "{} {path}: not {} {} '{}' {:?}: {answer}",
                row.method, row.status, row.code, row.text, row.target
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The one that no answer has, but the operation that was accepted.
#[tokio::test]
async fn a_region_that_fails_fails_the_version_with_the_catalogues_error() {
    let (gallery, path, body) = troubled(RegionTrouble { failing_copies: 1, ..RegionTrouble::default() }).await;
    let error = gallery.status_of(&gallery.put(&path, body).await.expect(201)).await["error"].clone();
    assert_eq!((error["code"].as_str(), error.get("target")), (Some("GalleryReplicationFailed"), None), "{error}");
    let text = "Gallery replication jobs failed in one or more regions. The failing regions' details are as follows: \
                '{region:westus, detail:*injected fault*}'";
    assert!(is_like(text, error["message"].as_str().unwrap_or_default()), "{error}");
}

/// A gallery with a definition and a version, disks and images that fit it, and some that do not.
async fn prepared() -> Gallery {
    let gallery = Gallery::start().await;
    gallery.make_group("rg", "eastus").await;
    gallery.make_group("other", "eastus").await;
    let make = async |path: &str, version: &str, body: Value| {
        let accepted = gallery.put(&format!("{GROUP}/{path}?api-version={version}"), body).await;
        gallery.succeeded(&accepted).await;
    };
    let id = |path: &str| gallery.path(&format!("{GROUP}/{path}"));
    for (name, os, generation, location) in [
        ("linux", "Linux", "V2", "eastus"),
        ("data", "Linux", "V2", "eastus"),
        ("windows", "Windows", "V2", "eastus"),
        ("first", "Linux", "V1", "eastus"),
        ("far", "Linux", "V2", "westus"),
    ] {
        let body = json!({ "location": location, "properties": { "osType": os, "hyperVGeneration": generation,
            "creationData": { "createOption": "Empty" }, "diskSizeGB": 1 } });
        make(&format!("disks/{name}"), "2024-03-02", body).await;
    }
    for (name, state) in [("image", "Generalized"), ("special", "Specialized")] {
        let body = json!({ "location": "eastus", "properties": { "hyperVGeneration": "V2", "storageProfile": { "osDisk": {
            "osType": "Linux", "osState": state, "managedDisk": { "id": id("disks/linux") } } } } });
        make(&format!("images/{name}"), "2024-11-01", body).await;
    }
    gallery.make_definition("rg", "g", "i", "eastus").await;
    let empty = json!({ "location": "eastus", "properties": { "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
        "identifier": { "publisher": "p", "offer": "empty", "sku": "s" } } });
    make("galleries/g/images/empty", "2024-03-03", empty).await;
    let version = json!({ "location": "eastus", "properties": {
        "storageProfile": { "osDiskImage": { "source": { "id": id("disks/linux") } }, "dataDiskImages": [{ "lun": 0, "source": { "id": id("disks/data") } }] },
        "publishingProfile": { "endOfLifeDate": "2099-01-01T00:00:00Z" }, "safetyProfile": { "blockDeletionBeforeEndOfLife": true } } });
    make("galleries/g/images/i/versions/1.0.0", "2024-03-03", version).await;
    gallery
}

fn rows(gallery: &Gallery) -> Vec<Row> {
    let id = |path: &str| gallery.path(&format!("{GROUP}/{path}"));
    let here = |properties: Value| json!({ "location": "eastus", "properties": properties });
    let definition = |changes: Value| {
        let mut properties = json!({ "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": { "publisher": "galerie", "offer": "new", "sku": "test" } });
        changes.as_object().into_iter().flatten().for_each(|(name, value)| properties[name.as_str()] = value.clone());
        here(properties)
    };
    let version_of =
        |storage: Value, publishing: Value| here(json!({ "storageProfile": storage, "publishingProfile": publishing }));
    let os = |source: &str| json!({ "osDiskImage": { "source": { "id": id(source) } } });
    let whole = |source: &str| json!({ "source": { "id": id(source) } });
    let disks =
        |data: Value| json!({ "osDiskImage": { "source": { "id": id("disks/linux") } }, "dataDiskImages": data });
    let from = |reference: Value| {
        here(json!({ "creationData": { "createOption": "FromImage", "galleryImageReference": reference } }))
    };
    let regions = |names: &[&str]| {
        let regions: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        version_of(os("disks/linux"), json!({ "targetRegions": regions }))
    };
    let row = |method, path, body, (status, code): (u16, &'static str), text, target: &'static str| Row {
        method,
        path,
        body,
        status,
        code,
        text,
        target: (!target.is_empty()).then_some(target),
    };
    let (none, bad) = (Value::Null, (400, "InvalidParameter"));
    let profile = "galleryImageVersion.properties.storageProfile";
    const NEW: &str = "galleries/g/images/i/versions/2.0.0";
    vec![
        row(
            "GET",
            "images/X",
            none.clone(),
            (404, "ResourceNotFound"),
            "The Resource 'Microsoft.Compute/images/X' under resource group 'rg' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
            "",
        ),
        row(
            "GET",
            "galleries/g/images/none",
            none.clone(),
            (404, "ResourceNotFound"),
            "The Resource 'Microsoft.Compute/galleries/g/images/none' under resource group 'rg' was not found. *",
            "",
        ),
        row(
            "PUT",
            "{s}/resourceGroups/none/providers/Microsoft.Compute/galleries/g",
            here(json!({})),
            (404, "ResourceGroupNotFound"),
            "Resource group 'none' could not be found.",
            "",
        ),
        row(
            "PUT",
            "galleries/none/images/i",
            definition(json!({})),
            (404, "ParentResourceNotFound"),
            "Can not perform requested operation on nested resource. Parent resource 'none' not found.",
            "",
        ),
        row(
            "DELETE",
            "galleries/g/images/i",
            none.clone(),
            (409, "CannotDeleteResource"),
            "Cannot delete resource while nested resources exist. Some existing nested resource IDs include: 'Microsoft.Compute/galleries/g/images/i/versions/1.0.0'. Please delete all nested resources before deleting this resource.",
            "",
        ),
        row(
            "PUT",
            "galleries/g/images/empty",
            definition(
                json!({ "osType": "Windows", "identifier": { "publisher": "p", "offer": "empty", "sku": "s" } }),
            ),
            (409, "PropertyChangeNotAllowed"),
            "Changing property 'galleryImage.properties.osType' is not allowed.",
            "galleryImage.properties.osType",
        ),
        row(
            "PUT",
            "galleries/g/images/new",
            definition(json!({ "osType": null })),
            bad,
            "Required parameter 'osType' is missing (null).",
            "osType",
        ),
        row(
            "PUT",
            "disks/new",
            from(json!({ "communityGalleryImageId": "/CommunityGalleries/nobody-1/Images/I/Versions/1.0.0" })),
            (404, "GalleryImageNotFound"),
            "\"The gallery image /CommunityGalleries/nobody-1/Images/I/Versions/1.0.0 is not available in eastus region. Please contact image owner to replicate to this region, or change your requested region.\"",
            "imageReference",
        ),
        row(
            "PUT",
            "disks/new",
            from(json!({ "id": id("galleries/g/images/empty") })),
            (404, "GalleryImageNotFound"),
            "There is no latest image version exists for \"*/galleries/g/images/empty\"",
            "imageReference",
        ),
        row(
            "DELETE",
            "galleries/g/images/i/versions/1.0.0",
            none.clone(),
            (409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife"),
            "*'1.0.0'*blockDeletionBeforeEndOfLife*endOfLifeDate*",
            "",
        ),
        row(
            "PUT",
            "galleries/my-gallery",
            here(json!({})),
            bad,
            "Gallery name*is invalid. Allowed characters are English alphanumeric characters, with underscores, and periods allowed in the middle, up to 80 characters total*",
            "galleryName",
        ),
        row(
            "PUT",
            "galleries/g/images/name.",
            definition(json!({})),
            bad,
            "The provided resource name name. has these invalid trailing characters: .*",
            "galleryImageName",
        ),
        row(
            "PUT",
            "galleries/g/images/_name",
            definition(json!({})),
            bad,
            "The entity name '_name' is invalid according to its validation rule: ^[^_\\W][\\w\\-._]{0,79}(?<![-.])$.",
            "galleryImageName",
        ),
        row(
            "PUT",
            "galleries/g/images/i/versions/1.0",
            regions(&["eastus"]),
            bad,
            "The image version name*is invalid. The image version name should follow Major(int).Minor(int).Patch(int) format, for e.g: 1.0.0, 2018.12.1 etc*",
            "galleryImageVersionName",
        ),
        row(
            "PUT",
            "galleries/new",
            json!({ "location": "mars" }),
            (400, "LocationNotAvailableForResourceType"),
            "The provided location 'mars' is not available for resource type 'Microsoft.Compute/galleries'.*",
            "",
        ),
        row(
            "PUT",
            "galleries/g",
            json!({ "location": "westus" }),
            (409, "InvalidResourceLocation"),
            "The resource 'g' already exists in location 'eastus' in resource group 'rg'. A resource with the same name cannot be created in location 'westus'.*",
            "",
        ),
        row(
            "PUT",
            "{s}/resourceGroups/other/providers/Microsoft.Compute/galleries/G",
            here(json!({})),
            (409, "Conflict"),
            "The gallery name 'G' is not unique within the subscription '*'. Please pick another gallery name.",
            "galleryName",
        ),
        row(
            "PUT",
            "galleries/g/images/twin",
            definition(json!({ "identifier": { "publisher": "galerie", "offer": "I", "sku": "test" } })),
            (409, "Conflict"),
            "Gallery image: 'twin' identified by (publisher:galerie, offer:I, sku:test) already exists. Choose a different publisher, offer, sku combination.",
            "galleryImage.properties.identifier",
        ),
        row(
            "PUT",
            NEW,
            regions(&["westus"]),
            bad,
            "Gallery image version publishing profile regions 'West US' must contain the location of image version 'eastus'.",
            "galleryImageVersion.properties.publishingProfile.targetRegions",
        ),
        row(
            "PUT",
            NEW,
            regions(&["eastus", "East US"]),
            bad,
            "Duplicate regions are not allowed in target publishing regions*",
            "galleryImageVersion.properties.publishingProfile.targetRegions",
        ),
        row(
            "PUT",
            NEW,
            version_of(os("disks/linux"), json!({ "replicaCount": 101 })),
            bad,
            "The value 101 of parameter replicaCount is out of range. The value must be between 1 and 100, inclusive.",
            "replicaCount",
        ),
        row(
            "PUT",
            "galleries/g/images/new",
            definition(json!({ "recommended": { "vCPUs": { "min": 4, "max": 2 } } })),
            bad,
            "The minimum value of vCPUs must not be greater than the maximum value of vCPUs.",
            "galleryImage.properties.recommended.vCPUs",
        ),
        row(
            "PUT",
            NEW,
            version_of(os("disks/none"), json!({})),
            (404, "NotFound"),
            "Source */disks/none is not found. Please check source exists, and is in the same region as gallery image version being created.",
            "galleryImageVersion.properties.storageProfile.osDiskImage.source.id",
        ),
        row(
            "PUT",
            NEW,
            version_of(os("disks/far"), json!({})),
            (404, "NotFound"),
            "Source */disks/far is not found. Please check source exists, and is in the same region as gallery image version being created.",
            "galleryImageVersion.properties.storageProfile.osDiskImage.source.id",
        ),
        row(
            "PUT",
            NEW,
            version_of(whole("galleries/g"), json!({})),
            bad,
            "The source id: */galleries/g must either be a managed image, virtual machine or another gallery image version.",
            "galleryImageVersion.properties.storageProfile.source.id",
        ),
        row(
            "PUT",
            NEW,
            version_of(os("images/image"), json!({})),
            bad,
            "The source id: */images/image must be a managed disk or snapshot.",
            "galleryImageVersion.properties.storageProfile.osDiskImage.source.id",
        ),
        row(
            "PUT",
            NEW,
            version_of(
                json!({ "source": { "id": id("images/image") }, "osDiskImage": { "source": { "id": id("disks/linux") } } }),
                json!({}),
            ),
            bad,
            "The gallery artifact version source can only be specified either directly under storageProfile or within individual OS or data disks.",
            profile,
        ),
        row(
            "PUT",
            NEW,
            version_of(whole("images/special"), json!({})),
            bad,
            "Cannot create Gallery Image Version from: */images/special since the OS State in the parent gallery image ('Generalized') is not 'Specialized'.",
            profile,
        ),
        row(
            "PUT",
            NEW,
            version_of(os("disks/first"), json!({})),
            bad,
            "The resource '*/disks/first' has a different Hypervisor generation ['V1'] than the parent gallery image Hypervisor generation ['V2'].",
            profile,
        ),
        row(
            "PUT",
            NEW,
            version_of(os("disks/windows"), json!({})),
            bad,
            "The resource '*/disks/windows' has a different OS type ['Windows'] than the parent gallery image OS type ['Linux'].",
            profile,
        ),
        row(
            "PUT",
            NEW,
            version_of(
                disks(
                    json!([{ "lun": 1, "source": { "id": id("disks/data") } }, { "lun": 1, "source": { "id": id("disks/far") } }]),
                ),
                json!({}),
            ),
            bad,
            "Duplicated lun numbers 1 exist in the data disk images.",
            "galleryImageVersion.properties.storageProfile.dataDiskImages",
        ),
        row(
            "PUT",
            NEW,
            version_of(disks(json!([{ "lun": 1, "source": { "id": id("disks/linux") } }])), json!({})),
            bad,
            "Duplicated source ids */disks/linux exist in the disk images.",
            profile,
        ),
        row(
            "PUT",
            "galleries/g/images/i/versions/1.0.0",
            version_of(disks(json!([{ "lun": 1, "source": { "id": id("disks/data") } }])), json!({})),
            (409, "PropertyChangeNotAllowed"),
            "Adding new Data Disks or changing the LUN of a Data Disk in an existing Image is not allowed.",
            "galleryImageVersion.properties.storageProfile.dataDiskImages",
        ),
        row(
            "PUT",
            NEW,
            version_of(os("disks/linux"), json!({ "endOfLifeDate": "2001-01-01T00:00:00Z" })),
            bad,
            "EndOfLifeDate must be set to a future date.",
            "galleryImageVersion.properties.publishingProfile.endOfLifeDate",
        ),
    ]
}

/// Whether a text is as a pattern has it, in which `*` is anything.
fn is_like(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}
