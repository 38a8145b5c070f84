//! The errors' bodies, byte for byte: clients and people's scripts depend on codes and texts.
//!
//! Run with `UPDATE_GOLDEN=1` to rewrite `tests/error_bodies.txt` after a deliberate change.

use std::fmt::Write as _;

use galerie_arm::{ArmError, GalleryName, ResourceId, VersionName, error::Overdrawn, parse_body};
use uuid::Uuid;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/error_bodies.txt");

fn errors() -> Vec<ArmError> {
    let nested = "Microsoft.Compute/galleries/G/images/I/versions/1.0.0".to_owned();
    vec![
        ArmError::missing_api_version(),
        ArmError::invalid_api_version("yesterday"),
        ArmError::authentication_missing(),
        ArmError::invalid_token("Its signature is wrong."),
        ArmError::expired_token(),
        ArmError::invalid_token_audience("https://graph.example"),
        ArmError::authorization_failed("C", "O", "Microsoft.Compute/galleries/read", "/subscriptions/S"),
        ArmError::linked_authorization_failed(
            "C",
            "O",
            ["Microsoft.Compute/disks/write", "/subscriptions/S"],
            ["Microsoft.Compute/images/read", "/subscriptions/T"],
        ),
        ArmError::bad_request_format("'principalId' is missing or empty.", "properties.principalId"),
        ArmError::invalid_role_assignment_id("me"),
        ArmError::invalid_role_definition_id("Reader"),
        ArmError::role_definition_does_not_exist("R"),
        ArmError::role_assignment_not_found("A"),
        ArmError::role_assignment_exists("A"),
        ArmError::role_assignment_update_not_permitted(),
        ArmError::principal_not_found("P", "T"),
        ArmError::unmatched_principal_type("P", "Group", "User"),
        ArmError::conditions_not_supported("properties.condition"),
        ArmError::cannot_delete_last_owner(),
        ArmError::role_assignment_limit_exceeded(20_000),
        ArmError::role_definition_limit_exceeded(5_000),
        ArmError::role_definition_with_same_name_exists("Reader"),
        ArmError::role_definition_has_assignments("R"),
        ArmError::built_in_role_cannot_change("Owner"),
        ArmError::invalid_action_or_not_action("Microsoft.Compute/galeries/read"),
        ArmError::invalid_data_action_or_not_data_action("Microsoft.Compute/disks/read"),
        ArmError::invalid_assignable_scope("/"),
        ArmError::unsupported_filter("nonsense"),
        ArmError::subscription_not_found("S"),
        ArmError::invalid_subscription_id("S"),
        ArmError::invalid_resource_type("gallerys", "Microsoft.Compute", "2024-03-03"),
        ArmError::invalid_resource_namespace("Microsoft.Nothing"),
        ArmError::missing_subscription_registration("Microsoft.Compute"),
        ArmError::path_not_found("/x"),
        ArmError::method_not_allowed("TRACE", "/x"),
        ArmError::unsupported_media_type("text/xml"),
        ArmError::misdirected_request("evil.example"),
        ArmError::request_too_large(4_194_304),
        parse_body(b"{", 100).unwrap_err(),
        parse_body("[".repeat(10_000).as_bytes(), 100_000).unwrap_err(),
        ResourceId::parse("nonsense", "properties.storageProfile.source.id").unwrap_err(),
        ArmError::invalid_query("$expand", "Everything"),
        ArmError::invalid_skip_token(),
        ArmError::precondition_failed("the resource has changed since (If-Match)."),
        ArmError::operation_not_allowed("The snapshot is in use."),
        ArmError::conflict("Another request changes the same resource."),
        ArmError::operation_preempted("a2ce22bb"),
        ArmError::operation_not_found("a2ce22bb"),
        ArmError::too_many_requests(),
        ArmError::subscription_requests_throttled("read", Uuid::nil(), Some(Uuid::max()), 10),
        ArmError::tenant_requests_throttled("write", Uuid::nil(), None, 1),
        ArmError::too_many_compute_requests(&[Overdrawn {
            operation_group: "PostShareGallery3Min".to_owned(),
            begin_ms: 1_666_805_393_722,
            end_ms: 1_666_805_573_722,
            allowed: 10,
            measured: 11,
        }]),
        ArmError::internal("6478bc96"),
        ArmError::service_unavailable("The region 'eastus' is not served now."),
        ArmError::insufficient_storage("The file system of the server's catalogue is full."),
        ArmError::required_parameter_missing("hyperVGeneration"),
        ArmError::parameter_not_allowed("osProfile"),
        ArmError::out_of_range("regionalReplicaCount", 101, 1, 100),
        ArmError::bad_body(
            "gallery",
            "properties.x",
            "Could not find member 'x' on object of type 'GalleryProperties'.",
        ),
        ArmError::resource_not_found("Microsoft.Compute/galleries/G/images/I", "RG"),
        ArmError::resource_group_not_found("RG"),
        ArmError::resource_group_being_deleted("RG"),
        ArmError::parent_resource_not_found("G"),
        ArmError::cannot_delete_resource(&[nested.clone(), nested.replace("1.0.0", "1.0.1")]),
        ArmError::property_change_not_allowed("galleryImage.properties.osType"),
        ArmError::gallery_image_not_found("/CommunityGalleries/p/Images/I/Versions/1.0.0", "eastus2"),
        ArmError::no_latest_version("I"),
        ArmError::blocked_before_end_of_life("1.0.0", "2050-07-01"),
        ArmError::location_not_available("mars", "Microsoft.Compute/galleries", &["eastus", "westus"]),
        ArmError::location_required(),
        ArmError::invalid_resource_location("G", "eastus", "RG", "westus"),
        ArmError::invalid_resource_group_location("RG", "eastus", "westus"),
        ArmError::gallery_name_not_unique("G", "S"),
        ArmError::identifier_not_unique("I", "P", "O", "K"),
        ArmError::home_region_missing(&["West US"], "eastus"),
        ArmError::duplicate_regions("East US"),
        ArmError::source_not_found("/subscriptions/S", "galleryImageVersion.properties.storageProfile.source.id"),
        ArmError::invalid_source_type("/subscriptions/S"),
        ArmError::invalid_disk_source_type("/subscriptions/S", "disk.properties.creationData.sourceResourceId"),
        ArmError::source_given_twice(),
        ArmError::source_os_state_differs("/x", "Generalized", "Specialized"),
        ArmError::source_generation_differs("/x", "V1", "V2"),
        ArmError::source_os_type_differs("/x", "Linux", "Windows"),
        ArmError::duplicated_luns(&[1, 2]),
        ArmError::duplicated_sources(&["/x"]),
        ArmError::data_disks_changed(),
        ArmError::end_of_life_in_the_past("galleryImageVersion.properties.publishingProfile.endOfLifeDate"),
        ArmError::marked_for_deletion("Update Gallery Image Version", "1.0.0"),
        ArmError::replication_failed(&[("westus", "The region's store is full.")]),
        ArmError::invalid_disk_image("The upload", "it has no VHD footer."),
        ArmError::access_already_granted("disk", "D"),
        ArmError::invalid_disk_state("Read", "D", "ReadyToUpload"),
        ArmError::sharing_operation_not_allowed("Add", "G", "Private", "Use role assignments."),
        ArmError::gallery_is_published("G"),
        ArmError::too_many_sharing_groups("Subscriptions", 30, 31),
        ArmError::proxy_not_found("/SharedGalleries/S-G", "eastus"),
        ArmError::invalid_auxiliary_token("there are more than three tokens."),
        ArmError::linked_tenant_not_authorized("C", ["Microsoft.Compute/disks/write", "/subscriptions/S/x"], "T", "U"),
        ArmError::invalid_graph_query("This server understands little."),
        "my-gallery".parse::<GalleryName>().unwrap_err(),
        "1.0".parse::<VersionName>().unwrap_err(),
        ArmError::conflict("Several faults.").with_detail(ArmError::required_parameter_missing("osType")),
    ]
}

#[test]
fn bodies_are_golden() {
    let mut text = String::new();
    for error in errors() {
        writeln!(text, "{} {}", error.status, error.body()).unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    for (made, kept) in text.lines().zip(golden.lines()) {
        assert_eq!(made, kept);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn errors_survive_being_stored() {
    for error in errors() {
        let stored = serde_json::to_string(&error).unwrap();
        // What was denied is for the audit of the request at hand.
        let kept = ArmError { denied: None, ..error };
        assert_eq!(serde_json::from_str::<ArmError>(&stored).unwrap(), kept);
    }
}

#[test]
fn hostile_text_is_cut_and_cleaned() {
    let error = ArmError::resource_group_not_found(&format!("a\r\n{}", "x".repeat(10_000)));
    assert!(error.message.len() < 1000 && !error.message.contains('\n'));
}
